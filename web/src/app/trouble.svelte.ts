// What went wrong with a command, in the reader's language. The words for that
// come when the first one is needed in another language than the server's; until
// then, and when they cannot be fetched, it is in English.
import { locale } from "../i18n";
import type { Problem } from "../live";

let known = $state.raw<typeof import("../commands/evidence")>();
let asked = false;

/** The text, and the language that it is in. */
export function trouble(p: Problem): { text: string; lang: string } {
  if (locale.lang === "en") return { text: p.message, lang: "en" };
  if (known) return known.errorText({ error: p.message, errorCode: p.code, errorReason: p.reason, errorArgs: p.args });
  if (!asked) {
    asked = true;
    import("../commands/evidence").then(
      (words) => (known = words),
      () => (asked = false), // the next one tries again
    );
  }
  return { text: p.message, lang: "en" };
}

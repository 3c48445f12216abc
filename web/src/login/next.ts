import type { Key } from "../i18n";

const home = "/app";

/**
 * Where to go after signing in: a path of this server, never another site.
 * Browsers read \ as / and drop tabs and newlines, so "/\evil" would leave.
 */
export function nextPath(search: string): string {
  const next = new URLSearchParams(search).get("next") ?? home;
  if (!next.startsWith("/") || next.startsWith("//") || /[\\\u0000-\u001f\u007f]/.test(next)) return home;
  return next;
}

const problems: Record<string, Key> = {
  foreign: "oidcForeign",
  refused: "oidcRefused",
  unreachable: "oidcUnreachable",
  untrusted: "oidcUntrusted",
  role: "oidcRole",
  name: "oidcName",
  failed: "oidcFailed",
};

/** What went wrong at the sign-in provider, from where the server has sent us back. */
export function problemKey(search: string): Key | undefined {
  const word = new URLSearchParams(search).get("problem");
  return word === null ? undefined : Object.hasOwn(problems, word) ? problems[word] : "oidcFailed";
}

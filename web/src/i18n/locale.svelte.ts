/** The languages of the dashboard. */
export const langs = ["vi", "en"] as const;
export type Lang = (typeof langs)[number];

const key = "echotwin.lang";

function first(): Lang {
  if (typeof document === "undefined") return "en"; // a test or a script
  const wished = [new URLSearchParams(location.search).get("lang"), stored(), ...navigator.languages];
  for (const w of wished) {
    const found = langs.find((l) => w?.toLowerCase().startsWith(l));
    if (found) return found;
  }
  return "en";
}

function stored(): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // storage may be forbidden
  }
}

/** The language in use. Read it in a template and the template follows it. */
class Locale {
  lang = $state<Lang>(first());

  set(lang: Lang) {
    this.lang = lang;
    document.documentElement.lang = lang;
    try {
      localStorage.setItem(key, lang);
    } catch {
      // The choice then lasts as long as the page.
    }
  }
}

export const locale = new Locale();

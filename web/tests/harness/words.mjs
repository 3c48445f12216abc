// The dictionaries of the pages, to look for words of the wrong language.
import { readFile } from "node:fs/promises";
import ts from "typescript";

/** @returns {Promise<{ en: Record<string, string>, vi: Record<string, string> }[]>} */
export async function dictionaries() {
  const all = [];
  for (const dir of ["assistant", "admin", "history", "commands", "replay", "things", "alarms", "alarms/rules", "i18n"].map((d) => `../../src/${d}/`)) {
    const [en, vi] = await Promise.all(["en", "vi"].map((lang) => load(new URL(`${dir}${lang}.ts`, import.meta.url), lang)));
    all.push({ en, vi });
  }
  return all;
}

async function load(url, name) {
  const source = ts.transpileModule(await readFile(url, "utf8"), { compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 } });
  const module = await import(`data:text/javascript,${encodeURIComponent(source.outputText)}`);
  return module[name];
}

/** Figures and units, and two words that the trade says in both languages. */
const sameInBoth = new Set(["{low}–{high} {unit}", "{ms} ms", "{n} s", "snapshot {at}", "{n} tags", "{n}×"]);

/**
 * What finds texts that are English where they should be Vietnamese. A text that
 * is right Vietnamese for another key is none, and titles that a device has only
 * in one language cannot be told apart.
 */
export async function englishFinder(more = []) {
  const patterns = [];
  const right = new Set();
  const own = await dictionaries();
  for (const { en, vi } of own) {
    const same = Object.keys(en).filter((key) => en[key] === vi[key] && !sameInBoth.has(en[key]));
    if (same.length > 0) throw new Error(`not translated: ${same.join(", ")}`);
  }
  const books = [...own, ...more];
  for (const { vi } of books) for (const text of Object.values(vi)) right.add(text);
  for (const { en, vi } of books) {
    for (const key of Object.keys(en)) {
      // A text that is mostly places ("{n} min") would match everything.
      const letters = en[key].replace(/\{\w+\}/g, "").replace(/[^\p{L}]/gu, "");
      if (en[key] === vi[key] || right.has(en[key]) || letters.length < 3) continue;
      const parts = en[key].split(/\{\w+\}/).map((s) => s.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
      patterns.push({ key, re: new RegExp(`^${parts.join(".+?")}$`) });
    }
  }
  return (texts) => texts.flatMap((text) => patterns.filter((p) => p.re.test(text)).map((p) => `${p.key}: ${text}`));
}

/** Every text that a page shows or says. Runs in the page. */
export function textsOfPage() {
  const texts = new Set([document.title]);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (node.parentElement.closest("[lang=en], .md, script, style")) continue;
    texts.add(node.data.trim());
    texts.add(node.parentElement.textContent.trim());
  }
  for (const e of document.querySelectorAll("[aria-label], [title], [placeholder], [aria-valuetext]")) {
    for (const a of ["aria-label", "title", "placeholder", "aria-valuetext"]) texts.add(e.getAttribute(a) ?? "");
  }
  texts.delete("");
  return [...texts];
}

import { locale } from "./locale.svelte";

/** Values for the {places} of a text. */
export type Params = Record<string, string | number>;

/**
 * Makes the t of one dictionary. It reads the locale when it is called, so a
 * Svelte template that calls it changes with the language. Both languages must
 * have the same keys; the types say so, and a test compares them.
 */
export function words<K extends string>(en: Record<K, string>, vi: Record<K, string>) {
  const texts = { en, vi };
  return (key: K, params: Params = {}): string =>
    texts[locale.lang][key].replace(/\{(\w+)\}/g, (place, name: string) => String(params[name] ?? place));
}

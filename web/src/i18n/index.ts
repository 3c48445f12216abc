// The words and the numbers of the dashboard in both languages.
import { en } from "./en";
import { vi } from "./vi";
import { words } from "./words";

export { langs, locale, type Lang } from "./locale.svelte";
export { words, type Params } from "./words";
export * from "./format";

/** The text for a key in the language in use. */
export const t = words(en, vi);
export type Key = Parameters<typeof t>[0];

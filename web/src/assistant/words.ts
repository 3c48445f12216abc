/** What the assistant says, in the language in use. */
import { words } from "../i18n/words";
import { en } from "./en";
import type { Failure } from "./turn";
import { vi } from "./vi";

export type Key = keyof typeof en;

export const t = words(en, vi);

/** What a thing, or a property of it, is called in the language in use. */
export type NameOf = (thing: string, property?: string) => string;

/** Why a turn failed, in the reader's language. */
export function failureText(f: Failure): string {
  const key = `fail.${f.code}`;
  return key in en ? t(key as Key, { times: f.times ?? 0 }) : f.message || t("failUnknown", { code: f.code });
}

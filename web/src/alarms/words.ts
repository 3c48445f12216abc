import { words } from "../i18n/words";
import { en } from "./en";
import { vi } from "./vi";

/** The texts of alarms, which are loaded with the first part that shows one. */
export const m = words(en, vi);

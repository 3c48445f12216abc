import { words } from "../../i18n/words";
import { en } from "./en";
import { vi } from "./vi";

/** The texts of the alarm rules. */
export const r = words(en, vi);

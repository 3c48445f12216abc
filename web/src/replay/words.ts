import { words } from "../i18n";
import { en } from "./en";
import { vi } from "./vi";

/** The texts of the replay bar, which is loaded when it is opened. */
export const r = words(en, vi);

import { words } from "../i18n";
import { en } from "./en";
import { vi } from "./vi";

/** The texts of the History page, which is loaded when it is opened. */
export const h = words(en, vi);

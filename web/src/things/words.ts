import { words } from "../i18n";
import { en } from "./en";
import { vi } from "./vi";

/** The texts of the pages of things, which are loaded when they are opened. */
export const w = words(en, vi);

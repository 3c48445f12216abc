import { words } from "../i18n/words";
import { en } from "./en";
import { vi } from "./vi";

/** The texts of the administrators' pages, which are loaded when they are opened. */
export const a = words(en, vi);

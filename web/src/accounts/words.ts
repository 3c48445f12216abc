import { words } from "../i18n/words";
import { en } from "./en";
import { vi } from "./vi";

/** The texts of the page of accounts, which is loaded when it is opened. */
export const a = words(en, vi);

import { words } from "../i18n/words";
import { en } from "./en";
import { vi } from "./vi";

/** The texts of the page of notifications, which is loaded when it is opened. */
export const n = words(en, vi);

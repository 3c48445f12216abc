import { words } from "../i18n/words";
import { en } from "./en";
import { vi } from "./vi";

/** The texts of the Commands page, which is loaded when it is opened. */
export const c = words(en, vi);

import { propertyTitle, thingTag, thingTitle } from "../app/view";
import { locale } from "../i18n";
import { unitText } from "../model/text";
import type { Sheet } from "../trend/board.svelte";
import { screen } from "../app/screen.svelte";

/** What a pen is called where its thing is not said otherwise: "CV-02 bearing temperature". */
export function penName(sheet: Pick<Sheet, "pen">): string {
  const title = propertyTitle(screen.read(sheet.pen.thing, sheet.pen.property));
  const thing = thingTag(sheet.pen.thing) || thingTitle(sheet.pen.thing);
  return `${thing} ${locale.lang === "en" ? title.charAt(0).toLowerCase() + title.slice(1) : title}`;
}

export function penUnit(sheet: Pick<Sheet, "property" | "state">): string {
  return sheet.state ? "" : unitText(sheet.property.unit, locale.lang);
}

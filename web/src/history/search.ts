// Finds properties by what people type: any of the words of their thing and of
// themselves, in both languages, with or without the marks of Vietnamese.
import type { Thing } from "../live";
import type { Description } from "../model/td";
import { undescribedProperty, type Property } from "../model/td";
import type { Pen } from "../trend/pen";

export interface Found {
  thing: string;
  description: Description | undefined;
  pens: { pen: Pen; property: Property }[];
}

/** Small letters without marks: "Nhiệt độ" is found as "nhiet do". */
export function bare(text: string): string {
  return text.normalize("NFD").replace(/\p{M}/gu, "").replace(/đ/gi, "d").toLowerCase();
}

/** The things that have properties with all words, at most so many properties in all, and whether there are more. */
export function search(words: string, descriptions: ReadonlyMap<string, Description>, things: ReadonlyMap<string, Thing>, most: number): { found: Found[]; more: number } {
  const wanted = bare(words).split(/\s+/).filter(Boolean);
  const found: Found[] = [];
  let room = most;
  let more = 0;
  for (const thing of [...new Set([...descriptions.keys(), ...things.keys()])].sort()) {
    const description = descriptions.get(thing);
    const about = bare([thing, description?.tag, ...Object.values(description?.titles ?? {})].join(" "));
    const pens: Found["pens"] = [];
    for (const property of propertiesOf(description, things.get(thing))) {
      const text = `${about} ${bare([property.name, property.tag, ...Object.values(property.titles)].join(" "))}`;
      if (!wanted.every((w) => text.includes(w))) continue;
      if (room === 0) more++;
      else {
        room--;
        pens.push({ pen: { thing, property: property.name }, property });
      }
    }
    if (pens.length > 0) found.push({ thing, description, pens });
  }
  return { found, more };
}

/** What can be drawn: numbers, switches and words; described or sent. */
function propertiesOf(description: Description | undefined, thing: Thing | undefined): Property[] {
  const all = new Map(description?.properties);
  for (const [name, { value }] of thing?.values ?? []) {
    if (!all.has(name)) all.set(name, undescribedProperty(name, value));
  }
  return [...all.values()].filter((p) => ["number", "integer", "boolean", "string", ""].includes(p.type));
}

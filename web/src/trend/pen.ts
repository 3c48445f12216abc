import type { Property } from "../model/td";

/** One property of one thing, to be drawn. */
export interface Pen {
  thing: string;
  property: string;
}

export const penKey = (pen: Pen): string => `${pen.thing}/properties/${pen.property}`;

/** The pen that a URL names, as WoT's own path of a property; "properties" is no segment of a thing's id. */
export function penOf(text: string): Pen | null {
  const [, thing, property] = /^([\w-]+(?:\/[\w-]+){0,7})\/properties\/(.+)$/.exec(text) ?? [];
  return thing && property ? { thing, property } : null;
}

/** Whether the values of a pen are states, drawn as bands with their names, and not numbers on a scale. */
export function isState(type: string): boolean {
  return type === "boolean" || type === "string";
}

/** The number that stands for a live value, as history numbers it; NaN when it cannot be drawn. A new name of an enumeration gets the next number. */
export function numberOf(value: unknown, names: string[]): number {
  if (typeof value === "number") return value;
  if (typeof value === "boolean") return value ? 1 : 0;
  if (typeof value !== "string") return NaN;
  const known = names.indexOf(value);
  return known >= 0 ? known : names.push(value) - 1;
}

export type { Property };

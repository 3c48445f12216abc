import type { Description } from "../model/td";

/**
 * The properties of a thing as they are shown where not all have room: those with
 * limits first and what is only on or off last, each in the order of the
 * description. They stand so whatever came first.
 */
export function inOrder(names: Iterable<string>, description: Description | undefined): string[] {
  const places = new Map([...(description?.properties.keys() ?? [])].map((name, i) => [name, i]));
  const rank = (name: string) => {
    const p = description?.properties.get(name);
    if (!p) return 2;
    if (p.alarms || p.high !== undefined || p.low !== undefined) return 0;
    return p.type === "boolean" ? 3 : 1;
  };
  return [...names].sort((a, b) => rank(a) - rank(b) || (places.get(a) ?? 0) - (places.get(b) ?? 0) || (a < b ? -1 : 1));
}

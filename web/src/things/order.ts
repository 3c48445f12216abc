import { byName } from "../model/members";
import type { Description } from "../model/td";

/**
 * The properties of a thing as they are shown where not all have room: those with
 * limits first and what is only on or off last, each by name, since the server
 * keeps no other order. They stand so whatever came first.
 */
export function inOrder(names: Iterable<string>, description: Description | undefined): string[] {
  const rank = (name: string) => {
    const p = description?.properties.get(name);
    if (!p) return 2;
    if (p.alarms || p.high !== undefined || p.low !== undefined) return 0;
    return p.type === "boolean" ? 3 : 1;
  };
  return [...names].sort((a, b) => rank(a) - rank(b) || byName(a, b));
}

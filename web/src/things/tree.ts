import { byName } from "../model/members";
import type { Description } from "../model/td";

/** One row of the tree: a thing, or a part of the path that no thing has. */
export interface Row {
  /** Unique in the tree, since a thing may be in several places. */
  key: string;
  id: string;
  depth: number;
  /** Whether it stands for a thing and not only for a part of paths. */
  thing: boolean;
  /** How many of the things that were found are below it. */
  below: number;
  open: boolean;
}


/** Links may go in circles; so deep is no plant. */
const deepest = 12;

interface Node {
  children: Set<string>;
  parents: number;
}

/**
 * The things as one tree, flat and in order. A thing stands below those that
 * contain it; one that nothing contains stands below the thing or the part of
 * the path before its last segment. Of what was found its ancestors are shown, too.
 *
 * The server's tree (GET /api/tree) is another: each thing stands in one place of
 * it, so that a place can be followed. Here one looks for things, in whatever was
 * found a moment ago and wherever links of either side put it.
 * @param closed keys of rows whose children are not wanted
 */
export function treeOf(found: readonly string[], descriptions: ReadonlyMap<string, Description>, closed: ReadonlySet<string>): Row[] {
  const nodes = new Map<string, Node>();
  const want = [...found];
  const things = new Set(descriptions.keys());
  for (const id of found) things.add(id);
  const sought = new Set(found);
  const parents = containers(descriptions);
  for (let id = want.pop(); id !== undefined; id = want.pop()) {
    if (nodes.has(id)) continue;
    nodes.set(id, { children: new Set(), parents: 0 });
    want.push(...above(id, parents));
  }
  for (const [id, node] of nodes) {
    for (const parent of above(id, parents)) {
      nodes.get(parent)?.children.add(id);
      node.parents++;
    }
  }
  const rows: Row[] = [];
  const roots = [...nodes].filter(([, n]) => n.parents === 0).map(([id]) => id);
  // In a circle nobody is first: then whoever is alone in it begins.
  const placed = new Set<string>();
  const walk = (ids: Iterable<string>, before: string, depth: number, line: readonly string[]): number => {
    let count = 0;
    for (const id of [...ids].sort(byName)) {
      if (line.includes(id) || depth > deepest) continue;
      placed.add(id);
      const key = `${before}>${id}`;
      const row: Row = { key, id, depth, thing: things.has(id), below: 0, open: !closed.has(key) };
      const at = rows.push(row);
      row.below = walk(nodes.get(id)?.children ?? [], key, depth + 1, [...line, id]);
      if (!row.open) rows.length = at;
      count += row.below + (sought.has(id) ? 1 : 0);
    }
    return count;
  };
  walk(roots, "", 0, []);
  for (const id of [...nodes.keys()].sort(byName)) if (!placed.has(id)) walk([id], "", 0, []);
  return rows;
}

/** By each thing those that say they contain it, or that it says it is part of. */
function containers(descriptions: ReadonlyMap<string, Description>): Map<string, Set<string>> {
  const out = new Map<string, Set<string>>();
  const put = (child: string, parent: string) => {
    if (child === parent) return;
    let all = out.get(child);
    if (!all) out.set(child, (all = new Set()));
    all.add(parent);
  };
  for (const d of descriptions.values()) {
    for (const child of d.contains) put(child, d.id);
    for (const parent of d.partOf) put(d.id, parent);
  }
  return out;
}

function above(id: string, parents: ReadonlyMap<string, ReadonlySet<string>>): string[] {
  const said = parents.get(id);
  if (said) return [...said];
  const cut = id.lastIndexOf("/");
  return cut > 0 ? [id.slice(0, cut)] : [];
}

/** The things beside one: what contains it, what is in it, what it feeds and what feeds it. */
export function relatives(id: string, descriptions: ReadonlyMap<string, Description>) {
  const parents = containers(descriptions);
  const contains: string[] = [];
  for (const [child, of] of parents) if (of.has(id)) contains.push(child);
  const fedBy: string[] = [];
  for (const d of descriptions.values()) if (d.feeds.includes(id)) fedBy.push(d.id);
  return { partOf: [...(parents.get(id) ?? [])].sort(), contains: contains.sort(), feeds: descriptions.get(id)?.feeds ?? [], fedBy: fedBy.sort() };
}

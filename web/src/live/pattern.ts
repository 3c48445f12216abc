/**
 * Says whether a pattern covers a thing's id: * stands for one segment, ** at
 * the end for one or more.
 */
export function matches(pattern: string, thing: string): boolean {
  if (pattern === "**") return true;
  const want = pattern.split("/");
  const have = thing.split("/");
  for (const [i, segment] of want.entries()) {
    if (segment === "**" && i === want.length - 1) return have.length > i;
    if (have[i] === undefined || (segment !== "*" && segment !== have[i])) return false;
  }
  return want.length === have.length;
}

/** Whether a path is a place, for all that stands below it in the tree of the plant: only the server knows what that is. */
export function isPlace(path: string): boolean {
  return path.startsWith("under:");
}

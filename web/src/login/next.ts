const home = "/app";

/**
 * Where to go after signing in: a path of this server, never another site.
 * Browsers read \ as / and drop tabs and newlines, so "/\evil" would leave.
 */
export function nextPath(search: string): string {
  const next = new URLSearchParams(search).get("next") ?? home;
  if (!next.startsWith("/") || next.startsWith("//") || /[\\\u0000-\u001f\u007f]/.test(next)) return home;
  return next;
}

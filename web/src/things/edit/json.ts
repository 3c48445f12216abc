/** A name as a part of a JSON pointer, and back. */
export const escaped = (name: string) => name.replaceAll("~", "~0").replaceAll("/", "~1");
export const unescaped = (part: string) => part.replaceAll("~1", "/").replaceAll("~0", "~");

/** Where the value of a JSON pointer stands in a text; null when the text has no such place. */
export function placeOf(text: string, pointer: string): { from: number; to: number } | null {
  const parts = pointer.split("/").slice(1).map(unescaped);
  let at = 0;
  const blank = () => {
    while (/\s/.test(text[at] ?? "")) at++;
  };
  const word = (): string => {
    const from = at++;
    while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
    at++;
    try {
      return JSON.parse(text.slice(from, at)) as string;
    } catch {
      return "";
    }
  };
  /** Moves behind the value that begins here; looks into it for the rest of the path. */
  const value = (path: readonly string[] | null): { from: number; to: number } | null => {
    blank();
    const from = at;
    let found: { from: number; to: number } | null = null;
    const open = text[at];
    if (open === "{" || open === "[") {
      at++;
      for (let i = 0; ; i++) {
        blank();
        if (at >= text.length || text[at] === "}" || text[at] === "]") break;
        let name = String(i);
        if (open === "{") {
          if (text[at] !== '"') break;
          name = word();
          blank();
          if (text[at] === ":") at++;
        }
        const before = at;
        const inside = value(path && path[0] === name ? path.slice(1) : null);
        found ??= inside;
        blank();
        if (text[at] === ",") at++;
        if (at === before) break; // no JSON any more
      }
      at++;
    } else if (open === '"') {
      word();
    } else {
      while (at < text.length && !/[\s,\]}]/.test(text[at]!)) at++;
    }
    return found ?? (path?.length === 0 ? { from, to: Math.min(at, text.length) } : null);
  };
  return value(parts);
}

/** The place that is named, or the nearest around it that the text has: what is missing stands nowhere. */
export function nearest(text: string, pointer: string): { from: number; to: number } {
  for (let p = pointer; ; p = p.slice(0, p.lastIndexOf("/"))) {
    const place = placeOf(text, p);
    if (place && (p || pointer === "")) return place;
    if (!p) return { from: 0, to: 0 };
  }
}

/** JSON pointers to what differs in two values, as many as one can read. */
export function differences(a: unknown, b: unknown, most = 12): string[] {
  const out: string[] = [];
  const walk = (x: unknown, y: unknown, at: string) => {
    if (out.length >= most || JSON.stringify(x) === JSON.stringify(y)) return;
    if (isObject(x) && isObject(y)) {
      for (const name of new Set([...Object.keys(x), ...Object.keys(y)])) walk(x[name], y[name], `${at}/${escaped(name)}`);
    } else {
      out.push(at || "/");
    }
  };
  walk(a, b, "");
  return out;
}

function isObject(v: unknown): v is Record<string, unknown> {
  return typeof v === "object" && v !== null && !Array.isArray(v);
}

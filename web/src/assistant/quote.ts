/**
 * Takes apart the quote of a state's citation, so that each value can be shown
 * with its quality in the reader's language. The server writes one line:
 * "offline · speed 60.4 % · temperature 78.6 °C (stale, 14s old)".
 */

export interface Quoted {
  /** The property. */
  name: string;
  /** Its value when it is a number, else nothing. */
  number: number | undefined;
  /** What stands behind the number: its unit. Without a number, all of the value. */
  text: string;
  /** "stale", "out_of_range", "bad", "offline", or "" for good. */
  quality: string;
  /** As the server says it, "14s"; "" when fresh. */
  age: string;
}

const mark = /^(.*) \((stale|out_of_range|bad), (\S+) old\)$/;

export function parts(quote: string): Quoted[] {
  if (quote === "") return [];
  return quote.split(" · ").map((part) => {
    if (part === "offline") return { name: "", number: undefined, text: "", quality: "offline", age: "" };
    const marked = mark.exec(part);
    const [name, ...rest] = (marked?.[1] ?? part).split(" ");
    const value = /^-?\d/.test(rest[0] ?? "") ? Number(rest[0]) : NaN;
    const isNumber = Number.isFinite(value);
    return {
      name: name!,
      number: isNumber ? value : undefined,
      text: rest.slice(isNumber ? 1 : 0).join(" "),
      quality: marked?.[2] ?? "",
      age: marked?.[3] ?? "",
    };
  });
}

/** How many values the summary of a read_state call counts: "16 values of Conveyor 2". */
export function countOf(summary: string): number | undefined {
  const m = /^(\d+) values? of /.exec(summary);
  return m ? Number(m[1]) : undefined;
}

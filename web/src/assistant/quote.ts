/**
 * Takes apart the quote of a state's citation, so that each value can be shown
 * with its quality in the reader's language. The server writes one line:
 * "offline · speed 60.4 % · temperature 78.6 °C (stale, 14s old)".
 */

export interface Quoted {
  text: string;
  /** "stale", "out_of_range", "bad", "offline", or "" for good. */
  quality: string;
  /** As the server says it, "14s"; "" when fresh. */
  age: string;
}

const mark = /^(.*) \((stale|out_of_range|bad), (\S+) old\)$/;

export function parts(quote: string): Quoted[] {
  if (quote === "") return [];
  return quote.split(" · ").map((text) => {
    if (text === "offline") return { text: "", quality: "offline", age: "" };
    const m = mark.exec(text);
    return m ? { text: m[1]!, quality: m[2]!, age: m[3]! } : { text, quality: "", age: "" };
  });
}

/** How many values the summary of a read_state call counts: "16 values of Conveyor 2". */
export function countOf(summary: string): number | undefined {
  const m = /^(\d+) values? of /.exec(summary);
  return m ? Number(m[1]) : undefined;
}

/**
 * Reads server-sent events out of text that comes in pieces.
 *
 * EventSource cannot send a POST and hides the difference between a cut and an
 * end, so the assistant reads its streams with fetch and this.
 */

/** One event, as the HTML standard cuts it out of the stream. */
export interface Message {
  /** "message" when the stream named none. */
  event: string;
  /** The data lines, joined by "\n". */
  data: string;
  /** The newest id of the stream so far, which this event may not have brought itself. "" before any. */
  id: string;
}

/** More than this without a line's end is no stream of ours, and would grow without bound. */
export const MAX_LINE = 1 << 20;

/**
 * Gives every whole event to `on`. What has no empty line after it when the
 * stream ends was cut and is never given.
 */
export class EventParser {
  #on: (m: Message) => void;
  #rest = "";
  #first = true;
  #skipLF = false;
  #event = "";
  #data: string[] = [];
  #size = 0;
  #id = "";

  constructor(on: (m: Message) => void) {
    this.#on = on;
  }

  /** Takes the next piece. Throws when a line or an event is longer than MAX_LINE. */
  feed(piece: string): void {
    if (piece === "") return;
    if (this.#first) {
      this.#first = false;
      if (piece.charCodeAt(0) === 0xfeff) piece = piece.slice(1);
    }
    // A CR ended the last piece's line. Whether an LF belongs to it shows only now.
    if (this.#skipLF && piece.charCodeAt(0) === 10) piece = piece.slice(1);
    this.#skipLF = false;

    let from = 0;
    for (let at = lineEnd(piece, 0); at >= 0; at = lineEnd(piece, from)) {
      const line = this.#rest + piece.slice(from, at);
      this.#rest = "";
      from = at + 1;
      if (piece.charCodeAt(at) === 13) {
        if (from === piece.length) this.#skipLF = true;
        else if (piece.charCodeAt(from) === 10) from++;
      }
      this.#line(line);
    }
    this.#rest += piece.slice(from);
    if (this.#rest.length > MAX_LINE) throw new Error("a line of the stream is too long");
  }

  #line(line: string): void {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return; // a comment, as the heartbeat is
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line.charCodeAt(colon + 1) === 32 ? colon + 2 : colon + 1);
    switch (field) {
      case "event":
        this.#event = value;
        break;
      case "data":
        this.#size += value.length + 1;
        if (this.#size > MAX_LINE) throw new Error("an event of the stream is too long");
        this.#data.push(value);
        break;
      case "id":
        if (!value.includes("\0")) this.#id = value;
    }
  }

  #dispatch(): void {
    const data = this.#data;
    const event = this.#event || "message";
    this.#data = [];
    this.#event = "";
    this.#size = 0;
    if (data.length > 0) this.#on({ event, data: data.join("\n"), id: this.#id });
  }
}

function lineEnd(s: string, from: number): number {
  for (let i = from; i < s.length; i++) {
    const c = s.charCodeAt(i);
    if (c === 10 || c === 13) return i;
  }
  return -1;
}

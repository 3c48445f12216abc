import { expect, test } from "vitest";
import { EventParser, MAX_LINE, type Message } from "./sse";

function read(...pieces: string[]): Message[] {
  const got: Message[] = [];
  const p = new EventParser((m) => got.push(m));
  for (const s of pieces) p.feed(s);
  return got;
}

const m = (data: string, event = "message", id = ""): Message => ({ event, data, id });

test.each<[string, string, Message[]]>([
  ["one event", "data: a\n\n", [m("a")]],
  ["a name", "event: delta\ndata: a\n\n", [m("a", "delta")]],
  ["a name holds for one event only", "event: x\ndata: a\n\ndata: b\n\n", [m("a", "x"), m("b")]],
  ["several data lines", "data: a\ndata:\ndata: b\n\n", [m("a\n\nb")]],
  ["only one blank is taken off", "data:  a\ndata:b\n\n", [m(" a\nb")]],
  ["a colon in the data", 'data: {"a":"b:c"}\n\n', [m('{"a":"b:c"}')]],
  ["CRLF", "event: e\r\ndata: a\r\ndata: b\r\n\r\n", [m("a\nb", "e")]],
  ["CR alone", "data: a\r\rdata: b\r\r", [m("a"), m("b")]],
  ["a comment between the lines of an event", ": hb\ndata: a\n: hb\ndata: b\n\n: hb\n\n", [m("a\nb")]],
  ["a field without colon", "data\n\n", [m("")]],
  ["an unknown field, and retry", "retry: 100\nfoo: bar\ndata: a\n\n", [m("a")]],
  ["an event without data is none", "event: x\n\ndata: a\n\n", [m("a")]],
  ["an id stays until the next", "id: 7\ndata: a\n\ndata: b\n\nid: 8\ndata: c\n\n", [m("a", "message", "7"), m("b", "message", "7"), m("c", "message", "8")]],
  ["an id without data counts", "id: 7\n\ndata: a\n\n", [m("a", "message", "7")]],
  ["an empty id takes it back", "id: 7\ndata: a\n\nid\ndata: b\n\n", [m("a", "message", "7"), m("b")]],
  ["an id with NUL is none", "id: 7\ndata: a\n\nid: 8\0\ndata: b\n\n", [m("a", "message", "7"), m("b", "message", "7")]],
  ["a byte order mark", "\ufeffdata: a\n\n", [m("a")]],
  ["what was cut is not given", "data: a\n\ndata: b\n", [m("a")]],
  ["Vietnamese and emoji", "data: Độ rung 🔧\n\n", [m("Độ rung 🔧")]],
])("%s, whole, at every cut and letter by letter", (_, text, want) => {
  expect(read(text)).toEqual(want);
  expect(read(...text.split(/(?:)/u))).toEqual(want);
  for (let i = 0; i <= text.length; i++) {
    expect(read(text.slice(0, i), text.slice(i)), `cut at ${i}`).toEqual(want);
  }
});

test("a stream that never ends its line is refused, not kept", () => {
  const p = new EventParser(() => {});
  const piece = "x".repeat(MAX_LINE / 4);
  expect(() => {
    for (let i = 0; i < 6; i++) p.feed(piece);
  }).toThrow("too long");
});

test("an event that never ends is refused, not kept", () => {
  const p = new EventParser(() => {});
  const line = `data: ${"x".repeat(MAX_LINE / 4)}\n`;
  expect(() => {
    for (let i = 0; i < 6; i++) p.feed(line);
  }).toThrow("too long");
});

import { describe, expect, it } from "vitest";
import { Cursor } from "./cursor";
import type { EventFact, Snapshot, Update } from "./frames";
import { snapshot, update } from "./testing/fakeserver";

const event = (seq: number, name: string, more = false): EventFact => ({ type: "event", seq, more: more || undefined, thing: "plant/pump", name, ts: "2026-11-23T08:00:00Z" });
const snap = (seq: number, more = false) => snapshot(seq, {}, more) as unknown as Snapshot;
const upd = (prev: number, seq: number) => update(prev, seq, {}) as unknown as Update;

function at(seq: number): Cursor {
  const cursor = new Cursor();
  cursor.took(snap(seq));
  return cursor;
}

describe("the cursor", () => {
  it("follows what names the frame before, pages and facts included, and nothing else", () => {
    const cursor = at(100);
    expect([99, 100, 101].map((prev) => cursor.follows(upd(prev, 200)))).toEqual([false, true, false]);
    cursor.isNews(event(110, "a", true));
    expect(cursor.follows(upd(110, 200))).toBe(true);
    cursor.took(snap(120, true));
    expect(cursor.follows(upd(120, 200))).toBe(true);
  });

  it("is not moved by a page, nor by a fact that others share the seq of", () => {
    const cursor = at(100);
    cursor.took(snap(110, true));
    expect(cursor.seq).toBe(100);
    cursor.isNews(event(112, "a", true));
    expect(cursor.seq).toBe(100);
    cursor.took(upd(112, 112)); // an update between them, as after a full turn, would claim the fact that still waits
    expect(cursor.seq).toBe(100);
    cursor.isNews(event(112, "b"));
    expect(cursor.seq).toBe(112);
  });

  it("tells each of the facts that share a seq once, however often the line breaks between them", () => {
    const cursor = at(100);
    const told: string[] = [];
    const say = (...names: string[]) => {
      for (const name of names) if (cursor.isNews(event(110, name, name !== "c"))) told.push(name);
    };
    say("a", "b");
    cursor.rewind();
    say("a");
    cursor.rewind();
    say("a", "b", "b", "c"); // the second b is another one that says the same
    expect(told).toEqual(["a", "b", "b", "c"]);
    expect(cursor.seq).toBe(110);
    cursor.rewind();
    expect(cursor.isNews(event(120, "a"))).toBe(true);
  });

  it("takes no fact that it has passed, and every answer to one's own command", () => {
    const cursor = at(100);
    expect(cursor.isNews(event(100, "a"))).toBe(false);
    expect(cursor.isNews({ type: "cmd", id: "7", cmd: "01", status: "accepted" })).toBe(true);
  });

  it("forgets the numbers of another log", () => {
    const cursor = at(100);
    cursor.isNews(event(110, "a", true));
    cursor.reset("other");
    expect([cursor.epoch, cursor.seq, cursor.follows(upd(0, 5))]).toEqual(["other", 0, true]);
    expect(cursor.isNews(event(3, "a"))).toBe(true);
  });
});

import { describe, expect, it } from "vitest";
import type { Snapshot, Update } from "./frames";
import { Store, type Changed } from "./store";
import { snapshot, update } from "./testing/fakeserver";

const pump = "plant/pump";
const snap = (things: Record<string, unknown>, more = false) => snapshot(1, things, more) as unknown as Snapshot;
const upd = (things: Record<string, unknown>) => update(1, 2, things) as unknown as Update;

describe("the store", () => {
  it("keeps the marks of an update that does not mention them, and takes empty ones", () => {
    const store = new Store();
    store.snapshot(snap({ [pump]: { state: { a: 1 }, stale: ["a"], quality: { b: "bad" }, online: "online" } }));
    store.update(upd({ [pump]: { set: { b: 2 } } }));
    const thing = store.things.get(pump)!;
    expect([[...thing.stale], Object.fromEntries(thing.quality), thing.online]).toEqual([["a"], { b: "bad" }, "online"]);
    store.update(upd({ [pump]: { stale: [], quality: {}, online: "offline" } }));
    expect([thing.stale.size, thing.quality.size, thing.online]).toEqual([0, 0, "offline"]);
    expect(thing.values.get("a")?.value).toBe(1);
  });

  it("dates each value by the reading that brought it", () => {
    const store = new Store();
    store.snapshot(snap({ [pump]: { ts: "2026-11-23T08:00:00Z", state: { a: 1, b: 1 } } }));
    store.update(upd({ [pump]: { ts: "2026-11-23T08:00:09Z", set: { b: 2 } } }));
    expect(store.value(pump, "a")?.ts).toBe(Date.parse("2026-11-23T08:00:00Z"));
    expect(store.value(pump, "b")?.ts).toBe(Date.parse("2026-11-23T08:00:09Z"));
  });

  it("removes by null: a property, and a thing", () => {
    const store = new Store();
    store.snapshot(snap({ [pump]: { state: { a: 1, b: 1 } }, "plant/x": { state: {} } }));
    store.update(upd({ [pump]: { set: { a: null } }, "plant/x": null }));
    expect([...store.things.get(pump)!.values.keys()]).toEqual(["b"]);
    expect(store.things.has("plant/x")).toBe(false);
  });

  it("forgets with the last page of a snapshot what no page named, and not before", () => {
    const store = new Store();
    store.snapshot(snap({ old: { state: { a: 1 } }, kept: { state: { a: 1 } } }));
    store.snapshot(snap({ first: { state: { a: 1 } } }, true));
    expect(store.things.has("old")).toBe(true);
    store.snapshot(snap({ kept: { state: { a: 2 } } }));
    expect([...store.things.keys()].sort()).toEqual(["first", "kept"]);
  });

  it("forgets a half-read snapshot with its connection", () => {
    const store = new Store();
    store.snapshot(snap({ gone: { state: {} } }, true));
    store.interrupted();
    store.snapshot(snap({ here: { state: {} } }));
    expect([...store.things.keys()]).toEqual(["here"]);
  });

  it("tells which readings are new, so that a mark alone makes no point on a trend", () => {
    const store = new Store();
    const told: Changed[] = [];
    store.watch((c) => told.push(c));
    store.snapshot(snap({ [pump]: { state: { a: 1 } } }));
    store.update(upd({ [pump]: { stale: ["a"] } }));
    expect(told.map((c) => c.get(pump))).toEqual([["a"], []]);
  });
});

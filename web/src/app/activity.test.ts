import { describe, expect, it } from "vitest";
import type { Fact, Link, Snapshot, Update } from "../live";
import { Store } from "../live";
import { Activity } from "./activity.svelte";

function fake() {
  const on: { fact?: (f: Fact) => void; gap?: (g: { missed?: number }) => void; link?: (l: Link) => void } = {};
  const store = new Store();
  const connection = { onFact: (f: never) => (on.fact = f), onGap: (f: never) => (on.gap = f), onLink: (f: never) => (on.link = f) };
  const activity = new Activity(connection as never, store);
  const snapshot = (...ids: string[]) =>
    store.snapshot({ type: "snapshot", more: false, things: Object.fromEntries(ids.map((id) => [id, { state: {} }])) } as unknown as Snapshot);
  const live = () => on.link?.({ phase: "live", heardAt: Date.now() } as Link);
  return { activity, store, on, snapshot, live };
}

describe("the activity list", () => {
  it("names a thing that appears, once, but not what was there before", () => {
    const { activity, store, snapshot, live } = fake();
    snapshot("plant/a");
    live();
    const more = { type: "update", things: { "lab/esp32": { set: { x: 1 } }, "plant/a": { set: { x: 1 } } } } as unknown as Update;
    store.update(more);
    store.update(more);
    expect(activity.entries).toMatchObject([{ kind: "appeared", thing: "lab/esp32" }]);
  });

  it("has each event once, though a resume may repeat it, newest first", () => {
    const { activity, on } = fake();
    const event = (seq: number) => on.fact?.({ type: "event", seq, thing: "plant/a", name: "jam", ts: "2026-11-23T08:00:00Z" });
    event(1);
    event(2);
    event(1);
    expect(activity.entries.map((e) => e.key.split("/")[0])).toEqual(["2", "1"]);
  });

  it("says who has acknowledged or shelved an alarm, and not what alarms do by themselves", () => {
    const { activity, on } = fake();
    const step = (step: string, n: number) => on.fact?.({ type: "alarm", seq: n, id: "a91", step, ts: `2026-11-23T08:00:0${n}Z` } as Fact);
    step("raised", 1);
    step("acked", 2);
    step("acked", 2);
    step("shelved", 3);
    step("unshelved", 4);
    step("cleared", 5);
    expect(activity.entries.map((e) => e.kind === "alarm" && e.alarm.step)).toEqual(["shelved", "acked"]);
  });

  it("says how long the connection was lost, and what was missed", () => {
    const { activity, on, snapshot, live } = fake();
    snapshot("plant/a");
    live();
    on.link?.({ phase: "waiting", heardAt: Date.now() - 14_000 } as Link);
    on.link?.({ phase: "waiting", heardAt: Date.now() - 14_000 } as Link);
    on.gap?.({ missed: 3 });
    live();
    expect(activity.entries).toMatchObject([{ kind: "lost" }, { kind: "missed", count: 3 }]);
    expect(activity.entries[0]!.kind === "lost" && Math.round(activity.entries[0]!.seconds)).toBe(14);
  });

  it("is bounded", () => {
    const { activity, on } = fake();
    for (let seq = 0; seq < 500; seq++) on.fact?.({ type: "event", seq, thing: "a", name: "x", ts: "" });
    expect(activity.entries).toHaveLength(100);
  });
});

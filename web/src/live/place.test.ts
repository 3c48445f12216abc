import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Connection } from "./connection";
import type { Fact } from "./frames";
import { FakeServer, hello, resumed, snapshot, update } from "./testing/fakeserver";
import type { View } from "./view";

const robot = "depot/robot";
const pump = "plant/line1/pump";
const state = (values: Record<string, unknown>) => ({ ts: "2026-11-23T08:00:00Z", state: values });
const set = (values: Record<string, unknown>) => ({ ts: "2026-11-23T08:00:01Z", set: values });
const ids = (view: View) => view.things().map((thing) => thing.id);

async function place() {
  const server = new FakeServer();
  const connection = new Connection({ url: () => "ws://host/ws", open: server.open, random: () => 0 });
  const facts: Fact[] = [];
  connection.onFact((fact) => facts.push(fact));
  connection.start();
  server.last.say(hello());
  const seen: [string, string[]][] = [];
  const view = connection.watch("under:plant/line1", (changed, view) => seen.push([[...changed.keys()].join(), ids(view)]));
  await vi.advanceTimersByTimeAsync(0);
  server.last.say(snapshot(100, { [pump]: state({ speed: 60 }) }));
  return { server, connection, view, seen, facts };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it("has who stands below it, as the server says, and lets go of who leaves", async () => {
  const { server, connection, view, seen } = await place();
  expect(server.last.of("sub")).toMatchObject([{ path: "under:plant/line1" }]);
  server.last.say({ ...update(100, 101, { [robot]: set({ load: 1 }) }), joined: { s1: [robot] } });
  server.last.say({ ...update(101, 102, { [pump]: null }), left: { s1: [pump] } });
  expect(seen).toEqual([[pump, [pump]], [robot, [pump, robot]], [pump, [robot]]]);
  expect(ids(view)).toEqual([robot]);
  // Who is gone and comes back has joined again.
  server.last.say(update(102, 103, { [robot]: null }));
  expect([ids(view), connection.store.things.size]).toEqual([[], 0]);
  server.last.say({ ...update(103, 104, { [robot]: set({ load: 2 }) }), joined: { s1: [robot] } });
  expect(ids(view)).toEqual([robot]);
  server.last.say(update(104, 105, { [robot]: { removed: true } }));
  server.last.say(update(105, 106, { [robot]: set({ load: 3 }) })); // it stands elsewhere now
  expect(ids(view)).toEqual([]);
});

it("keeps what another view has, without what only the place followed", async () => {
  const { server, connection, view } = await place();
  const other = connection.watch({ path: "plant/*/*", fields: ["speed"] });
  await vi.advanceTimersByTimeAsync(0);
  server.last.say(snapshot(100, { [pump]: state({ speed: 60, heat: 3 }) }, false, 2));
  expect([...(connection.store.things.get(pump)?.values.keys() ?? [])]).toEqual(["speed", "heat"]);
  server.last.say({ ...update(100, 101, {}), left: { s1: [pump] } });
  expect([ids(view), ids(other)]).toEqual([[], [pump]]);
  expect([...(connection.store.things.get(pump)?.values.keys() ?? [])]).toEqual(["speed"]);
  other.close();
  await vi.advanceTimersByTimeAsync(0);
  expect(connection.store.things.size).toBe(0);
});

it("is what the last page of a snapshot says, also of one that the server sends by itself", async () => {
  const { server, view } = await place();
  server.last.say({ ...snapshot(101, { [robot]: state({ load: 1 }), "depot/cart": state({ load: 3 }) }, true), id: undefined });
  expect(ids(view)).toEqual([pump, robot, "depot/cart"]);
  server.last.say({ ...snapshot(101, { "depot/arm": state({ load: 2 }), "depot/cart": null }), id: undefined, left: { s1: ["depot/cart"] } });
  expect(ids(view)).toEqual([robot, "depot/arm"]);
});

it("goes on after a loss with who joined and who left meanwhile, and hears their facts", async () => {
  const { server, view, facts } = await place();
  server.last.end(1006);
  await vi.advanceTimersByTimeAsync(1000);
  server.last.say(hello());
  expect(server.last.of("resume")).toMatchObject([{ seq: 100, subs: [{ path: "under:plant/line1" }] }]);
  server.last.say(resumed(105));
  server.last.say({ ...update(100, 105, { [robot]: set({ load: 1 }), [pump]: null }), joined: { s1: [robot] }, left: { s1: [pump] } });
  expect(ids(view)).toEqual([robot]);
  // A thing that has said nothing but this is known to the server alone.
  server.last.say({ type: "event", seq: 106, thing: "depot/silent", name: "jam", ts: "2026-11-23T08:00:00Z" });
  expect(facts.map((f) => f.thing)).toEqual(["depot/silent"]);
});

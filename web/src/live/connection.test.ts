import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Connection } from "./connection";
import type { Fact } from "./frames";
import type { Link } from "./link";
import { Store } from "./store";
import { FakeServer, hello, resumed, snapshot, update } from "./testing/fakeserver";

const pump = "plant/line1/pump";

function start() {
  const server = new FakeServer();
  const store = new Store();
  const connection = new Connection({ url: () => "ws://host/ws", store, open: server.open, random: () => 0 });
  const links: Link[] = [];
  const facts: Fact[] = [];
  connection.onLink((link) => links.push(link));
  connection.onFact((fact) => facts.push(fact));
  connection.watch({ path: "plant/**", rate: 10 });
  connection.start();
  return { server, store, connection, links, facts };
}

/** Live at seq 100 with one value. */
function live() {
  const all = start();
  all.server.last.say(hello());
  all.server.last.say(snapshot(100, { [pump]: { ts: "2026-11-23T08:00:00Z", state: { speed: 60 } } }));
  return all;
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a connection", () => {
  it("is live only when the last page of the snapshot is in", () => {
    const { server, connection, store } = start();
    expect(connection.link.phase).toBe("connecting");
    server.last.say(hello());
    expect(server.last.of("sub")).toEqual([{ type: "sub", id: "sub-1", path: "plant/**", rate: 10 }]);
    server.last.say(snapshot(100, { "plant/a": { state: { x: 1 } } }, true));
    expect(connection.link.phase).toBe("connecting");
    server.last.say(snapshot(101, { "plant/b": { state: { x: 2 } } }));
    expect(connection.link.phase).toBe("live");
    expect([...store.things.keys()]).toEqual(["plant/a", "plant/b"]);
    expect(connection.seq).toBe(101);
  });

  it("knows why nothing is stored, until it is said to be stored again or another server says hello", () => {
    const { server, connection } = live();
    expect(connection.link.fault).toBe("");
    server.last.say({ type: "status", storing: false, code: "disk_full", message: "the disk is full", since: "2026-11-26T08:00:00Z" });
    expect(connection.link).toMatchObject({ phase: "live", stale: false, fault: "disk_full" });
    server.last.say({ type: "status", storing: true });
    expect(connection.link.fault).toBe("");
    server.last.say({ type: "status", storing: false, code: "clock_jump" });
    server.last.say(hello());
    expect(connection.link.fault).toBe("");
  });

  it("takes updates in order", () => {
    const { server, connection, store } = live();
    server.last.say(update(100, 105, { [pump]: { ts: "2026-11-23T08:00:01Z", set: { speed: 61 } } }));
    expect(store.value(pump, "speed")).toEqual({ value: 61, ts: Date.parse("2026-11-23T08:00:01Z") });
    expect(connection.seq).toBe(105);
  });

  it("asks for what is missing when prev is not what it has, and does not show what comes after the gap first", () => {
    const { server, connection, store } = live();
    server.last.say(update(103, 105, { [pump]: { set: { speed: 99 } } }));
    expect(server.last.of("resume")).toMatchObject([{ type: "resume", epoch: "k3f9", seq: 100, subs: [{ path: "plant/**", rate: 10 }] }]);
    expect(store.value(pump, "speed")?.value).toBe(60);
    server.last.say(resumed(105));
    server.last.say(update(100, 105, { [pump]: { set: { speed: 99 } } }));
    expect(store.value(pump, "speed")?.value).toBe(99);
    expect(connection.seq).toBe(105);
  });

  it("resumes from its cursor after a loss, and is live again when the delta is whole", () => {
    const { server, connection } = live();
    server.last.end(1006);
    expect(connection.link.phase).toBe("waiting");
    vi.advanceTimersByTime(300);
    expect(server.sockets).toHaveLength(2);
    server.last.say(hello("k3f9", 130));
    expect(server.last.of("sub")).toEqual([]);
    expect(server.last.of("resume")).toMatchObject([{ epoch: "k3f9", seq: 100 }]);
    server.last.say(resumed(130));
    server.last.say({ type: "event", seq: 120, thing: pump, name: "trip", ts: "2026-11-23T08:00:00Z" });
    expect(connection.link.phase).toBe("connecting");
    server.last.say(update(120, 131, { [pump]: { set: { speed: 62 } } }));
    expect(connection.link.phase).toBe("live");
    expect(connection.seq).toBe(131);
  });

  it("starts over when the log is another one", () => {
    const { server, connection } = live();
    server.last.end(1006);
    vi.advanceTimersByTime(300);
    server.last.say(hello("another", 3));
    expect(server.last.of("resume")).toEqual([]);
    expect(server.last.of("sub")).toHaveLength(1);
    server.last.say({ ...snapshot(3, {}, false, 2), epoch: "another" });
    expect([connection.epoch, connection.seq]).toEqual(["another", 3]);
  });

  it("does not resume from the middle of a snapshot or of facts that share a seq", () => {
    const { server, connection, facts } = live();
    server.last.say({ type: "event", seq: 110, more: true, thing: pump, name: "a", ts: "" });
    expect(connection.seq).toBe(100);
    server.last.say({ type: "event", seq: 110, thing: pump, name: "b", ts: "" });
    expect(connection.seq).toBe(110);
    expect(facts.map((f) => f.type === "event" && f.name)).toEqual(["a", "b"]);
    // The next update's prev is the seq of those facts, which is no gap.
    server.last.say(update(110, 112, {}));
    expect(server.last.of("resume")).toEqual([]);
  });

  it("notices a wire cut without a word: commands off and values old within 3 s of the last frame", () => {
    const { server, connection, links } = live();
    server.last.cut = true;
    vi.advanceTimersByTime(900);
    expect(connection.link.phase).toBe("live");
    vi.advanceTimersByTime(2100);
    expect(connection.link.phase).not.toBe("live");
    expect(connection.link.stale).toBe(true);
    expect(connection.send({ type: "cmd", id: "1", thing: pump, action: "x", input: {}, key: "1" })).toBe(false);
    expect(links.some((l) => l.stale)).toBe(true);
  });

  it("keeps a silent connection that answers", () => {
    const { server, connection } = live();
    vi.advanceTimersByTime(60_000);
    expect(connection.link.phase).toBe("live");
    expect(server.sockets).toHaveLength(1);
  });

  it("shows no value as old when it is back within 3 s", () => {
    const { server, connection, links } = live();
    server.last.end(1012);
    vi.advanceTimersByTime(300);
    server.last.say(hello());
    server.last.say(resumed(100));
    server.last.say(update(100, 100, {}));
    vi.advanceTimersByTime(5000);
    expect(connection.link).toMatchObject({ phase: "live", stale: false });
    expect(links.some((l) => l.stale)).toBe(false);
  });

  it("waits longer after each failure, and starts over only after a healthy while", () => {
    const { server, connection } = live();
    const waits: number[] = [];
    const fail = () => {
      server.last.end(1006);
      waits.push(connection.link.retryAt - Date.now());
      vi.advanceTimersByTime(connection.link.retryAt - Date.now());
    };
    fail();
    fail();
    server.last.say(hello());
    server.last.say(resumed(100));
    server.last.say(update(100, 100, {}));
    vi.advanceTimersByTime(1000); // greeted, but not for long
    fail();
    for (let i = 0; i < 8; i++) fail();
    expect(waits.slice(0, 4)).toEqual([250, 500, 1000, 2000]);
    expect(waits.at(-1)).toBe(7500);
    server.last.say(hello());
    server.last.say(resumed(100));
    server.last.say(update(100, 100, {}));
    vi.advanceTimersByTime(11_000);
    fail();
    expect(waits.at(-1)).toBe(250);
  });

  it("tries at once when the network comes back or somebody asks", () => {
    const { server, connection } = live();
    server.last.end(1006);
    connection.wake();
    expect(server.sockets).toHaveLength(2);
    expect(connection.link.phase).toBe("connecting");
  });

  it.each([
    [1012, "waiting"],
    [1009, "waiting"],
    [4008, "waiting"],
    [4029, "waiting"],
    [4001, "waiting"],
    [4499, "waiting"],
    [5000, "waiting"],
    [4500, "ended"],
    [4503, "ended"],
    [4510, "ended"],
    [4999, "ended"],
  ])("after close code %d is %s", (code, phase) => {
    const { server, connection } = live();
    server.last.end(code);
    expect(connection.link.phase).toBe(phase);
    vi.advanceTimersByTime(60_000);
    expect(server.sockets.length > 1).toBe(phase === "waiting");
  });

  it("waits as long as a leaving server asks", () => {
    const { server, connection } = live();
    server.last.say({ type: "bye", code: "drain", reconnectIn: 3200 });
    server.last.end(1012);
    expect(connection.link.retryAt - Date.now()).toBe(3200);
  });

  it("says when a server closes before its greeting: the session may be over", () => {
    const { server, connection } = start();
    const refused = vi.fn();
    connection.onRefused(refused);
    server.last.end(1006);
    expect(refused).toHaveBeenCalledOnce();
  });

  it("survives what is no frame, and frames of types it does not know", () => {
    const { server, connection } = live();
    server.last.onmessage?.({ data: "{oops" });
    server.last.onmessage?.({ data: "17" });
    server.last.say({ type: "tomorrow" });
    expect(connection.link.phase).toBe("live");
  });

  it("sends nothing while it is not live, and queues nothing", () => {
    const { server, connection } = start();
    expect(connection.send({ type: "ping" })).toBe(false);
    server.last.say(hello());
    server.last.say(snapshot(1, {}));
    expect(server.last.of("cmd")).toEqual([]);
    expect(connection.send({ type: "cmd", id: "7", thing: pump, action: "setSpeed", input: { speed: 60 }, key: "k" })).toBe(true);
    expect(server.last.of("cmd")).toHaveLength(1);
  });
});

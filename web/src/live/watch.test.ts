import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Connection } from "./connection";
import type { Fact } from "./frames";
import { FakeServer, hello, resumed, snapshot, update } from "./testing/fakeserver";

const pump = "plant/line1/pump";
const fan = "plant/line2/fan";
const state = (values: Record<string, unknown>) => ({ ts: "2026-11-23T08:00:00Z", state: values });
const flush = () => vi.advanceTimersByTimeAsync(0);

function start() {
  const server = new FakeServer();
  const connection = new Connection({ url: () => "ws://host/ws", open: server.open, random: () => 0 });
  const facts: Fact[] = [];
  connection.onFact((fact) => facts.push(fact));
  connection.start();
  server.last.say(hello());
  return { server, connection, facts };
}

/** A connection that watches one path and has it. */
async function watching(path = "plant/line1/**", things: Record<string, unknown> = { [pump]: state({ speed: 60 }) }) {
  const all = start();
  const told = vi.fn();
  const view = all.connection.watch(path, told);
  await flush();
  all.server.last.say(snapshot(100, things));
  return { ...all, view, told };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("views", () => {
  it("of one path share one subscription, which ends with the last of them", async () => {
    const { server, connection, view, told } = await watching();
    const late = vi.fn();
    const other = connection.watch("plant/line1/**", late);
    await flush();
    expect(server.last.of("sub")).toHaveLength(1);
    // Who comes later is told what is there, without asking the server.
    expect(late.mock.calls.map(([changed]) => [...changed])).toEqual([[[pump, ["speed"]]]]);
    expect([view.ready, other.ready]).toEqual([true, true]);
    server.last.say(update(100, 101, { [pump]: { set: { speed: 61 } } }));
    expect([told.mock.calls.length, late.mock.calls.length]).toEqual([2, 2]);
    view.close();
    view.close();
    await flush();
    expect(server.last.of("unsub")).toEqual([]);
    server.last.say(update(101, 102, { [pump]: { set: { speed: 62 } } }));
    expect([told.mock.calls.length, late.mock.calls.length]).toEqual([2, 3]);
    other.close();
    await flush();
    expect(server.last.of("unsub")).toEqual([{ type: "unsub", sub: "s1" }]);
    expect(connection.subscriptions).toBe(0);
  });

  it.each([
    [{ path: "plant/line1/**", rate: 5 }, { path: "plant/line1/**", rate: 2 }, 1],
    [{ path: "plant/line1/**", rate: 2 }, { path: "plant/line1/**", rate: 5 }, 2],
    [{ path: "plant/line1/**", rate: 2 }, { path: "plant/line1/**" }, 2],
    [{ path: "plant/line1/**" }, { path: "plant/line1/**", fields: ["speed"], rate: 2 }, 1],
    [{ path: "plant/line1/**", fields: ["speed", "torque"] }, { path: "plant/line1/**", fields: ["speed"] }, 1],
    [{ path: "plant/line1/**", fields: ["speed"] }, { path: "plant/line1/**", fields: ["torque"] }, 2],
    [{ path: "plant/line1/**", fields: ["speed"] }, { path: "plant/line1/**" }, 2],
  ])("%j and then %j: %d", async (first, second, want) => {
    const { server, connection } = start();
    connection.watch(first);
    connection.watch(second);
    await flush();
    expect(server.last.of("sub")).toHaveLength(want);
  });

  it("that replace each other in one task cost nothing", async () => {
    const { server, connection, view } = await watching();
    for (let i = 0; i < 50; i++) connection.watch("plant/line9/**").close();
    view.close();
    connection.watch("plant/line1/**");
    await flush();
    expect(server.last.of("sub")).toHaveLength(1);
    expect(server.last.of("unsub")).toEqual([]);
  });

  it("closed before the answer end at the server when its name is known, and nothing of them stays", async () => {
    const { server, connection } = start();
    const view = connection.watch("plant/line1/**");
    await flush();
    view.close();
    await flush();
    expect(server.last.of("unsub")).toEqual([]);
    server.last.say(snapshot(100, { [pump]: state({ speed: 60 }) }));
    expect(server.last.of("unsub")).toEqual([{ type: "unsub", sub: "s1" }]);
    server.last.say(update(100, 101, { [pump]: { set: { speed: 61 } } })); // on its way since before
    expect(connection.store.things.size).toBe(0);
    expect(connection.subscriptions).toBe(0);
  });

  it("leave each other's things alone: a snapshot removes only what it is about", async () => {
    const { server, connection } = await watching();
    connection.watch("plant/line2/**");
    await flush();
    server.last.say(snapshot(101, { [fan]: state({ speed: 1 }) }, false, 2));
    expect([...connection.store.things.keys()]).toEqual([pump, fan]);
    server.last.say(update(101, 102, { [pump]: { set: { speed: 61 } } }));
    expect(connection.store.value(pump, "speed")?.value).toBe(61);
    expect(server.last.of("resume")).toEqual([]);
  });

  it("take what is theirs with them, thing by thing and property by property", async () => {
    const { server, connection, view } = await watching("plant/**", {
      [pump]: { ...state({ speed: 60, torque: 7 }), stale: ["torque"], quality: { torque: "bad" } },
      [fan]: state({ speed: 1 }),
    });
    connection.watch({ path: pump, fields: ["speed"] });
    await flush();
    server.last.say(snapshot(101, { [pump]: state({ speed: 60, torque: 7 }) }, false, 2)); // whole, since both follow it
    view.close();
    await flush();
    expect([...connection.store.things.keys()]).toEqual([pump]);
    expect([...connection.store.things.get(pump)!.values.keys()]).toEqual(["speed"]);
    expect(connection.store.things.get(pump)!.stale.size).toBe(0);
    // A frame from before the server knew it brings nothing back.
    server.last.say(update(101, 102, { [pump]: { set: { torque: 8, speed: 61 }, stale: ["torque"] }, [fan]: { set: { speed: 2 } } }));
    expect([...connection.store.things.keys()]).toEqual([pump]);
    expect([...connection.store.things.get(pump)!.values.keys()]).toEqual(["speed"]);
    expect(connection.store.things.get(pump)!.stale.size).toBe(0);
  });

  it("are told of their fields only, also when somebody else follows more", async () => {
    const { server, connection } = await watching();
    const told = vi.fn();
    connection.watch({ path: "plant/line1/**", fields: ["speed"] }, told);
    await flush();
    told.mockClear();
    server.last.say(update(100, 101, { [pump]: { set: { torque: 7 } } }));
    expect(told).not.toHaveBeenCalled();
    server.last.say(update(101, 102, { [pump]: { set: { torque: 8, speed: 61 } } }));
    expect(told.mock.calls.map(([changed]) => [...changed])).toEqual([[[pump, ["speed"]]]]);
  });

  it("are ready with the last page, and told so even when it is empty", async () => {
    const { server, connection } = start();
    const told = vi.fn();
    const view = connection.watch("plant/line7/**", told);
    await flush();
    server.last.say(snapshot(100, { "plant/line7/a": state({}) }, true));
    expect(view.ready).toBe(false);
    server.last.say(snapshot(100, {}));
    expect(view.ready).toBe(true);
    expect(told).toHaveBeenCalledTimes(2);
    expect(view.things().map((t) => t.id)).toEqual(["plant/line7/a"]);
  });

  it("that the server refuses say why, and hold nobody up", async () => {
    const { server, connection } = start();
    const told = vi.fn();
    const bad = connection.watch("no/**/good", told);
    connection.watch("plant/line1/**");
    await flush();
    const [first] = server.last.of("sub");
    server.last.say({ type: "error", id: first!.id, code: "malformed", message: "** is last only", at: "/path" });
    expect(bad.problem).toMatchObject({ code: "malformed", at: "/path" });
    expect(told).toHaveBeenCalledOnce();
    server.last.say(snapshot(100, {}, false, 2));
    expect(connection.link.phase).toBe("live");
    bad.close();
    expect(connection.subscriptions).toBe(1);
  });

  it("in great number are asked for no faster than the server takes them", async () => {
    const { server, connection } = start();
    for (let i = 0; i < 64; i++) connection.watch(`plant/line${i}/**`);
    await flush();
    expect(server.last.of("sub")).toHaveLength(40);
    await vi.advanceTimersByTimeAsync(1000);
    expect(server.last.of("sub")).toHaveLength(64);
  });

  it("come and go a thousand times and leave nothing", async () => {
    const { server, connection } = await watching();
    let subs = 1;
    const said: number[] = [];
    server.last.serve = (m) => {
      said.push(Date.now());
      if (m.type === "ping") server.last.say({ type: "pong", id: m.id });
      if (m.type === "unsub") subs--;
      if (m.type !== "sub") return;
      subs++;
      server.last.say({ ...snapshot(100, { [String(m.path)]: state({ x: 1 }) }), id: m.id, sub: `s${m.id}` });
    };
    for (let i = 0; i < 1000; i++) {
      const views = [connection.watch(`churn/t${i}`), connection.watch({ path: `churn/t${i}`, fields: ["x"] })];
      if (i % 3) await flush(); // some are gone before they were asked for
      for (const view of views) view.close();
      if (i % 30 === 0) await vi.advanceTimersByTimeAsync(1000);
    }
    await vi.advanceTimersByTimeAsync(60_000);
    expect([subs, connection.subscriptions]).toEqual([1, 1]);
    expect([...connection.store.things.keys()]).toEqual([pump]);
    const inASecond = said.map((at) => said.filter((other) => other >= at && other < at + 1000).length);
    expect(Math.max(...inASecond)).toBeLessThanOrEqual(100); // or the server does not do them all
    connection.close();
    expect(vi.getTimerCount()).toBe(0);
  });

  it("may throw without breaking the connection or each other", async () => {
    const { server, connection } = await watching();
    const told = vi.fn();
    connection.watch("plant/line1/**", () => {
      throw new Error("of the page");
    });
    connection.watch("plant/line1/**", told);
    await expect(flush()).rejects.toThrow("of the page"); // out of a timer, where the page hears it
    told.mockClear();
    server.last.say(update(100, 101, { [pump]: { set: { speed: 61 } } }));
    expect(told).toHaveBeenCalledOnce();
    expect(connection.seq).toBe(101);
    expect(() => vi.advanceTimersByTime(1)).toThrow("of the page");
  });
});

describe("after a loss", () => {
  it("what is here goes on, and what was not whole is asked for anew", async () => {
    const { server, connection, view } = await watching();
    connection.watch("plant/line2/**");
    await flush();
    server.last.say(snapshot(101, { [fan]: state({ speed: 1 }) }, true, 2)); // and no last page
    server.last.end(1006);
    connection.watch("plant/line3/**");
    const gone = connection.watch("plant/line4/**");
    gone.close();
    await vi.advanceTimersByTimeAsync(300);
    server.last.say(hello());
    expect(server.last.of("resume")).toMatchObject([{ seq: 100, subs: [{ path: "plant/line1/**" }] }]);
    expect(server.last.of("sub").map((m) => m.path)).toEqual(["plant/line2/**", "plant/line3/**"]);
    server.last.say(resumed(120));
    server.last.say(update(100, 120, {}));
    expect(connection.link.phase).toBe("connecting");
    const [line2, line3] = server.last.of("sub");
    server.last.say({ ...snapshot(120, {}), id: line2!.id, sub: "s2" });
    server.last.say({ ...snapshot(120, {}), id: line3!.id, sub: "s3" });
    expect(connection.link.phase).toBe("live");
    view.close();
    await flush();
    expect(server.last.of("unsub")).toEqual([{ type: "unsub", sub: "s1" }]);
  });

  it("a log that was empty is gone on with from its beginning, and what came meanwhile is not missed", async () => {
    const { server, connection } = start();
    connection.watch("plant/line1/**");
    await flush();
    server.last.say(snapshot(0, {}));
    server.last.end(1006);
    await vi.advanceTimersByTimeAsync(300);
    server.last.say(hello());
    expect(server.last.of("resume")).toMatchObject([{ epoch: "k3f9", seq: 0 }]);
    expect(server.last.of("sub")).toEqual([]);
  });

  it("a resume that is answered from a snapshot is over with its last page", async () => {
    const { server, connection } = await watching();
    server.last.end(1006);
    await vi.advanceTimersByTimeAsync(300);
    server.last.say(hello());
    server.last.say(resumed(500, ["s9"], "snapshot"));
    server.last.say({ ...snapshot(500, {}, true), id: undefined, sub: "s9" });
    expect(connection.link.phase).toBe("connecting");
    expect(connection.store.things.has(pump)).toBe(true);
    server.last.say({ ...snapshot(500, {}), id: undefined, sub: "s9" });
    expect(connection.link.phase).toBe("live");
    expect(connection.store.things.has(pump)).toBe(false);
  });

  it("a refused resume starts from the beginning", async () => {
    const { server, connection } = await watching();
    server.last.end(1006);
    await vi.advanceTimersByTimeAsync(300);
    server.last.say(hello());
    const [asked] = server.last.of("resume");
    server.last.say({ type: "error", id: asked!.id, code: "too_many", message: "at most 0 subscriptions" });
    expect(server.last.of("sub").map((m) => m.path)).toEqual(["plant/line1/**"]);
    expect(connection.seq).toBe(0);
  });

  it("a resume that would be too large a frame is none", async () => {
    const { server, connection } = await watching();
    server.last.end(1006);
    await vi.advanceTimersByTimeAsync(300);
    server.last.say({ ...hello(), limits: { frame: 50 } });
    expect(server.last.of("resume")).toEqual([]);
    expect(server.last.of("sub")).toHaveLength(1);
    expect(connection.link.phase).toBe("connecting");
  });
});

describe("the chain", () => {
  it("a view that is closed while a resume is on its way is ended by its new name", async () => {
    const { server, view } = await watching();
    server.last.say(update(99, 105, {}));
    expect(server.last.of("resume")).toHaveLength(1);
    view.close();
    await flush();
    server.last.say(resumed(105, ["s2"]));
    expect(server.last.of("unsub")).toEqual([{ type: "unsub", sub: "s2" }]);
  });

  it("what a broken chain says is shown neither before nor twice", async () => {
    const { server, connection, facts } = await watching();
    const event = (seq: number, name: string) => ({ type: "event", seq, thing: pump, name, ts: "2026-11-23T08:00:00Z" });
    server.last.say(update(103, 105, { [pump]: { set: { speed: 99 } } }));
    expect(connection.link).toMatchObject({ phase: "connecting", reason: "gap" });
    // On their way since before the resume, which brings them again.
    server.last.say(event(106, "trip"));
    server.last.say(update(106, 107, { [pump]: { set: { speed: 98 } } }));
    expect(connection.store.value(pump, "speed")?.value).toBe(60);
    expect(facts).toEqual([]);
    server.last.say(resumed(107));
    server.last.say(update(100, 105, { [pump]: { set: { speed: 99 } } }));
    server.last.say(event(106, "trip"));
    server.last.say(update(106, 107, { [pump]: { set: { speed: 98 } } }));
    expect(facts).toHaveLength(1);
    expect(connection.store.value(pump, "speed")?.value).toBe(98);
    expect(connection.link.phase).toBe("live");
  });

  it("values are last known ones when a broken chain is not mended in time", async () => {
    const { server, connection } = await watching();
    const lostAt = Date.now();
    server.last.say(update(103, 105, {}));
    await vi.advanceTimersByTimeAsync(3000); // the server answers pings, and not the resume
    expect(connection.link).toMatchObject({ stale: true, reason: "gap", since: lostAt });
  });

  it("a chain that breaks again and again starts from the beginning", async () => {
    const { server, connection } = await watching();
    for (let i = 0; i < 2; i++) {
      server.last.say(update(7, 105, {}));
      expect(server.last.of("resume")).toHaveLength(i + 1);
      server.last.say(resumed(105));
    }
    server.last.say(update(7, 105, {}));
    expect(server.last.of("resume")).toHaveLength(2);
    expect(server.last.of("unsub")).toEqual([{ type: "unsub" }]);
    expect(server.last.of("sub")).toHaveLength(2);
    server.last.say({ ...snapshot(105, {}, false, 2) });
    expect(connection.link.phase).toBe("live");
  });

  it("a message that was not done, nobody says which, is made good by a resume", async () => {
    const { server } = await watching();
    server.last.say({ type: "error", code: "too_many", message: "at most 50 messages a second; this one was not done" });
    server.last.say({ type: "error", code: "too_many", message: "at most 50 messages a second; this one was not done" });
    await vi.advanceTimersByTimeAsync(999);
    expect(server.last.of("resume")).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(server.last.of("resume")).toHaveLength(1);
  });
});

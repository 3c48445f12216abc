import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FakeServer, hello } from "../live/testing/fakeserver";
import { Player } from "./player";

const eight = Date.parse("2026-11-23T08:00:00Z");
const text = (ms: number) => new Date(ms).toISOString();
const pump = "plant/line1/pump";

let server: FakeServer;
let player: Player;

/** A server that replays: each `replay` with a moment starts anew. */
function serve() {
  let at = 0, speed = 1, paused = false, epoch = 0;
  const socket = server.last;
  socket.serve = (m) => {
    if (m.type === "ping") socket.say({ type: "pong", id: m.id });
    if (m.type === "sub") socket.say({ type: "snapshot", id: m.id, sub: "s1", epoch: "k3f9", seq: 9, matched: 1, hidden: 0, more: false, things: { [pump]: { state: { speed: 777 } } } });
    if (m.type !== "replay") return;
    const jumped = m.from !== undefined;
    at = (m.from as number | undefined) ?? player.now();
    speed = (m.speed as number | undefined) ?? speed;
    paused = (m.pause as boolean | undefined) ?? paused;
    if (jumped) epoch++;
    socket.say({ type: "replaying", id: m.id, replay: true, at: text(at), epoch: `replay-${epoch}`, from: text(at), speed, paused, ts: text(Date.now()), subs: ["s1"] });
    if (jumped) socket.say({ type: "snapshot", sub: "s1", epoch: `replay-${epoch}`, seq: at, replay: true, at: text(at), matched: 1, hidden: 0, more: false, things: { [pump]: { ts: text(at), state: { speed: epoch } } } });
  };
  socket.say(hello());
}

beforeEach(() => {
  vi.useFakeTimers({ now: Date.parse("2026-11-26T08:00:00Z") });
  server = new FakeServer();
});
afterEach(() => {
  player.close();
  vi.useRealTimers();
});

function begin(course = { at: eight, speed: 10, paused: false }) {
  player = new Player("ws://test/ws", server.open, course);
  serve();
}

describe("Player", () => {
  it("asks for the moment and shows the past only", () => {
    begin();
    expect(server.last.of("sub")).toMatchObject([{ path: "**" }]);
    expect(server.last.of("replay")).toMatchObject([{ from: eight, speed: 10, pause: false }]);
    expect(player.store.value(pump, "speed")?.value).toBe(1);
    server.last.say({ type: "update", prev: 9, seq: 10, merged: 1, things: { [pump]: { set: { speed: 778 } } } });
    expect(player.store.value(pump, "speed")?.value).toBe(1);
    server.last.say({ type: "update", prev: eight, seq: eight + 1000, replay: true, at: text(eight + 1000), merged: 1, things: { [pump]: { set: { speed: 2 } } } });
    expect(player.store.value(pump, "speed")?.value).toBe(2);
    expect(player.state.phase).toBe("playing");
  });

  it("moves on between frames, stands when paused and follows the server's word", () => {
    begin();
    vi.advanceTimersByTime(2000);
    expect(player.now()).toBe(eight + 20_000);
    player.pause();
    vi.advanceTimersByTime(5000);
    expect(player.now()).toBe(eight + 20_000);
    expect(server.last.of("replay").at(-1)).toMatchObject({ pause: true });
    expect(server.last.of("replay").at(-1)).not.toHaveProperty("from");
    player.play();
    player.hurry(600);
    vi.advanceTimersByTime(1000);
    expect(player.now()).toBe(eight + 620_000);
    server.last.say({ type: "ping", seq: 1, ts: "", replay: true, at: text(eight) }); // its history is slow
    expect(player.now()).toBe(eight);
  });

  it("asks once for the newest of many moments, and forgets what led to the one before", () => {
    begin({ at: eight, speed: 1, paused: true });
    const starts = vi.fn();
    player.onStart(starts);
    for (let i = 1; i <= 40; i++) {
      player.seek(eight + i * 1000);
      vi.advanceTimersByTime(10);
    }
    vi.advanceTimersByTime(200);
    expect(server.last.of("replay").length).toBeLessThanOrEqual(6);
    expect(server.last.of("replay").at(-1)).toMatchObject({ from: eight + 40_000, pause: true });
    expect(player.now()).toBe(eight + 40_000);
    expect(player.state.phase).toBe("paused");
    expect(starts.mock.calls.length).toBe(server.last.of("replay").length - 1);
  });

  it("goes on after a cut at the moment where it was", () => {
    begin();
    vi.advanceTimersByTime(3000);
    server.last.end(1012, "drain");
    expect(player.state.phase).toBe("connecting");
    vi.advanceTimersByTime(1000);
    expect(player.now()).toBe(eight + 30_000);
    expect(server.sockets.length).toBe(2);
    serve();
    expect(server.last.of("replay")).toMatchObject([{ from: eight + 30_000, speed: 10, pause: false }]);
    expect(player.state.phase).toBe("playing");
  });

  it("says why a moment is not shown, and which is the first", () => {
    begin();
    const answer = server.last.serve;
    server.last.serve = (m) => {
      if (m.type === "replay") server.last.say({ type: "error", id: m.id, code: "out_of_range", message: "before what is kept", at: "/from", minimum: eight });
    };
    player.seek(eight - 1e9);
    vi.advanceTimersByTime(200);
    expect(player.state).toMatchObject({ phase: "refused", message: "before what is kept", earliest: eight });
    server.last.serve = answer;
    player.seek(eight + 1000);
    vi.advanceTimersByTime(200);
    expect(player.state).toMatchObject({ phase: "playing", message: "" });
  });

  it("stands still at the end until it is moved", () => {
    begin();
    server.last.say({ type: "replayed", replay: true, at: text(eight + 5000), reason: "present" });
    vi.advanceTimersByTime(5000);
    expect(player.now()).toBe(eight + 5000);
    player.play();
    expect(player.state.phase).toBe("ended");
    player.seek(eight);
    vi.advanceTimersByTime(200);
    expect(player.state.phase).toBe("playing");
  });

  it("hands on facts of the past and never one of the present", () => {
    begin();
    const facts = vi.fn();
    player.onFact(facts);
    server.last.say({ type: "event", seq: 11, thing: pump, name: "jam", ts: "" });
    server.last.say({ type: "event", seq: eight, replay: true, at: text(eight), thing: pump, name: "jam", ts: "" });
    expect(facts).toHaveBeenCalledTimes(1);
    expect(facts.mock.calls[0]![0]).toMatchObject({ replay: true });
  });
});

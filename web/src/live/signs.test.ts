// Of what a connection says about itself: who it is, why it is not live and since
// when, and what wakes it.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { connect, socketURL } from "./connect";
import { Connection, type Options } from "./connection";
import type { Link } from "./link";
import { FakeServer, FakeSocket, hello, resumed, snapshot, update } from "./testing/fakeserver";

const now = Date.parse("2026-11-23T08:00:00Z");

function start(options: Partial<Options> = {}) {
  const server = new FakeServer();
  const connection = new Connection({ url: () => "ws://host/ws", open: server.open, random: () => 0, ...options });
  const links: Link[] = [];
  connection.onLink((link) => links.push(link));
  connection.watch("plant/**");
  connection.start();
  return { server, connection, links };
}

function live(options: Partial<Options> = {}) {
  const all = start(options);
  all.server.last.say(hello());
  all.server.last.say(snapshot(100, {}));
  return all;
}

beforeEach(() => {
  vi.useFakeTimers({ now });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("why it is not live", () => {
  it("is nothing while it is", () => {
    expect(start().connection.link).toMatchObject({ phase: "connecting", reason: "opening", stale: false });
    expect(live().connection.link).toMatchObject({ phase: "live", reason: "", since: 0, stale: false });
  });

  it("is silence, since the last frame, when the wire was cut without a word", () => {
    const { server, connection, links } = live();
    server.last.cut = true;
    vi.advanceTimersByTime(3000);
    expect(connection.link).toMatchObject({ stale: true, reason: "silence", since: now });
    expect(links.find((l) => l.stale)).toMatchObject({ phase: expect.stringMatching(/waiting|connecting/) });
  });

  it("is a lost wire, and stays that while attempts fail", () => {
    const { server, connection } = live();
    vi.advanceTimersByTime(500);
    server.last.say(update(100, 101, {}));
    server.last.end(1006);
    expect(connection.link).toMatchObject({ phase: "waiting", stale: false, reason: "lost", since: now + 500 });
    vi.advanceTimersByTime(300);
    server.last.end(1006);
    vi.advanceTimersByTime(5000);
    expect(connection.link).toMatchObject({ stale: true, reason: "lost", since: now + 500 });
    server.last.say(hello());
    server.last.say(resumed(101));
    server.last.say(update(101, 101, {}));
    expect(connection.link).toMatchObject({ phase: "live", stale: false, reason: "", since: 0 });
  });

  it("is the server's goodbye with its word", () => {
    const { server, connection } = live();
    server.last.say({ type: "bye", code: "drain", reconnectIn: 3200 });
    server.last.end(1012, "drain");
    expect(connection.link).toMatchObject({ reason: "goodbye", code: 1012, word: "drain", since: now });
  });

  it("is an administrator's, who says why, and when it may come back or that it may not", () => {
    const { server, connection } = live();
    const message = "an administrator closed this connection: maintenance";
    server.last.say({ type: "bye", code: "closed", message, reconnectIn: 10_000 });
    server.last.end(4002, "closed");
    expect(connection.link).toMatchObject({ phase: "waiting", code: 4002, word: "closed", message });
    expect(connection.link.retryAt - Date.now()).toBe(10_000);
    vi.advanceTimersByTime(10_000);
    server.last.say({ type: "bye", code: "closed", message });
    server.last.end(4502, "closed");
    expect(connection.link).toMatchObject({ phase: "ended", code: 4502, message });
  });

  it("is a code without a goodbye, too", () => {
    const { server, connection } = live();
    server.last.end(4503, "forbidden");
    expect(connection.link).toMatchObject({ phase: "ended", reason: "goodbye", code: 4503, word: "forbidden", stale: true });
  });

  it("is that we closed it, and then nothing is left that ticks", () => {
    const { server, connection } = live();
    connection.close();
    expect(connection.link).toMatchObject({ phase: "ended", reason: "closed", stale: true, since: now });
    expect(server.last.readyState).toBe(3);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("is said later when it is asked to be patient", () => {
    const { server, connection } = live({ staleAfter: 30_000 });
    const pings = () => server.last.of("ping").length;
    const before = pings();
    server.last.serve = () => undefined;
    server.last.say(update(100, 101, {}));
    vi.advanceTimersByTime(9_900);
    expect(connection.link.stale).toBe(false);
    expect(pings() - before).toBe(1); // that of the lag; nobody asks each second
    vi.advanceTimersByTime(20_100);
    expect(connection.link).toMatchObject({ stale: true, reason: "silence" });
  });
});

describe("signing in", () => {
  const stranger = { ...hello(), user: "" };

  it("is by token where no cookie did, before anything else", async () => {
    const { server, connection } = start({ token: "et_secret" });
    server.last.say(stranger);
    await vi.advanceTimersByTimeAsync(0);
    expect(server.last.of("auth")).toEqual([{ type: "auth", id: "auth", token: "et_secret" }]);
    expect(server.last.of("sub")).toEqual([]);
    server.last.say({ type: "ok", id: "auth", user: "ana" });
    expect(server.last.of("sub")).toHaveLength(1);
    server.last.say(snapshot(100, {}));
    expect(connection.link).toMatchObject({ phase: "live", user: "ana" });
  });

  it("asks for a fresh token at each attempt, and goes on where it was", async () => {
    let n = 0;
    const { server } = start({ token: () => Promise.resolve(`t${++n}`) });
    server.last.say(stranger);
    await vi.advanceTimersByTimeAsync(0);
    server.last.say({ type: "ok", id: "auth", user: "ana" });
    server.last.say(snapshot(100, {}));
    server.last.say({ type: "bye", code: "session_over" });
    server.last.end(4001);
    await vi.advanceTimersByTimeAsync(300);
    server.last.say(stranger);
    await vi.advanceTimersByTimeAsync(0);
    expect(server.last.of("auth")).toMatchObject([{ token: "t2" }]);
    server.last.say({ type: "ok", id: "auth", user: "ana" });
    expect(server.last.of("resume")).toMatchObject([{ seq: 100 }]);
  });

  it("that has no token to show says so and tries again", async () => {
    const { server, connection } = start({ token: () => Promise.reject(new Error("the portal is down")) });
    server.last.say(stranger);
    await vi.advanceTimersByTimeAsync(0);
    expect(connection.link).toMatchObject({ phase: "waiting", reason: "token", word: "the portal is down" });
    await vi.advanceTimersByTimeAsync(300);
    expect(server.sockets).toHaveLength(2);
  });

  it("with a wrong token ends it", async () => {
    const { server, connection } = start({ token: "et_wrong" });
    server.last.say(stranger);
    await vi.advanceTimersByTimeAsync(0);
    server.last.say({ type: "error", id: "auth", code: "unauthorized", message: "the token is unknown" });
    server.last.say({ type: "bye", code: "not_signed_in", reconnectIn: 0 });
    server.last.end(4500, "not_signed_in");
    expect(connection.link).toMatchObject({ phase: "ended", reason: "goodbye", code: 4500, word: "not_signed_in" });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(server.sockets).toHaveLength(1);
  });

  it("is the page's business when there is no token: it is told, and nothing is asked for", () => {
    const { server, connection } = start();
    const refused = vi.fn();
    connection.onRefused(refused);
    server.last.say(stranger);
    expect(refused).toHaveBeenCalledOnce();
    expect(server.last.of("sub")).toEqual([]);
  });

  it("that is over sends the page to look, and comes back meanwhile", () => {
    const { server, connection } = live();
    const refused = vi.fn();
    connection.onRefused(refused);
    server.last.end(4001);
    expect(refused).toHaveBeenCalledOnce();
    expect(connection.link.phase).toBe("waiting");
  });
});

describe("waking", () => {
  /** A page, as far as waking goes. */
  function page() {
    const counted = { window: 0, document: 0 };
    const count = (target: EventTarget, name: "window" | "document") => {
      const { addEventListener, removeEventListener } = target;
      return Object.assign(target, {
        addEventListener: (...a: Parameters<EventTarget["addEventListener"]>) => (counted[name]++, addEventListener.apply(target, a)),
        removeEventListener: (...a: Parameters<EventTarget["removeEventListener"]>) => (counted[name]--, removeEventListener.apply(target, a)),
      });
    };
    const window = count(new EventTarget(), "window");
    const document = Object.assign(count(new EventTarget(), "document"), { visibilityState: "visible" });
    vi.stubGlobal("document", document);
    vi.stubGlobal("addEventListener", window.addEventListener);
    vi.stubGlobal("removeEventListener", window.removeEventListener);
    return { window, document, counted };
  }

  /** Lost, with a long wait ahead. */
  function waiting() {
    const all = live();
    for (let i = 0; i < 6; i++) {
      all.server.last.end(1006);
      if (i < 5) vi.advanceTimersByTime(all.connection.link.retryAt - Date.now());
    }
    return all;
  }

  it.each(["online", "pageshow"])("%s tries at once", (type) => {
    const { window } = page();
    const { server } = waiting();
    const before = server.sockets.length;
    window.dispatchEvent(new Event(type));
    expect(server.sockets).toHaveLength(before + 1);
  });

  it.each(["visibilitychange", "resume"])("%s of the document tries at once when it is seen, and not when it is hidden", (type) => {
    const { document } = page();
    const { server } = waiting();
    const before = server.sockets.length;
    document.visibilityState = "hidden";
    document.dispatchEvent(new Event(type));
    expect(server.sockets).toHaveLength(before);
    document.visibilityState = "visible";
    document.dispatchEvent(new Event(type));
    expect(server.sockets).toHaveLength(before + 1);
  });

  it("asks a socket that seems open whether it is, and gives it its time", () => {
    const { window } = page();
    const { server, connection } = live();
    server.last.cut = true;
    vi.setSystemTime(now + 60_000); // the timers slept
    window.dispatchEvent(new Event("online"));
    const asked = server.last.of("ping").length;
    expect(connection.link.phase).toBe("live");
    vi.advanceTimersByTime(1500);
    expect(asked).toBeGreaterThan(0);
    expect(connection.link.reason).toBe("silence");
  });

  it("does not cut short what the server asked for; a person may", () => {
    const { window } = page();
    const { server, connection } = live();
    server.last.say({ type: "bye", code: "too_many", reconnectIn: 30_000 });
    server.last.end(4029);
    window.dispatchEvent(new Event("online"));
    expect(server.sockets).toHaveLength(1);
    connection.retryNow();
    expect(server.sockets).toHaveLength(2);
  });

  it("is listened for as long as it could help, and no longer", () => {
    const { counted } = page();
    const { server, connection } = live();
    expect(counted).toEqual({ window: 2, document: 2 });
    connection.start();
    server.last.end(1006);
    expect(counted).toEqual({ window: 2, document: 2 });
    connection.close();
    expect(counted).toEqual({ window: 0, document: 0 });
    connection.start();
    expect(counted).toEqual({ window: 2, document: 2 });
    server.last.end(4500);
    expect(counted).toEqual({ window: 0, document: 0 });
  });
});

describe("commands", () => {
  it("resolve with the last step, and tell those before", async () => {
    const { server, connection } = live();
    const steps: string[] = [];
    const done = connection.command("plant/pump", "setSpeed", { speed: 60 }, { timeout: 5, onStep: (s) => steps.push(s.status) });
    const [asked] = server.last.of("cmd");
    expect(asked).toMatchObject({ thing: "plant/pump", action: "setSpeed", input: { speed: 60 }, timeout: 5 });
    expect(String(asked!.key).length).toBeGreaterThan(10);
    const step = (status: string) => server.last.say({ type: "cmd", id: asked!.id, cmd: "01", status, output: { speed: 60 } });
    step("accepted");
    step("sent");
    step("done");
    expect(steps).toEqual(["accepted", "sent"]);
    await expect(done).resolves.toMatchObject({ status: "done", output: { speed: 60 } });
  });

  it.each([
    [{ type: "error", code: "out_of_range", message: "speed 999 is above the maximum 100" }, "out_of_range"],
    [{ type: "cmd", cmd: "01", status: "failed", error: "door open" }, "failed"],
    [{ type: "cmd", cmd: "01", status: "timeout" }, "timeout"],
  ])("that end in %j reject", async (answer, code) => {
    const { server, connection } = live();
    const done = connection.command("plant/pump", "setSpeed", { speed: 999 });
    server.last.say({ ...answer, id: server.last.of("cmd")[0]!.id });
    await expect(done).rejects.toMatchObject({ name: "CommandError", problem: { code } });
  });

  it("are unknown when the connection is lost before the outcome, and are not sent again", async () => {
    const { server, connection } = live();
    const done = connection.command("plant/pump", "stop");
    server.last.say({ type: "cmd", id: server.last.of("cmd")[0]!.id, cmd: "01", status: "accepted" });
    server.last.end(1006);
    await expect(done).rejects.toMatchObject({ problem: { code: "unknown" }, step: { cmd: "01" } });
    vi.advanceTimersByTime(300);
    server.last.say(hello());
    server.last.say(resumed(100));
    server.last.say(update(100, 100, {}));
    expect(server.last.of("cmd")).toEqual([]);
  });

  it("are refused while it is not live", async () => {
    const { connection } = start();
    await expect(connection.command("plant/pump", "stop")).rejects.toMatchObject({ problem: { code: "not_live" } });
  });
});

describe("whenLive", () => {
  it("resolves when all is here, at once when it is already", async () => {
    const { server, connection } = start();
    const then = vi.fn();
    void connection.whenLive().then(then);
    server.last.say(hello());
    await vi.advanceTimersByTimeAsync(0);
    expect(then).not.toHaveBeenCalled();
    server.last.say(snapshot(100, {}));
    await vi.advanceTimersByTimeAsync(0);
    expect(then).toHaveBeenCalledOnce();
    await connection.whenLive();
  });

  it("rejects with the server's word when it ends before", async () => {
    const { server, connection } = start();
    const live = connection.whenLive();
    server.last.end(4500, "not_signed_in");
    await expect(live).rejects.toThrow("not_signed_in (4500)");
  });
});

describe("connect", () => {
  it.each([
    ["https://twin.example.com", "wss://twin.example.com/ws"],
    ["http://127.0.0.1:3000/", "ws://127.0.0.1:3000/ws"],
    ["https://example.com/twin/", "wss://example.com/twin/ws"],
    ["https://example.com/twin?ticket=t1#top", "wss://example.com/twin/ws?ticket=t1"],
    ["wss://example.com/ws", "wss://example.com/ws"],
  ])("%s is at %s", (server, url) => expect(socketURL(server)).toBe(url));

  it("says what is wrong with an address, and that a runtime has no WebSocket", () => {
    expect(() => socketURL("ftp://example.com")).toThrow("want https:// or http://");
    expect(() => connect("nonsense", { WebSocket: FakeSocket })).toThrow();
    vi.stubGlobal("WebSocket", undefined);
    expect(() => connect("http://host")).toThrow("pass one");
  });

  it("uses the WebSocket that it is given and asks for this protocol", () => {
    const opened: unknown[] = [];
    class Given extends FakeSocket {
      constructor(url: string, protocols?: string) {
        super(url);
        opened.push([url, protocols]);
      }
    }
    connect("http://host", { WebSocket: Given }).close();
    expect(opened).toEqual([["ws://host/ws", "echotwin.v1"]]);
  });

  it("waits and tries again when a socket cannot even be made", () => {
    class Forbidden {
      constructor() {
        throw new Error("against the policy");
      }
    }
    const connection = connect("http://host", { WebSocket: Forbidden });
    expect(connection.link).toMatchObject({ phase: "waiting", reason: "lost", word: "Error: against the policy" });
    connection.close();
  });
});

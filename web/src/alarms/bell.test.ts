import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Alarm } from "./alarm";
import { critical } from "./bell.svelte";
import { gather } from "./gather";

function alarm(id: string, more: Partial<Alarm> = {}): Alarm {
  return {
    id, thing: "plant/pump", rule: "high", severity: "critical", priority: 1, state: "active_unacked", message: "", raised: "2026-11-26T08:00:00Z", count: 1,
    ts: "2026-11-26T08:00:00Z", step: "raised", ...more,
  };
}

/** What a browser shows. */
class Shown {
  static permission: NotificationPermission = "granted";
  static asked = 0;
  static all: Shown[] = [];
  static answer: NotificationPermission = "granted";
  static requestPermission = async () => {
    Shown.asked++;
    return (Shown.permission = Shown.answer);
  };
  closed = false;
  onclick: (() => void) | null = null;
  constructor(readonly title: string, readonly options: { body: string; tag: string }) {
    Shown.all.push(this);
  }
  close() {
    this.closed = true;
  }
}

/** The sounds that were made, by their pitch. */
let played: number[] = [];
let allowed = true;
class Context {
  state = "suspended";
  currentTime = 0;
  destination = {};
  async resume() {
    if (allowed) this.state = "running";
  }
  createGain() {
    return { gain: { setValueAtTime: () => undefined, linearRampToValueAtTime: () => undefined }, connect: () => undefined };
  }
  createOscillator() {
    const frequency = { value: 0 };
    return { frequency, connect: (to: unknown) => to, start: () => played.push(frequency.value), stop: () => undefined };
  }
}

const words = (news: readonly Alarm[]) => ({ title: `${news.length} news`, body: "" });
const nowhere = () => undefined;

/** A bell as a page has it that is opened in this browser. */
async function freshBell() {
  vi.resetModules();
  const { Bell } = await import("./bell.svelte");
  return new Bell();
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.unstubAllGlobals();
  const kept = new Map<string, string>();
  vi.stubGlobal("localStorage", { getItem: (k: string) => kept.get(k) ?? null, setItem: (k: string, v: string) => kept.set(k, v) });
  vi.stubGlobal("isSecureContext", true);
  vi.stubGlobal("Notification", Shown);
  vi.stubGlobal("AudioContext", Context);
  vi.stubGlobal("window", { focus: nowhere });
  Shown.permission = "granted";
  Shown.answer = "granted";
  Shown.all = [];
  Shown.asked = 0;
  played = [];
  allowed = true;
});

describe("the bell", () => {
  it("is off until somebody chooses, and then stays as chosen in this browser", async () => {
    const bell = await freshBell();
    bell.ring([alarm("a")], words, nowhere);
    expect([played, Shown.all.length]).toEqual([[], 0]);
    await bell.choose({ sound: true, down: 3 });
    expect((await freshBell()).choice).toEqual({ sound: true, notify: false, down: 3 });
  });

  it("takes nothing that it did not write", async () => {
    localStorage.setItem("echotwin.alarms", '{"sound":"yes","down":9}');
    expect((await freshBell()).choice).toEqual({ sound: false, notify: false, down: 2 });
    localStorage.setItem("echotwin.alarms", "{");
    expect((await freshBell()).choice.sound).toBe(false);
  });

  it("sounds as the most urgent of what is new, and not for what is less urgent than chosen", async () => {
    const bell = await freshBell();
    await bell.choose({ sound: true });
    bell.ring([alarm("a", { priority: 3 }), alarm("b", { priority: 4 })], words, nowhere);
    expect(played).toEqual([]);
    bell.ring([alarm("a", { priority: 3 }), alarm("b", { priority: 2 })], words, nowhere);
    expect(played).toEqual([660, 660]);
  });

  it("says that the browser lets no sound out, until somebody touches the page", async () => {
    const bell = await freshBell();
    allowed = false;
    await bell.choose({ sound: true });
    expect(bell.chime.blocked).toBe(true);
    expect(bell.chime.play(1)).toBe(false);
    allowed = true;
    await bell.chime.wake();
    expect([bell.chime.blocked, bell.chime.play(1)]).toEqual([false, true]);
  });

  it("asks for notifications when somebody switches them on, and says when the browser refuses", async () => {
    Shown.permission = "default";
    const bell = await freshBell();
    expect([bell.refused, Shown.asked]).toEqual(["unasked", 0]);
    Shown.answer = "denied";
    await bell.choose({ notify: true });
    expect([bell.refused, Shown.asked]).toEqual(["denied", 1]);
    bell.ring([alarm("a")], words, nowhere);
    expect(Shown.all).toEqual([]);
    vi.stubGlobal("isSecureContext", false);
    expect((await freshBell()).refused).toBe("insecure");
    vi.stubGlobal("isSecureContext", true);
    vi.stubGlobal("Notification", undefined);
    expect((await freshBell()).refused).toBe("missing");
  });

  it("notifies once for one alarm or for many, leads there, and goes when somebody looks after it", async () => {
    const bell = await freshBell();
    await bell.choose({ notify: true });
    const opened: (string | null)[] = [];
    const open = (a: Alarm | null) => opened.push(a?.id ?? null);
    bell.ring([alarm("a")], words, open);
    bell.ring([alarm("b"), alarm("c"), alarm("low", { priority: 4 })], words, open);
    expect(Shown.all.map((n) => [n.title, n.options.tag])).toEqual([["1 news", "echotwin-a"], ["2 news", "echotwin-many"]]);
    for (const n of Shown.all) n.onclick?.();
    expect(opened).toEqual(["a", null]);

    bell.ring([alarm("d")], words, open);
    bell.settle(() => alarm("d"));
    expect(Shown.all[2]?.closed).toBe(false);
    bell.settle(() => alarm("d", { state: "active_acked" }));
    expect(Shown.all[2]?.closed).toBe(true);
  });

  it("says so when the browser has only the name of it", async () => {
    const bell = await freshBell();
    await bell.choose({ notify: true });
    vi.stubGlobal("Notification", Object.assign(function () {
      throw new TypeError("Illegal constructor");
    }, { permission: "granted" }));
    bell.ring([alarm("a")], words, nowhere);
    expect(bell.refused).toBe("missing");
  });

  it("goes on while something critical waits, and only then", () => {
    expect(critical([alarm("a", { priority: 2 }), alarm("b", { state: "active_acked" }), alarm("c", { suppressed: true })])).toBe(false);
    expect(critical([alarm("a", { state: "cleared_unacked" })])).toBe(true);
  });
});

describe("news", () => {
  /** A list whose raises are in the hands of the test. */
  function book() {
    const now = new Map<string, Alarm>();
    let raised: (a: Alarm) => void = nowhere;
    const told: string[][] = [];
    const leave = gather({ onRaised: (listener) => ((raised = listener), () => (raised = nowhere)), get: (id) => now.get(id) }, (news) => told.push(news.map((a) => a.id)));
    return { told, leave, raise: (a: Alarm) => (now.set(a.id, a), raised(a)), becomes: (a: Alarm) => now.set(a.id, a) };
  }

  it("of a flood are told together, and again with what comes later", async () => {
    const { told, raise } = book();
    for (let i = 0; i < 3; i++) raise(alarm(`a${i}`));
    raise(alarm("a0"));
    await vi.advanceTimersByTimeAsync(1500);
    raise(alarm("b"));
    await vi.advanceTimersByTimeAsync(1500);
    expect(told).toEqual([["a0", "a1", "a2"], ["b"]]);
  });

  it("are not what somebody has looked after meanwhile, or put aside", async () => {
    const { told, raise, becomes, leave } = book();
    raise(alarm("a"));
    raise(alarm("b"));
    becomes(alarm("a", { state: "active_acked" }));
    becomes(alarm("b", { shelved: { by: "ana", at: "", until: "", reason: "" } }));
    await vi.advanceTimersByTimeAsync(1500);
    raise(alarm("c"));
    leave();
    await vi.advanceTimersByTimeAsync(1500);
    expect(told).toEqual([]);
  });
});

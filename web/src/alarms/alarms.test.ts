import { beforeEach, describe, expect, it, test, vi } from "vitest";
import type { Fact, Link, Resync } from "../live";
import { nothing } from "../live/link";
import { flooded, markOf, order, summarize, wanted, active, type Alarm } from "./alarm";
import { Alarms } from "./book.svelte";
import { en } from "./en";
import { groupsOf, prioritiesOf } from "./groups";
import { earlier, readAll } from "./read";
import { fits, queryOf, Steps, type Wish } from "./steps.svelte";
import { vi as vietnamese } from "./vi";

const minute = (n: number) => new Date(Date.UTC(2026, 10, 26, 8, n)).toISOString();

function alarm(id: string, more: Partial<Alarm> = {}): Alarm {
  return {
    id, thing: "plant/pump", property: "speed", rule: "high", severity: "high", priority: 2, state: "active_unacked", message: "speed 95 % is above 90 %",
    value: 95, limit: 90, unit: "%", raised: minute(1), count: 1, ts: minute(1), step: "raised", seq: 1, ...more,
  };
}

/** A connection in the hands of the test. */
class Wire {
  epoch = "k3f9";
  #fact: (fact: Fact) => void = () => undefined;
  #gap: (gap: Resync) => void = () => undefined;
  #link: (link: Link) => void = () => undefined;
  #n = 0;
  onFact = (listener: (fact: Fact) => void) => ((this.#fact = listener), () => undefined);
  onGap = (listener: (gap: Resync) => void) => ((this.#gap = listener), () => undefined);
  onLink = (listener: (link: Link) => void) => ((this.#link = listener), () => undefined);

  says(a: Alarm): void {
    this.#fact({ type: "alarm", ...a, seq: a.seq ?? 0 });
  }
  gap(): void {
    this.#gap({ type: "resync", missed: 3 });
  }
  live(): void {
    this.#link({ ...nothing, phase: "live", currentAt: ++this.#n });
  }
  lost(): void {
    this.#link({ ...nothing, phase: "waiting" });
  }
}

/** A list of the server that the test answers when it likes. */
class Asked {
  answers: ((list: Alarm[]) => void)[] = [];
  failures: ((err: Error) => void)[] = [];
  read = () =>
    new Promise<Alarm[]>((resolve, reject) => {
      this.answers.push(resolve);
      this.failures.push(reject);
    });
  async answer(list: Alarm[], n = this.answers.length - 1): Promise<void> {
    this.answers[n]!(list);
    await vi.advanceTimersByTimeAsync(0);
  }
}

function book() {
  const wire = new Wire();
  const asked = new Asked();
  return { wire, asked, alarms: new Alarms(wire, asked.read) };
}
const shown = async (alarms: Alarms) => {
  await vi.advanceTimersByTimeAsync(1000);
  return alarms.list.map((a) => `${a.id} ${a.state}`);
};

beforeEach(() => {
  vi.useFakeTimers();
  vi.unstubAllGlobals();
});

describe("the alarms that stand", () => {
  it("are read when the connection is there, and kept by facts", async () => {
    const { wire, asked, alarms } = book();
    expect(alarms.whole).toBe(false);
    wire.live();
    await asked.answer([alarm("a")]);
    expect(alarms.whole).toBe(true);
    wire.says(alarm("b", { seq: 2, priority: 1 }));
    wire.says(alarm("a", { seq: 3, state: "active_acked", step: "acked", acked: { by: "ana", at: minute(2) } }));
    expect(await shown(alarms)).toEqual(["b active_unacked", "a active_acked"]);
    wire.says(alarm("a", { seq: 4, state: "cleared_acked", step: "cleared" }));
    expect(await shown(alarms)).toEqual(["b active_unacked"]);
    expect(alarms.get("a")).toBeUndefined();
  });

  it("are the same in whatever order the list and the facts come", async () => {
    const { wire, asked, alarms } = book();
    wire.live();
    wire.says(alarm("new", { seq: 9 })); // not in the list
    wire.says(alarm("over", { seq: 8, state: "cleared_acked", step: "cleared" })); // in the list as it stood before
    wire.says(alarm("old", { seq: 2 })); // the list has more
    await asked.answer([alarm("over", { seq: 4 }), alarm("old", { seq: 5, state: "active_acked", step: "acked" })]);
    expect(await shown(alarms)).toEqual(["new active_unacked", "old active_acked"]);
    wire.says(alarm("old", { seq: 5, state: "active_acked", step: "acked" })); // a fact that the list knew already
    expect(await shown(alarms)).toEqual(["new active_unacked", "old active_acked"]);
  });

  it("are exact after a loss: what is not there any more goes, also where facts were lost", async () => {
    const { wire, asked, alarms } = book();
    wire.live();
    await asked.answer([alarm("a"), alarm("b")]);
    wire.lost();
    wire.live();
    await asked.answer([alarm("b"), alarm("c", { seq: 7 })]);
    expect(await shown(alarms)).toEqual(["b active_unacked", "c active_unacked"]);
    wire.gap();
    expect(asked.answers.length).toBe(3);
    await asked.answer([alarm("c", { seq: 7 })]);
    expect(await shown(alarms)).toEqual(["c active_unacked"]);
  });

  it("take the answer to the newest question", async () => {
    const { wire, asked, alarms } = book();
    wire.live();
    wire.gap();
    await asked.answer([alarm("new")], 1);
    await asked.answer([alarm("late")], 0);
    expect(await shown(alarms)).toEqual(["new active_unacked"]);
  });

  it("begin anew with another log, whose numbers are smaller", async () => {
    const { wire, asked, alarms } = book();
    wire.live();
    await asked.answer([alarm("a", { seq: 1000 })]);
    wire.epoch = "m001";
    wire.live();
    expect([alarms.whole, alarms.list.length]).toEqual([false, 0]);
    await asked.answer([alarm("a", { seq: 3, state: "active_acked" })]);
    expect(await shown(alarms)).toEqual(["a active_acked"]);
  });

  it("are asked for again when they could not be read, and what was there stays", async () => {
    const { wire, asked, alarms } = book();
    wire.live();
    await asked.answer([alarm("a")]);
    wire.gap();
    asked.failures[1]!(new Error("the server is stopping"));
    await vi.advanceTimersByTimeAsync(0);
    expect([alarms.problem, alarms.list.length]).toEqual(["the server is stopping", 1]);
    await vi.advanceTimersByTimeAsync(3000);
    await asked.answer([]);
    expect([alarms.problem, alarms.list.length]).toEqual(["", 0]);
  });

  it("keep what is shelved though it stands no more, until it is taken back", async () => {
    const { wire, asked, alarms } = book();
    wire.live();
    const shelved = { by: "ana", at: minute(2), until: minute(30), reason: "sensor" };
    await asked.answer([alarm("a", { state: "cleared_acked", shelved })]);
    expect(alarms.summary.shelved).toBe(1);
    wire.says(alarm("a", { seq: 5, state: "cleared_acked", step: "unshelved" }));
    expect(await shown(alarms)).toEqual([]);
  });

  it("tell what is raised once, and not what stood before, nor what is put aside", async () => {
    const { wire, asked, alarms } = book();
    const told: string[] = [];
    alarms.onRaised((a) => told.push(a.id));
    wire.live();
    await asked.answer([alarm("before")]);
    wire.says(alarm("a", { seq: 2 }));
    wire.says(alarm("a", { seq: 2 }));
    wire.says(alarm("a", { seq: 3, state: "active_acked", step: "acked" }));
    wire.says(alarm("expected", { seq: 4, suppressed: true }));
    expect(told).toEqual(["a"]);
    // What was raised while the connection was lost, and came by no fact.
    wire.lost();
    wire.live();
    await asked.answer([alarm("before"), alarm("a", { seq: 3, state: "active_acked", step: "acked" }), alarm("missed", { seq: 6 })]);
    expect(told).toEqual(["a", "missed"]);
  });

  it("make a new list at most four times a second, however many facts come", async () => {
    const { wire, asked, alarms } = book();
    wire.live();
    await asked.answer([]);
    const lists = new Set<unknown>();
    for (let i = 0; i < 1000; i++) {
      wire.says(alarm(`a${i}`, { seq: i + 2 }));
      await vi.advanceTimersByTimeAsync(1);
      lists.add(alarms.list);
    }
    expect(lists.size).toBeLessThan(7);
    expect((await shown(alarms)).length).toBe(1000);
  });

  it("mark their property while they are active, and their thing until somebody has looked", async () => {
    const { wire, asked, alarms } = book();
    wire.live();
    await asked.answer([alarm("a"), alarm("b", { priority: 1, state: "active_acked" }), alarm("c", { property: "flow", state: "cleared_unacked" })]);
    expect(alarms.property("plant/pump", "speed")).toEqual({ priority: 1, unacked: true, n: 2, waiting: 1 });
    expect(alarms.property("plant/pump", "flow")).toBeUndefined();
    expect(alarms.thing("plant/pump")).toEqual({ priority: 1, unacked: true, n: 3, waiting: 2 });
    expect(alarms.thing("plant/tank")).toBeUndefined();
  });
});

describe("an alarm", () => {
  it("stands before others when nobody looks after it, then by priority, then the newest first", () => {
    const list = [
      alarm("acked", { priority: 1, state: "active_acked" }),
      alarm("late", { raised: minute(9) }),
      alarm("early"),
      alarm("low", { priority: 4, raised: minute(30) }),
      alarm("critical", { priority: 1, state: "cleared_unacked" }),
    ];
    expect(list.sort(order).map((a) => a.id)).toEqual(["critical", "late", "early", "low", "acked"]);
  });

  it("is counted by priority, or among the shelved or suppressed", () => {
    const shelved = { by: "ana", at: minute(2), until: minute(30), reason: "sensor" };
    const list = [alarm("a"), alarm("b", { state: "active_acked" }), alarm("c", { priority: 4, state: "cleared_unacked" }), alarm("d", { shelved }), alarm("e", { suppressed: true }), alarm("f", { state: "cleared_acked" })];
    const s = summarize(list);
    expect([s.all, s.unacked, s.shelved, s.suppressed]).toEqual([3, 2, 1, 1]);
    expect([s.of[1], s.of[2], s.of[4]]).toEqual([{ all: 0, unacked: 0 }, { all: 2, unacked: 1 }, { all: 1, unacked: 1 }]);
    expect(list.filter(wanted).map((a) => a.id)).toEqual(["a", "b", "c"]);
    expect(markOf(list, active)).toEqual({ priority: 2, unacked: true, n: 2, waiting: 1 });
  });

  it("is one of a flood beyond 20 within 10 seconds", () => {
    const at = Date.parse(minute(1));
    const list = Array.from({ length: 21 }, (_, i) => alarm(`a${i}`));
    expect([flooded(list, at + 9000), flooded(list, at + 11_000), flooded(list.slice(1), at)]).toEqual([true, false, false]);
  });

  it("is grouped with those of its thing, the most urgent group first", () => {
    const list = [alarm("a", { priority: 1, thing: "b" }), alarm("b", { thing: "a" }), alarm("c", { thing: "b", state: "active_acked" })];
    expect(groupsOf(list).map((g) => [g.thing, g.alarms.length, g.unacked, g.counts])).toEqual([
      ["b", 2, 1, [{ priority: 1, n: 1 }, { priority: 2, n: 1 }]],
      ["a", 1, 1, [{ priority: 2, n: 1 }]],
    ]);
    expect([prioritiesOf("2,1,9,x"), prioritiesOf(null)]).toEqual([[1, 2], []]);
  });
});

describe("the server's lists", () => {
  /** Answers by the beginning of the address, each with the address of the next page. */
  function serve(pages: Record<string, [Alarm[], string?] | number>) {
    const asked: string[] = [];
    vi.stubGlobal("fetch", async (path: string) => {
      asked.push(path);
      const page = Object.entries(pages).find(([start]) => path.startsWith(start))?.[1] ?? [[]];
      if (typeof page === "number") return new Response(JSON.stringify({ error: "no" }), { status: page });
      return new Response(JSON.stringify(page[0]), { headers: page[1] ? { Link: `<${page[1]}>; rel="next"` } : {} });
    });
    return asked;
  }

  it("are read to the end, with what is shelved and stands no more", async () => {
    serve({
      "/api/alarms?limit": [[alarm("a")], "/api/alarms?after=a"],
      "/api/alarms?after": [[alarm("b")]],
      "/api/alarms?state=shelved": [[alarm("c", { state: "cleared_acked" })]],
    });
    expect((await readAll()).map((a) => a.id)).toEqual(["a", "b", "c"]);
  });

  it("are begun again when they changed under the pages, and not for ever", async () => {
    const asked = serve({ "/api/alarms?limit": 409 });
    await expect(readAll()).rejects.toThrow("no");
    expect(asked.length).toBe(5);
  });

  it("are told apart by time where numbers mean nothing", () => {
    expect([earlier(alarm("a", { seq: 900, ts: minute(1) }), alarm("a", { seq: 2, ts: minute(2) })), earlier(alarm("a"), alarm("a"))]).toEqual([true, false]);
  });

  const wish: Wish = { thing: "", priorities: [], since: 3_600_000, to: null };
  it("of steps are asked for as they are chosen", () => {
    expect(String(queryOf(wish, 4_000_000))).toBe("from=400000");
    expect(String(queryOf({ thing: "plant/**", priorities: [1, 2], since: 1000, to: 5000 }))).toBe("from=4000&to=5000&thing=plant%2F**&priority=1%2C2");
    expect([fits(alarm("a"), { thing: "plant/*", priorities: [2] }), fits(alarm("a"), { thing: "office/**", priorities: [] }), fits(alarm("a"), { thing: "", priorities: [1] })]).toEqual([true, false, false]);
  });

  it("of steps get what comes, each once, also while they are read", async () => {
    serve({ "/api/alarms/history?from": [[alarm("a", { seq: 2 })], "/api/alarms/history?after=2"], "/api/alarms/history?after": [[alarm("z", { seq: 1 })]] });
    const steps = new Steps(wish);
    const loaded = steps.load();
    steps.step(alarm("b", { seq: 3 }));
    await loaded;
    steps.step(alarm("b", { seq: 3 }));
    steps.step(alarm("a", { seq: 2 }));
    steps.step(alarm("c", { seq: 4 }));
    expect(steps.rows.map((a) => a.id)).toEqual(["c", "b", "a"]);
    const went = steps.loadMore();
    steps.step(alarm("d", { seq: 5 }));
    await went;
    expect([steps.rows.map((a) => a.id), steps.more]).toEqual([["d", "c", "b", "a", "z"], ""]);
  });

  it("of steps say why they could not be read", async () => {
    serve({ "/api/alarms/history": 422 });
    const steps = new Steps(wish);
    await steps.load();
    expect([steps.problem, steps.loading]).toEqual(["no", false]);
  });
});

test("both languages have the same keys and places", () => {
  const places = (s: string) => [...s.matchAll(/\{\w+\}/g)].map(String).sort();
  expect(Object.keys(vietnamese)).toEqual(Object.keys(en));
  for (const [key, text] of Object.entries(en)) expect([key, places(vietnamese[key as keyof typeof en])]).toEqual([key, places(text)]);
});

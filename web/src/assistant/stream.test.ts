import { expect, test, vi } from "vitest";
import type { RunEvent } from "./events";
import { ask, cancel, follow, PATIENCE, SILENCE, type Net } from "./stream";

/** One answer of the scripted server: pieces of a stream, then its end. */
type Script = (init: RequestInit, url: string) => Response | Promise<Response>;

const encoder = new TextEncoder();

function stream(pieces: string[], end: "close" | "cut" | "hang" = "close", signal?: AbortSignal | null): Response {
  const body = new ReadableStream<Uint8Array>({
    start(c) {
      for (const p of pieces) c.enqueue(encoder.encode(p));
      if (end === "close") c.close();
      if (end === "cut") setTimeout(() => c.error(new TypeError("network error")));
      if (end === "hang") signal?.addEventListener("abort", () => c.error(signal.reason));
    },
  });
  return new Response(body, { headers: { "Content-Type": "text/event-stream; charset=utf-8" } });
}

const event = (id: number, o: object) => `id: ${id}\nevent: x\ndata: ${JSON.stringify(o)}\n\n`;
const start = event(1, { type: "start", run: "run 1", conversation: "c1", model: "m" });
const delta = (id: number, text: string) => event(id, { type: "delta", text });
const done = (id: number) => event(id, { type: "done", finish: "stop", ttft_ms: 1, total_ms: 2 });
const problem = (status: number, body: object, headers: Record<string, string> = {}) =>
  new Response(JSON.stringify(body), { status, headers });

/** Plays the scripts one after the other and keeps what was asked. */
function play(...scripts: Script[]) {
  let now = 0;
  const asked: { url: string; last: string | null; body: unknown }[] = [];
  const got: [number, RunEvent["type"], string][] = [];
  const cuts: boolean[] = [];
  const net: Net = {
    async fetch(url, init) {
      const body = typeof init.body === "string" ? JSON.parse(init.body) : undefined;
      asked.push({ url, last: new Headers(init.headers).get("Last-Event-ID"), body });
      const script = scripts.shift();
      if (!script) throw new Error(`nobody expected ${url}`);
      return script(init, url);
    },
    async wait(ms) {
      now += ms;
    },
    now: () => now,
  };
  const on = (id: number, e: RunEvent) => got.push([id, e.type, e.type === "delta" ? e.text : ""]);
  const onCut = (cut: boolean) => cuts.push(cut);
  const text = () => got.map((g) => g[2]).join("");
  return { net, asked, got, cuts, on, onCut, text, left: scripts };
}

const never = new AbortController().signal;
const down: Script = () => Promise.reject(new TypeError("Failed to fetch"));

test("a whole answer comes over one connection", async () => {
  const p = play(() => stream([": hb\n\n", start + delta(2, "Hel"), delta(3, "lo"), done(4), delta(5, "never")]));
  expect(await ask(p.net, "q?", "c0", p.on, p.onCut, never)).toBeUndefined();
  expect(p.got.map((g) => g[1])).toEqual(["start", "delta", "delta", "done"]);
  expect(p.text()).toBe("Hello");
  expect(p.asked).toEqual([{ url: "/api/gpt", last: null, body: { question: "q?", conversation: "c0" } }]);
});

test.each(["close", "cut"] as const)("after a %s it resumes behind the last whole event, no token lost or twice", async (end) => {
  const half = delta(4, "!!").slice(0, 20);
  const p = play(
    () => stream([start + delta(2, "a") + delta(3, "b") + half], end),
    down,
    () => problem(503, { error: "restarting" }),
    () => stream([delta(3, "b") + delta(4, "c")], end),
    () => stream([delta(5, "d") + done(6)]),
  );
  expect(await ask(p.net, "q", "", p.on, p.onCut, never)).toBeUndefined();
  expect(p.text()).toBe("abcd");
  expect(p.got.map((g) => g[0])).toEqual([1, 2, 3, 4, 5, 6]);
  expect(p.asked.map((a) => a.last)).toEqual([null, "3", "3", "3", "4"]);
  expect(p.asked[1]!.url).toBe("/api/gpt/runs/run%201/events");
  expect(p.cuts[0]).toBe(false);
  expect(p.cuts.at(-1)).toBe(false);
  expect(p.cuts).toContain(true);
});

test("a letter of two bytes may fall into two pieces", async () => {
  const bytes = encoder.encode(start + delta(2, "Độ rung ổn") + done(3));
  const p = play(() => {
    const body = new ReadableStream<Uint8Array>({
      start(c) {
        for (const b of bytes) c.enqueue(Uint8Array.of(b));
        c.close();
      },
    });
    return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  });
  await ask(p.net, "q", "", p.on, p.onCut, never);
  expect(p.text()).toBe("Độ rung ổn");
});

test("a question cut before its run is known is not asked twice", async () => {
  const p = play(down);
  expect(await ask(p.net, "q", "", p.on, p.onCut, never)).toEqual({ code: "cut", message: "", status: 0 });
  expect(p.asked).toHaveLength(1);
});

test("a refusal comes back with its code, words and time", async () => {
  const p = play(() => problem(429, { error: "Too Many Requests", code: "too_many" }, { "Retry-After": "17" }));
  expect(await ask(p.net, "q", "", p.on, p.onCut, never)).toEqual({
    code: "too_many",
    message: "Too Many Requests",
    status: 429,
    retryAfter: 17,
  });
});

test("a page of a proxy is not taken for an answer", async () => {
  const p = play(() => new Response("<h1>hello</h1>", { headers: { "Content-Type": "text/html" } }));
  expect(await ask(p.net, "q", "", p.on, p.onCut, never)).toMatchObject({ code: "not_a_stream" });
});

test.each([401, 404, 204])("a resume that is answered %i is not tried again", async (status) => {
  const p = play(() => (status === 204 ? new Response(null, { status }) : problem(status, { error: "no" })));
  expect(await follow(p.net, "r", 5, p.on, p.onCut, never)).toMatchObject({ status });
  expect(p.asked).toHaveLength(1);
});

test("patience ends, and then it says so", async () => {
  const p = play(...Array.from({ length: 500 }, () => down));
  expect(await follow(p.net, "r", 5, p.on, p.onCut, never)).toMatchObject({ code: "cut" });
  expect(p.net.now()).toBeGreaterThan(PATIENCE);
  expect(p.left.length).toBeGreaterThan(400);
});

test("a server that only keeps the connection open counts as cut", async () => {
  vi.useFakeTimers();
  try {
    const p = play(
      (init) => stream([start + delta(2, "a")], "hang", init.signal),
      () => stream([delta(3, "b") + done(4)]),
    );
    const end = ask(p.net, "q", "", p.on, p.onCut, never);
    await vi.advanceTimersByTimeAsync(SILENCE - 1);
    expect(p.asked).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(2);
    expect(await end).toBeUndefined();
    expect(p.text()).toBe("ab");
  } finally {
    vi.useRealTimers();
  }
});

test("leaving ends the request, and nothing is tried again", async () => {
  const p = play((init) => stream([start], "hang", init.signal));
  const leave = new AbortController();
  const end = ask(p.net, "q", "", p.on, p.onCut, leave.signal);
  await vi.waitFor(() => expect(p.got).toHaveLength(1));
  leave.abort();
  await expect(end).rejects.toThrow();
  expect(p.asked).toHaveLength(1);
});

test("an event that went missing on the way is asked for again", async () => {
  const p = play(
    () => stream([start + delta(2, "a") + delta(4, "c") + done(5)]),
    () => stream([delta(3, "b") + delta(4, "c") + done(5)]),
  );
  expect(await ask(p.net, "q", "", p.on, p.onCut, never)).toBeUndefined();
  expect(p.text()).toBe("abc");
  expect(p.asked[1]!.last).toBe("2");
});

test("events of a newer server are passed over, and not asked for again", async () => {
  const p = play(
    () => stream([start + event(2, { type: "thought", text: "hm" })], "cut"),
    () => stream([delta(3, "a") + "id: 4\ndata: not json\n\n" + done(5)]),
  );
  await ask(p.net, "q", "", p.on, p.onCut, never);
  expect(p.asked[1]!.last).toBe("2");
  expect(p.text()).toBe("a");
});

test("cancel says whether the run will stop", async () => {
  const p = play(() => problem(200, {}), () => problem(404, {}), down, () => problem(503, {}));
  expect([await cancel(p.net, "r"), await cancel(p.net, "r"), await cancel(p.net, "r"), await cancel(p.net, "r")]).toEqual([true, true, false, false]);
  expect(p.asked[0]!.url).toBe("/api/gpt/runs/r/cancel");
});

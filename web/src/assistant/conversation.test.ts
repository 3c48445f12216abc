import { beforeEach, expect, test, vi } from "vitest";
import { Conversation } from "./conversation.svelte";
import type { Net } from "./stream";

/** A server whose runs are fed by hand, over as many connections as are made. */
class FakeServer implements Net {
  asked: { method: string; url: string; last: string | null; body: { question?: string; conversation?: string } }[] = [];
  refuse: Response | undefined;
  deaf = false;
  #open: ReadableStreamDefaultController<Uint8Array>[] = [];

  async fetch(url: string, init: RequestInit): Promise<Response> {
    const headers = new Headers(init.headers);
    const body = typeof init.body === "string" ? JSON.parse(init.body) : {};
    this.asked.push({ method: init.method ?? "GET", url, last: headers.get("Last-Event-ID"), body });
    if (url.endsWith("/cancel")) {
      if (this.deaf) throw new TypeError("Failed to fetch");
      return new Response("{}");
    }
    if (this.refuse) return this.refuse;
    const stream = new ReadableStream<Uint8Array>({ start: (c) => void this.#open.push(c) });
    init.signal?.addEventListener("abort", () => this.cut());
    return new Response(stream, { headers: { "Content-Type": "text/event-stream" } });
  }
  wait = async () => {};
  now = () => 0;

  say(id: number, event: object): void {
    this.#open.at(-1)!.enqueue(new TextEncoder().encode(`id: ${id}\ndata: ${JSON.stringify(event)}\n\n`));
  }
  cut(): void {
    try {
      this.#open.pop()?.error(new TypeError("cut"));
    } catch {
      // was over already
    }
  }
}

class FakeStorage {
  items = new Map<string, string>();
  getItem = (k: string) => this.items.get(k) ?? null;
  setItem = (k: string, v: string) => void this.items.set(k, v);
  removeItem = (k: string) => void this.items.delete(k);
}

let server: FakeServer;
let storage: FakeStorage;
const open = (user = "ana") => new Conversation(user, server, storage as unknown as Storage);
const start = { type: "start", run: "r1", conversation: "c1", model: "m" };
const done = { type: "done", finish: "stop", usage: { input: 3, output: 4 }, ttft_ms: 1, total_ms: 2 };

beforeEach(() => {
  server = new FakeServer();
  storage = new FakeStorage();
});

async function begin(c: Conversation): Promise<void> {
  c.ask("  q?  ");
  await vi.waitFor(() => expect(server.asked).toHaveLength(1));
  server.say(1, start);
  server.say(2, { type: "delta", text: "Hel" });
  await vi.waitFor(() => expect(c.turns[0]!.text).toBe("Hel"));
}

test("the next question belongs to the same conversation", async () => {
  const c = open();
  await begin(c);
  server.say(3, done);
  await vi.waitFor(() => expect(c.running).toBeUndefined());
  c.ask("and now?");
  await vi.waitFor(() => expect(server.asked).toHaveLength(2));
  expect(server.asked.map((a) => a.body)).toEqual([{ question: "q?" }, { question: "and now?", conversation: "c1" }]);
});

test("a reload shows the conversation and takes up the answer where it was", async () => {
  const before = open();
  await begin(before);
  before.end();
  const after = open();
  expect(after.turns[0]).toMatchObject({ question: "q?", text: "Hel", last: 2, run: "r1" });
  after.resume();
  await vi.waitFor(() => expect(server.asked).toHaveLength(2));
  expect(server.asked[1]).toMatchObject({ method: "GET", url: "/api/gpt/runs/r1/events", last: "2" });
  server.say(2, { type: "delta", text: "Hel" });
  server.say(3, { type: "delta", text: "lo" });
  server.say(4, done);
  await vi.waitFor(() => expect(after.turns[0]).toMatchObject({ text: "Hello", phase: "done" }));
});

test("a reload before the run had a name says that the question was cut", () => {
  const before = open();
  before.ask("q?");
  before.end();
  const after = open();
  after.resume();
  expect(after.turns[0]).toMatchObject({ phase: "failed", failure: { code: "cut", retryable: true } });
});

test("another user of this tab sees nothing of it", async () => {
  const c = open("ana");
  await begin(c);
  c.end();
  expect(open("binh").turns).toEqual([]);
  expect(storage.items.size).toBe(0);
});

test("stop ends the answer at once and tells the server", async () => {
  const c = open();
  await begin(c);
  c.stop();
  expect(c.running).toBeUndefined();
  server.say(3, { type: "delta", text: "lo" });
  server.say(4, { ...done, finish: "cancelled" });
  await vi.waitFor(() => expect(c.turns[0]!.last).toBe(4));
  expect(c.turns[0]).toMatchObject({ text: "Hel", phase: "stopped", usage: { input: 3, output: 4 } });
  expect(server.asked[1]).toMatchObject({ method: "POST", url: "/api/gpt/runs/r1/cancel" });
});

test("stop before the run has a name cancels it when it gets one", async () => {
  const c = open();
  c.ask("q?");
  await vi.waitFor(() => expect(server.asked).toHaveLength(1));
  c.stop();
  server.say(1, start);
  await vi.waitFor(() => expect(server.asked[1]?.url).toBe("/api/gpt/runs/r1/cancel"));
});

test("a run that cannot be told to stop is left alone, so that it ends by itself", async () => {
  const c = open();
  await begin(c);
  server.deaf = true;
  c.stop();
  await vi.waitFor(() => expect(() => server.say(3, done)).toThrow());
  expect(server.asked.filter((a) => a.method === "GET")).toEqual([]);
});

test("asking again takes the place of the failed answer", async () => {
  const c = open();
  await begin(c);
  server.say(3, { type: "failed", code: "upstream_cut", message: "", retryable: true });
  await vi.waitFor(() => expect(c.turns[0]!.phase).toBe("failed"));
  c.again();
  expect(c.turns).toHaveLength(1);
  expect(c.turns[0]).toMatchObject({ question: "q?", text: "", failure: null });
});

test.each([
  [401, "signed_out", { signedOut: true, noModel: false }],
  [500, "missing_key", { signedOut: false, noModel: true }],
])("a refusal with %i is told", async (status, code, want) => {
  server.refuse = new Response(JSON.stringify({ error: "x", code: status === 500 ? code : "" }), { status });
  const c = open();
  c.ask("q?");
  await vi.waitFor(() => expect(c.turns[0]!.failure?.code).toBe(code));
  expect(c).toMatchObject(want);
});

test("after New conversation a late event of the old one changes nothing", async () => {
  const c = open();
  c.ask("old");
  await vi.waitFor(() => expect(server.asked).toHaveLength(1));
  c.clear();
  server.say(1, start);
  await vi.waitFor(() => expect(server.asked[1]?.url).toContain("cancel"));
  c.ask("new");
  await vi.waitFor(() => expect(server.asked).toHaveLength(3));
  expect(server.asked[2]!.body).toEqual({ question: "new" });
});

import { afterEach, describe, expect, it, test, vi } from "vitest";
import { ApiError } from "../app/api";
import { agentText } from "./agent";
import { Connections, most, type Row } from "./connections.svelte";
import { en } from "./en";
import { bytes, lagText, late } from "./text";
import { vi as vietnamese } from "./vi";

const row = (change: Partial<Row> = {}): Row => ({
  id: "k3-1", user: "ana", address: "10.0.0.7", agent: "curl/8.14.1", transport: "sse", since: "2026-11-26T02:00:00Z", closing: false, own: false,
  subscriptions: [{ id: "s1", path: "plant/**", rate: 20, things: 12 }], lag: { seq: 0, ms: 0, facts: 0 }, stalled: 0, bytes: 0, merged: 0, missed: 0, ...change,
});

test("both languages have the same keys and places", () => {
  const places = (s: string) => [...s.matchAll(/\{\w+\}/g)].map(String).sort();
  expect(Object.keys(vietnamese).sort()).toEqual(Object.keys(en).sort());
  for (const [key, text] of Object.entries(en)) expect([key, places(vietnamese[key as keyof typeof en])]).toEqual([key, places(text)]);
});

test.each([
  ["Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/149.0.0.0 Safari/537.36", "Chrome 149, Linux"],
  ["Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/149.0.0.0 Safari/537.36", "Chrome 149, Linux"],
  ["Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/149.0.0.0 Safari/537.36 Edg/149.0.0.0", "Edge 149, Windows"],
  ["Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Safari/605.1.15", "Safari 26, macOS"],
  ["Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Mobile/15E148 Safari/604.1", "Safari 26, iOS"],
  ["Mozilla/5.0 (Android 16; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0", "Firefox 145, Android"],
  ["curl/8.14.1", "curl 8.14"],
  ["python-requests/2.32.5", "python-requests 2.32"],
  ["Go-http-client/1.1", "Go-http-client 1.1"],
  ["node", "node"],
  ["my own <b>script</b>", "my own <b>script</b>"],
  ["", ""],
])("%j is %j", (agent, want) => expect(agentText(agent)).toBe(want));

test("figures are short", () => {
  expect([0, 812, 999, 1000, 24_680, 999_960, 3_100_000].map(bytes)).toEqual(["0 B", "812 B", "999 B", "1.0 kB", "24.7 kB", "1.0 MB", "3.1 MB"]);
  expect([0, 120, 14_000, 300_000].map(lagText)).toEqual(["0", "120 ms", "14 s", "5 min"]);
});

test.each([
  [row(), false],
  [row({ lag: { seq: 3, ms: 6000, facts: 0 } }), false],
  [row({ lag: { seq: 3, ms: 8000, facts: 0 } }), true],
  [row({ lag: { seq: 3, ms: 90_000, facts: 0 }, subscriptions: [{ id: "s1", path: "**", rate: 0.01, things: 1 }] }), false], // it asked for no more
  [row({ stalled: 2000 }), true],
  [row({ missed: 1 }), true],
])("who should look at %#: %j", (one, want) => expect(late(one)).toBe(want));

describe("the list", () => {
  const answers = vi.fn<(method: string, path: string) => Promise<{ status: number; body: unknown }>>();
  vi.stubGlobal("fetch", async (path: string, init: { method: string }) => {
    const { status, body } = await answers(init.method, path);
    return new Response(status === 204 ? null : JSON.stringify(body), { status });
  });
  afterEach(() => void answers.mockReset());

  it("shows so many and says that there are more", async () => {
    answers.mockResolvedValue({ status: 200, body: Array.from({ length: most + 1 }, (_, i) => row({ id: `k3-${i}` })) });
    const list = new Connections();
    list.user = "an a";
    await list.read();
    expect(answers).toHaveBeenCalledWith("GET", `/api/connections?limit=${most + 1}&user=an+a`);
    expect([list.rows.length, list.more]).toEqual([most, true]);
  });

  it("goes on page by page and back, and begins anew after a restart", async () => {
    const paths: string[] = [];
    answers.mockImplementation((_, path) => {
      paths.push(path);
      const after = Number(/after=k3-(\d+)/.exec(path)?.[1] ?? 0);
      const left = Math.max(0, most + 50 - after);
      return Promise.resolve({ status: 200, body: Array.from({ length: Math.min(left, most + 1) }, (_, i) => row({ id: `k3-${after + i + 1}` })) });
    });
    const list = new Connections();
    const shown = () => [list.rows[0]?.id, list.rows.length, list.more];
    await list.read();
    expect(shown()).toEqual(["k3-1", most, true]);
    await list.next();
    expect(shown()).toEqual([`k3-${most + 1}`, 50, false]);
    await list.next(); // there is none: the same is read
    await list.read();
    expect(shown()).toEqual([`k3-${most + 1}`, 50, false]);
    await list.previous();
    expect(shown()).toEqual(["k3-1", most, true]);
    await list.next();
    await list.first("ben");
    expect(paths.at(-1)).toBe(`/api/connections?limit=${most + 1}&user=ben`);
    await list.next();
    answers.mockResolvedValueOnce({ status: 400, body: { error: "not of this server", code: "malformed" } });
    await list.read();
    expect([list.before, list.problem, list.rows[0]?.id]).toEqual([[], null, "k3-1"]);
  });

  it("keeps what it has when it cannot be read, and says why", async () => {
    const list = new Connections();
    answers.mockResolvedValueOnce({ status: 200, body: [row()] });
    await list.read();
    answers.mockResolvedValueOnce({ status: 503, body: { error: "the server is stopping", code: "unavailable" } });
    await list.read();
    expect([list.rows.length, list.problem?.message]).toEqual([1, "the server is stopping"]);
  });

  it("takes the answer to the newest question, in whatever order they come", async () => {
    const list = new Connections();
    let first: (a: { status: number; body: unknown }) => void = () => undefined;
    answers.mockReturnValueOnce(new Promise((resolve) => (first = resolve)));
    const slow = list.read();
    list.user = "ben";
    answers.mockResolvedValueOnce({ status: 200, body: [row({ user: "ben" })] });
    await list.read();
    first({ status: 200, body: [row(), row({ id: "k3-2" })] });
    await slow;
    expect(list.rows.map((r) => r.user)).toEqual(["ben"]);
  });

  it.each([
    [{ status: 204, body: null }, true],
    [{ status: 404, body: { error: "there is no connection", code: "not_found" } }, false],
  ])("closes one: %j", async (answer, want) => {
    answers.mockImplementation((method) => Promise.resolve(method === "DELETE" ? answer : { status: 200, body: [] }));
    const list = new Connections();
    expect(await list.close(row(), " too loud ", true)).toBe(want);
    expect(answers.mock.calls[0]).toEqual(["DELETE", "/api/connections/k3-1?reason=too+loud&reconnectIn=never"]);
  });

  it("says why one could not be closed", async () => {
    answers.mockResolvedValue({ status: 403, body: { error: "for administrators", code: "forbidden" } });
    await expect(new Connections().close(row(), "", false)).rejects.toThrow(ApiError);
    expect(answers.mock.calls[0]).toEqual(["DELETE", "/api/connections/k3-1?"]);
  });
});

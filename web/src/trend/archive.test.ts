// Against a real little HTTP server that speaks as Echotwin's does.
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Archive, ArchiveError, csvUrl, type Ask } from "./archive";
import { readAnswer } from "./answer";

let server: Server;
let asked: string[];
let cut: number;
let answer: (res: ServerResponse, url: URL) => void;
let archive: Archive;

const body = (url: URL) => ({ thing: url.searchParams.get("thing"), from: 0, to: 1, step: 1000, epoch: "k3f9", seq: 7, series: [{ property: "speed", type: "number", unit: "%", buckets: [{ ts: 2000, min: 1, max: 3, mean: 2, last: 3, count: 4 }, { ts: 1000, min: 1, max: 1, mean: 1, last: 1, count: 1 }] }] });
const ok = (res: ServerResponse, url: URL) => res.setHeader("Content-Type", "application/json").end(JSON.stringify(body(url)));

beforeEach(async () => {
  asked = [];
  cut = 0;
  answer = ok;
  server = createServer((req, res) => {
    asked.push(req.url!);
    res.on("close", () => res.writableFinished || cut++);
    answer(res, new URL(req.url!, "http://host"));
  }).listen(0, "127.0.0.1");
  await new Promise((ready) => server.once("listening", ready));
  const { port } = server.address() as AddressInfo;
  archive = new Archive((url, init) => fetch(`http://127.0.0.1:${port}${url as string}`, init));
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

const ask = (to: number): Ask => ({ thing: "plant/pump", properties: ["speed", "on/off"], from: to - 60_000, to, step: 1000 });
const old = Date.UTC(2026, 0, 1);

describe("the archive", () => {
  it("asks as the server wants it and reads the answer in order of time", async () => {
    const a = await archive.get(ask(old));
    expect(Object.fromEntries(new URL(asked[0]!, "http://h").searchParams)).toMatchObject({ thing: "plant/pump", from: String(old - 60_000), to: String(old), buckets: "60" });
    expect(new URL(asked[0]!, "http://h").searchParams.getAll("property")).toEqual(["speed", "on/off"]);
    expect(a.series[0]!.buckets.map((b) => b.ts)).toEqual([1000, 2000]);
  });

  it("remembers the past and never the present", async () => {
    await archive.get(ask(old));
    expect(archive.has(ask(old))).toBe(true);
    await archive.get(ask(old));
    expect(asked).toHaveLength(1);
    const now = Date.now();
    await archive.get(ask(now));
    await archive.get(ask(now));
    expect(asked).toHaveLength(3);
    archive.clear();
    await archive.get(ask(old));
    expect(asked).toHaveLength(4);
  });

  it("keeps a bounded number of answers, the last used longest", async () => {
    for (let i = 0; i < 60; i++) {
      await archive.get(ask(old + i * 1000));
      await archive.get(ask(old));
    }
    expect(asked).toHaveLength(60);
    expect(archive.has(ask(old + 1000))).toBe(false);
  });

  it("takes a question back", async () => {
    answer = () => undefined; // never
    const abort = new AbortController();
    const waiting = archive.get(ask(old), abort.signal);
    while (asked.length === 0) await new Promise((r) => setTimeout(r, 5));
    abort.abort();
    await expect(waiting).rejects.toMatchObject({ name: "AbortError" });
    while (cut === 0) await new Promise((r) => setTimeout(r, 5)); // the server saw it
  });

  it("says what the server said, and when to come back", async () => {
    answer = (res) => res.writeHead(503, { "Retry-After": "3" }).end(JSON.stringify({ error: "history is opening", code: "unavailable" }));
    await expect(archive.get(ask(old))).rejects.toMatchObject({ status: 503, message: "history is opening", retryAfter: 3000 });
    answer = (res) => res.writeHead(502).end("<html>");
    await expect(archive.get(ask(old))).rejects.toMatchObject({ status: 502, message: "HTTP 502", retryAfter: 0 });
    server.closeAllConnections();
    server.close();
    await expect(archive.get(ask(old))).rejects.toMatchObject({ status: 0 });
  });

  it("does not take a wrong answer for history", async () => {
    answer = (res) => res.end(JSON.stringify({ step: "1" }));
    const err = await archive.get(ask(old)).catch((e: unknown) => e);
    expect(err).toBeInstanceOf(ArchiveError);
    expect(String(err)).toContain('step is "1", want a number');
  });

  it("has the same as CSV, reading by reading or step by step", () => {
    const { step, ...a } = ask(old);
    expect(csvUrl(a)).not.toContain("buckets");
    expect(csvUrl(a)).toContain("&format=csv");
    expect(csvUrl(a, step)).toContain("&buckets=60&format=csv");
  });
});

describe("an answer", () => {
  const good = { thing: "a", from: 0, to: 1, step: 1, epoch: "e", seq: 1, series: [{ property: "p", type: "boolean", names: ["false", "true"], buckets: [] }] };
  it("of states has their names", () => expect(readAnswer(good).series[0]!.names).toEqual(["false", "true"]));
  it.each([
    [null, "the answer is no object"],
    [[], "the answer is no object"],
    [{ ...good, step: 0 }, "step is 0"],
    [{ ...good, seq: undefined }, "seq is undefined"],
    [{ ...good, series: {} }, "series is no list"],
    [{ ...good, series: [{ property: "p", type: "object", buckets: [] }] }, "type is object"],
    [{ ...good, series: [{ property: "p", type: "number", buckets: [{ ts: 1, min: null }] }] }, "min is null"],
  ])("%j is refused by name", (said, why) => expect(() => readAnswer(said)).toThrow(why));
});

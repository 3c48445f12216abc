import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Catalog } from "./catalog";
import { followDirectory } from "./directory";

type Hear = (event: { type: string; data: string; lastEventId: string }) => void;

/** A stream that says what the test says, and nothing by itself. */
class Stream {
  static readonly CLOSED = 2;
  static last: Stream;
  readyState = 0;
  onerror = () => undefined;
  readonly #hear = new Map<string, Hear>();
  constructor(readonly url: string) {
    Stream.last = this;
  }
  addEventListener(type: string, hear: Hear) {
    this.#hear.set(type, hear);
  }
  close() {}
  say(type: string, data: object, lastEventId: string) {
    this.#hear.get(type)?.({ type, data: JSON.stringify(data), lastEventId });
  }
}

describe("the directory", () => {
  beforeEach(() => {
    vi.useFakeTimers();
    vi.stubGlobal("EventSource", Stream);
    vi.stubGlobal("window", globalThis);
    vi.stubGlobal("document", { hidden: false, addEventListener: () => undefined });
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it("is read once when its stream begins", async () => {
    const get = vi.fn(async (_: string) => []);
    followDirectory(new Catalog(get));
    expect(get, "before the stream a change would be missed").not.toHaveBeenCalled();
    Stream.last.say("hello", {}, "e:1");
    await vi.advanceTimersByTimeAsync(600_000);
    expect(get).toHaveBeenCalledTimes(1);
  });

  it("is read also where something on the way holds the stream back", async () => {
    const get = vi.fn(async (_: string) => []);
    followDirectory(new Catalog(get));
    await vi.advanceTimersByTimeAsync(600_000);
    expect(get).toHaveBeenCalledTimes(1);
  });

  it("is read again when it could not be read", async () => {
    const get = vi.fn(async (_: string) => []).mockRejectedValueOnce(new Error("503"));
    const catalog = new Catalog(get);
    followDirectory(catalog);
    Stream.last.say("hello", {}, "e:1");
    await vi.advanceTimersByTimeAsync(600_000);
    expect(get).toHaveBeenCalledTimes(2);
    expect(catalog.loaded).toBe(true);
  });
});

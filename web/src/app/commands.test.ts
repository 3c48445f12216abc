import { beforeEach, describe, expect, it, vi } from "vitest";
import type { CommandStep, ErrorFrame, Fact, Link } from "../live";
import { Commands, effect } from "./commands.svelte";

const cv = "plant/line1/conveyor-2";

/** The part of a connection that Commands uses. */
function fake(online = true) {
  const on: { answer?: (a: CommandStep | ErrorFrame) => void; fact?: (f: Fact) => void; link?: (l: Link) => void } = {};
  const sent: Record<string, unknown>[] = [];
  const commands = new Commands({
    link: { user: "ana" },
    send: (frame: Record<string, unknown>) => online && sent.push(frame) > 0,
    onAnswer: (f: never) => (on.answer = f),
    onFact: (f: never) => (on.fact = f),
    onLink: (f: never) => (on.link = f),
  } as never);
  const step = (status: string, more: object = {}) => {
    const frame = { type: "cmd", id: sent[0]?.id, cmd: "01J", thing: cv, action: "setSpeed", input: { speed: 60 }, status, user: "ana", via: "ws", ts: "2026-11-23T08:00:00Z", ...more } as CommandStep;
    on.answer?.(frame);
    on.fact?.(frame);
  };
  return { commands, sent, on, step };
}

beforeEach(() => vi.unstubAllGlobals());

describe("a command", () => {
  it("moves on what the server says, not before and never back", () => {
    const { commands, sent, step } = fake();
    expect(commands.send(cv, "setSpeed", { speed: 60 }, 80)).toBe(true);
    expect(sent).toMatchObject([{ type: "cmd", thing: cv, action: "setSpeed", input: { speed: 60 } }]);
    const stages = [commands.latest(cv)!.stage];
    for (const s of ["accepted", "sent", "accepted", "done", "sent"]) {
      step(s);
      stages.push(commands.latest(cv)!.stage);
    }
    expect(stages).toEqual(["requested", "accepted", "sent", "sent", "done", "done"]);
    expect(commands.list).toHaveLength(1);
    expect(commands.latest(cv)).toMatchObject({ from: 80, cmd: "01J", user: "ana" });
  });

  it("that is done is watched until its effect is known, and told apart from one that has not come", () => {
    for (const [status, reached, want] of [["verified", true, "reached"], ["done", false, "missed"]] as const) {
      const { commands, step } = fake();
      const feedback = { property: "speed", want: 60, tolerance: 2, within: 20 };
      commands.send(cv, "setSpeed", { speed: 60 }, 80);
      step("accepted", { feedback });
      step("sent", { feedback });
      step("done", { feedback });
      const c = () => commands.latest(cv)!;
      expect([c().stage, effect(c())]).toEqual(["done", "watched"]);
      expect(commands.open(cv, "setSpeed")).toBe(c());
      step(status, { feedback, reached, reported: 59 });
      step("done", { feedback }); // replayed
      step("sent", { feedback });
      expect([c().stage, effect(c()), c().reported]).toEqual([status, want, 59]);
      expect(commands.open(cv, "setSpeed")).toBeUndefined();
      expect(c().steps.map((s) => s.stage)).toEqual(["requested", "accepted", "sent", "done", status]);
    }
  });

  it("that a newer one or a person ended is not watched any more", () => {
    const { commands, step } = fake();
    const feedback = { property: "speed", want: 60, within: 20 };
    commands.send(cv, "setSpeed", { speed: 60 }, 80);
    step("sent", { feedback });
    step("done", { feedback });
    step("done", { feedback, supersededBy: "01K" });
    expect(effect(commands.latest(cv)!)).toBe("left");
    step("sent", { id: undefined, cmd: "x" });
    step("superseded", { id: undefined, cmd: "x", supersededBy: "y", error: "superseded" });
    step("superseded", { id: undefined, cmd: "x", supersededBy: "y", error: "superseded; a late result says: it was done" });
    expect(commands.latest(cv)).toMatchObject({ stage: "superseded", supersededBy: "y", problem: { message: "superseded; a late result says: it was done" } });
  });

  it("says that a person reviewed it, and why it is sent", () => {
    const { commands, sent } = fake();
    commands.send(cv, "setSpeed", { speed: 60 }, 80, "a jam");
    expect(sent[0]).toMatchObject({ confirm: true, reason: "a jam" });
  });

  it("is not sent, and not kept for later, while the connection is lost", () => {
    const { commands, sent } = fake(false);
    expect(commands.send(cv, "setSpeed", { speed: 60 }, 80)).toBe(false);
    expect(sent).toEqual([]);
    expect(commands.list).toEqual([]);
  });

  it("that is refused keeps the reason and the limit", () => {
    const { commands, sent, on } = fake();
    commands.send(cv, "setSpeed", { speed: 999 }, 80);
    on.answer?.({ type: "error", id: sent[0]!.id as string, code: "out_of_range", message: "too fast", minimum: 20, maximum: 100 });
    expect(commands.latest(cv)).toMatchObject({ stage: "rejected", problem: { message: "too fast", maximum: 100 } });
  });

  it("of another is shown with what its error is said by in other languages", () => {
    const { commands, on } = fake();
    on.fact?.({ type: "cmd", seq: 9, cmd: "01K", thing: cv, action: "setSpeed", input: { speed: 999 }, status: "rejected", user: "bo", via: "api", ts: "2026-11-23T08:00:00Z", error: "too fast", errorCode: "out_of_range", errorReason: "above", errorArgs: { limit: 100 } } as Fact);
    expect(commands.latest(cv)?.problem).toEqual({ code: "out_of_range", message: "too fast", reason: "above", args: { limit: 100 } });
  });

  it("that is refused is one entry, whether its fact or its error comes first", () => {
    for (const factFirst of [true, false]) {
      const { commands, sent, on } = fake();
      commands.send(cv, "setSpeed", { speed: 999 }, 80);
      const fact = { type: "cmd", seq: 9, cmd: "01K", thing: cv, action: "setSpeed", input: { speed: 999 }, status: "rejected", user: "ana", via: "ws", ts: "2026-11-23T08:00:00Z", error: "too fast" } as Fact;
      const error = () => on.answer?.({ type: "error", id: sent[0]!.id as string, code: "out_of_range", message: "too fast", minimum: 20, maximum: 100 });
      if (factFirst) on.fact?.(fact);
      error();
      if (!factFirst) on.fact?.(fact);
      expect(commands.list).toHaveLength(1);
      expect(commands.latest(cv)).toMatchObject({ stage: "rejected", cmd: "01K", problem: { maximum: 100 } });
    }
  });

  it("of which nothing was heard before the connection was lost has an unknown outcome", () => {
    const { commands, on } = fake();
    commands.send(cv, "setSpeed", { speed: 60 }, 80);
    on.link?.({ phase: "waiting" } as Link);
    expect(commands.latest(cv)!.stage).toBe("unknown");
  });

  it("that was on its way is asked about when the connection is back", async () => {
    const { commands, step, on } = fake();
    commands.send(cv, "setSpeed", { speed: 60 }, 80);
    step("sent");
    on.link?.({ phase: "waiting" } as Link);
    expect(commands.latest(cv)!.stage).toBe("sent");
    const asked = vi.fn(async () => new Response(JSON.stringify({ cmd: "01J", status: "done", ts: "2026-11-23T08:00:01Z" })));
    vi.stubGlobal("fetch", asked);
    on.link?.({ phase: "live" } as Link);
    await vi.waitFor(() => expect(commands.latest(cv)!.stage).toBe("done"));
    expect(asked.mock.calls[0]?.at(0)).toBe("/api/commands/01J");
  });

  it("of somebody else is seen, with the value before it when that is known", () => {
    const { commands, step } = fake();
    step("done", { cmd: "a", id: undefined, user: "bo", input: { speed: 72 } });
    step("sent", { cmd: "b", id: undefined, user: "bo", input: { speed: 80 } });
    expect(commands.latest(cv)).toMatchObject({ cmd: "b", user: "bo", from: 72, stage: "sent" });
  });
});

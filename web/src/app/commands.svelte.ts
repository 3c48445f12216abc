import type { CommandStep, ErrorFrame, Feedback, Json, Link, Problem, Status } from "../live";
import { get } from "./api";
import type { Feed } from "./past";

/** requested: sent to the server, not yet answered. unknown: the connection was lost before it was. */
export type Stage = Status | "requested" | "unknown";

export interface Command {
  /** Of the server; "" until it has one. */
  cmd: string;
  /** Ours, when it was sent from this page. */
  id: string;
  thing: string;
  action: string;
  input: Json;
  stage: Stage;
  user: string;
  via: string;
  /** The value before, when it is known. */
  from?: number;
  risk: "low" | "confirm" | "high";
  reason: string;
  /** Each state that was heard of and when, ms, the first one first. */
  steps: { stage: Stage; at: number }[];
  /** ms: of the first and of the last step heard of. */
  began: number;
  moved: number;
  /** Why it was rejected, with the limit; or what the device said. */
  problem?: Problem;
  /** Where its effect is seen, and whether it was; undefined until that is decided. */
  feedback?: Feedback;
  reached?: boolean;
  reported?: Json;
  /** Who cancelled it, or the newer command that took its place. */
  by: string;
  supersededBy: string;
}

/** How a command's effect stands: none is none to be seen, left is that nobody looked to the end. */
export type Effect = "none" | "watched" | "reached" | "missed" | "left";

export function effect(c: Pick<Command, "stage" | "feedback" | "reached" | "by" | "supersededBy">): Effect {
  if (!c.feedback || (c.stage !== "done" && c.stage !== "verified")) return "none";
  if (c.reached !== undefined) return c.reached ? "reached" : "missed";
  return c.by || c.supersededBy ? "left" : "watched";
}

const kept = 50;

/** Whether nothing more can come. */
export function ended(stage: Stage): boolean {
  return stage !== "requested" && stage !== "accepted" && stage !== "sent";
}

/**
 * The commands of everybody, newest first. A stage moves only on what the
 * server says: nothing here is optimistic, and nothing is ever sent twice.
 */
export class Commands {
  list = $state<Command[]>([]);
  #connection: Omit<Feed, "onGap">;

  constructor(connection: Omit<Feed, "onGap">) {
    this.#connection = connection;
    connection.onAnswer((answer) => this.#answer(answer));
    connection.onFact((fact) => fact.type === "cmd" && this.#step(fact));
    connection.onLink((link) => this.#linked(link));
  }

  /** The last ones before this page was opened. */
  async load(): Promise<void> {
    const old = await get(`/api/commands?limit=${kept}`);
    if (!Array.isArray(old)) return;
    for (const step of (old as CommandStep[]).toReversed()) this.#step(step);
  }

  latest(thing: string): Command | undefined {
    return this.list.find((c) => c.thing === thing);
  }

  /** The one that is under way on a thing by this action, or whose effect is still waited for. */
  open(thing: string, action: string): Command | undefined {
    return this.list.find((c) => c.thing === thing && c.action === action && (!ended(c.stage) || effect(c) === "watched"));
  }

  /** Sends one command that a person has reviewed, or says that it cannot be sent now. */
  send(thing: string, action: string, input: Json, from?: number, reason = ""): boolean {
    const id = crypto.randomUUID?.() ?? String(Math.random()).slice(2); // randomUUID needs https or localhost
    const now = Date.now();
    if (!this.#connection.send({ type: "cmd", id, thing, action, input, key: id, confirm: true, ...(reason ? { reason } : {}) })) return false;
    this.#add({
      cmd: "", id, thing, action, input, stage: "requested", user: this.#connection.link.user, via: "ui", from, risk: "low", reason, began: now, moved: now,
      steps: [{ stage: "requested", at: now }], by: "", supersededBy: "",
    });
    return true;
  }

  #answer(answer: CommandStep | ErrorFrame): void {
    const own = this.list.find((c) => c.id !== "" && c.id === answer.id);
    if (!own) return;
    if (answer.type === "error") {
      own.stage = "rejected";
      own.problem = answer;
      own.moved = Date.now();
      own.steps.push({ stage: "rejected", at: own.moved });
    } else {
      own.cmd = answer.cmd;
    }
  }

  /** A step as a fact, as the answer to ours (its id then is ours), or from the list of old ones. */
  #step(step: CommandStep): void {
    const at = step.ts ? Date.parse(step.ts) : Date.now();
    const have = this.list.find((c) => c.cmd === step.cmd || (c.id !== "" && c.id === step.id) || isRefusalOf(c, step));
    if (have) return this.#move(have, step);
    if (!step.thing || !step.action) return;
    this.#add({
      cmd: step.cmd, id: "", thing: step.thing, action: step.action, input: step.input ?? null, stage: step.status, user: step.user ?? "",
      via: step.via ?? "", from: this.#before(step.thing, step.action), risk: step.risk ?? "low", reason: step.reason ?? "",
      steps: [{ stage: step.status, at }], began: at, moved: at, ...said(step),
    });
  }

  #move(command: Command, step: CommandStep): void {
    command.cmd = step.cmd;
    command.risk = step.risk ?? command.risk;
    const was = effect(command);
    if (ended(command.stage) && command.stage !== "unknown") {
      // After the outcome only the word on the effect, or a note; everything else is a replayed step.
      const now = effect({ ...said(step), stage: step.status });
      const note = step.status === command.stage && step.error !== undefined && step.error !== command.problem?.message && now !== "watched";
      if (!note && (was !== "watched" || now === "watched" || now === "none")) return;
    } else if (command.stage === step.status || (command.stage === "sent" && step.status === "accepted")) return;
    command.stage = step.status;
    command.moved = command.id ? Date.now() : step.ts ? Date.parse(step.ts) : Date.now();
    command.steps.push({ stage: step.status, at: command.moved });
    Object.assign(command, said(step));
  }

  /** The input of the last successful command of this kind: what the value was before. */
  #before(thing: string, action: string): number | undefined {
    const last = this.list.find((c) => c.thing === thing && c.action === action && (c.stage === "done" || c.stage === "verified"));
    const values = Object.values((last?.input ?? {}) as Record<string, Json>);
    return typeof values[0] === "number" ? values[0] : undefined;
  }

  #add(command: Command): void {
    this.list.unshift(command);
    if (this.list.length > kept) this.list.length = kept;
  }

  #linked(link: Link): void {
    for (const c of this.list) {
      if (ended(c.stage) && c.stage !== "unknown" && effect(c) !== "watched") continue;
      if (link.phase === "waiting" && c.cmd === "") c.stage = "unknown";
      if (link.phase === "live" && c.cmd !== "") void this.#ask(c);
    }
  }

  /** What became of it while the connection was lost. */
  async #ask(command: Command): Promise<void> {
    const now = (await get(`/api/commands/${command.cmd}`).catch(() => null)) as CommandStep | null;
    if (now?.status) this.#move(command, now);
  }
}

/** What a step says about the outcome and the effect. */
function said(step: CommandStep): Pick<Command, "problem" | "feedback" | "reached" | "reported" | "by" | "supersededBy"> {
  return { problem: problemOf(step), feedback: step.feedback, reached: step.reached, reported: step.reported, by: step.by ?? "", supersededBy: step.supersededBy ?? "" };
}

/** A refused command is answered by an error; the fact about it bears no id of ours. */
function isRefusalOf(c: Command, step: CommandStep): boolean {
  return (
    step.status === "rejected" && c.id !== "" && c.cmd === "" && (c.stage === "requested" || c.stage === "rejected") &&
    c.thing === step.thing && c.action === step.action && c.user === step.user && JSON.stringify(c.input) === JSON.stringify(step.input)
  );
}

function problemOf(step: CommandStep): Problem | undefined {
  return step.error ? { code: step.errorCode ?? "", message: step.error, reason: step.errorReason, args: step.errorArgs } : undefined;
}

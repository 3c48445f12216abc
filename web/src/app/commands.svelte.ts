import type { CommandStep, ErrorFrame, Json, Link, Problem, Status } from "../live";
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
  /** ms: of the first and of the last step heard of. */
  began: number;
  moved: number;
  /** Why it was rejected, with the limit; or what the device said. */
  problem?: Problem;
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

  /** Sends one command, or says that it cannot be sent now. */
  send(thing: string, action: string, input: Json, from: number | undefined): boolean {
    const id = crypto.randomUUID?.() ?? String(Math.random()).slice(2); // randomUUID needs https or localhost
    const now = Date.now();
    if (!this.#connection.send({ type: "cmd", id, thing, action, input, key: id })) return false;
    this.#add({ cmd: "", id, thing, action, input, stage: "requested", user: this.#connection.link.user, via: "ui", from, began: now, moved: now });
    return true;
  }

  #answer(answer: CommandStep | ErrorFrame): void {
    const own = this.list.find((c) => c.id !== "" && c.id === answer.id);
    if (!own) return;
    if (answer.type === "error") {
      own.stage = "rejected";
      own.problem = answer;
      own.moved = Date.now();
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
      via: step.via ?? "", from: this.#before(step.thing, step.action), began: at, moved: at, problem: problemOf(step),
    });
  }

  #move(command: Command, step: CommandStep): void {
    command.cmd = step.cmd;
    if (ended(command.stage) && command.stage !== "unknown") return; // a replayed step
    if (command.stage === step.status || (command.stage === "sent" && step.status === "accepted")) return;
    command.stage = step.status;
    command.moved = command.id ? Date.now() : step.ts ? Date.parse(step.ts) : Date.now();
    command.problem = problemOf(step);
  }

  /** The input of the last successful command of this kind: what the value was before. */
  #before(thing: string, action: string): number | undefined {
    const last = this.list.find((c) => c.thing === thing && c.action === action && c.stage === "done");
    const values = Object.values((last?.input ?? {}) as Record<string, Json>);
    return typeof values[0] === "number" ? values[0] : undefined;
  }

  #add(command: Command): void {
    this.list.unshift(command);
    if (this.list.length > kept) this.list.length = kept;
  }

  #linked(link: Link): void {
    for (const c of this.list) {
      if (ended(c.stage) && c.stage !== "unknown") continue;
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

/** A refused command is answered by an error; the fact about it bears no id of ours. */
function isRefusalOf(c: Command, step: CommandStep): boolean {
  return (
    step.status === "rejected" && c.id !== "" && c.cmd === "" && (c.stage === "requested" || c.stage === "rejected") &&
    c.thing === step.thing && c.action === step.action && c.user === step.user && JSON.stringify(c.input) === JSON.stringify(step.input)
  );
}

function problemOf(step: CommandStep): Problem | undefined {
  return step.error ? { code: step.status, message: step.error } : undefined;
}

import type { CommandStep, ErrorFrame, Problem } from "./frames";

/** Why a command did not succeed. */
export class CommandError extends Error {
  constructor(
    /** Its code is the server's ("out_of_range", "offline" …), the last status ("rejected", "failed", "timeout", "superseded", "cancelled"), "unknown" when the connection was lost before the outcome, or "not_live" when it was not sent. */
    readonly problem: Problem,
    /** The last that was heard of it. Its `cmd` is what GET /api/commands/{cmd} knows it by. */
    readonly step?: CommandStep,
  ) {
    super(problem.message);
    this.name = "CommandError";
  }
}

export interface CommandOptions {
  /** Seconds that the device may take; the server's default is 10, its most 60. */
  timeout?: number;
  /** Sent again with the same key, a command returns its first outcome and does not run twice. */
  key?: string;
  /** A person has reviewed exactly this: wanted by actions of the risk "confirm". */
  confirm?: boolean;
  /** Why, for the audit: wanted by actions of the risk "high". */
  reason?: string;
  /** Told each step that moves: accepted, sent. */
  onStep?: (step: CommandStep) => void;
}

interface Call {
  resolve(step: CommandStep): void;
  reject(err: CommandError): void;
  onStep: ((step: CommandStep) => void) | undefined;
  last: CommandStep | undefined;
}

/** Commands under way, by the id of their frame. */
export class Calls {
  #open = new Map<string, Call>();

  get size(): number {
    return this.#open.size;
  }

  start(id: string, onStep?: (step: CommandStep) => void): Promise<CommandStep> {
    return new Promise((resolve, reject) => this.#open.set(id, { resolve, reject, onStep, last: undefined }));
  }

  answer(answer: CommandStep | ErrorFrame): void {
    const id = String(answer.id);
    const call = this.#open.get(id);
    if (!call) return;
    if (answer.type === "error") {
      this.#open.delete(id);
      return call.reject(new CommandError(answer, call.last));
    }
    call.last = answer;
    if (answer.status === "accepted" || answer.status === "sent") return call.onStep?.(answer);
    this.#open.delete(id);
    if (answer.status === "done" || answer.status === "verified") return call.resolve(answer);
    call.reject(new CommandError({ code: answer.status, message: answer.error ?? `the command ended with ${answer.status}` }, answer));
  }

  /** The connection is gone: what was sent may have run. */
  lost(): void {
    for (const call of this.#open.values()) {
      call.reject(new CommandError({ code: "unknown", message: "the connection was lost before the outcome was known; ask /api/commands" }, call.last));
    }
    this.#open.clear();
  }
}

// What people do about alarms. The list changes when the server says so.
import { post } from "../app/api";
import type { Alarm } from "./alarm";

/** So many are acknowledged by one request; the server takes 500. */
const atOnce = 500;

/** One thing that is being done, and why it could not be. */
export class Act {
  busy = $state(false);
  problem = $state("");

  /** Resolves to whether it was done. One that is being done is not begun again. */
  async #do(work: () => Promise<unknown>): Promise<boolean> {
    if (this.busy) return false;
    this.busy = true;
    this.problem = "";
    try {
      await work();
      return true;
    } catch (err) {
      this.problem = err instanceof Error ? err.message : String(err);
      return false;
    } finally {
      this.busy = false;
    }
  }

  ack(alarms: readonly Alarm[], comment: string): Promise<boolean> {
    const ids = alarms.map((a) => a.id);
    return this.#do(async () => {
      for (let i = 0; i < ids.length; i += atOnce) await post("/api/alarms/ack", { ids: ids.slice(i, i + atOnce), comment: comment.trim() });
    });
  }

  shelve(alarm: Alarm, seconds: number, reason: string): Promise<boolean> {
    return this.#do(() => post(`/api/alarms/${encodeURIComponent(alarm.id)}/shelve`, { seconds, reason: reason.trim() }));
  }

  unshelve(alarm: Alarm): Promise<boolean> {
    return this.#do(() => post(`/api/alarms/${encodeURIComponent(alarm.id)}/unshelve`));
  }
}

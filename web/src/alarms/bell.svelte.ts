import { mostUrgent, priorities, waits, type Alarm, type Priority } from "./alarm";
import { Chime } from "./chime.svelte";

/** What somebody wants of this browser. */
export interface Choice {
  sound: boolean;
  notify: boolean;
  /** The least urgent priority that is told. */
  down: Priority;
}

/** Why the browser shows no notification: it cannot, only over https, somebody has refused, not asked yet; "" it does. */
export type Refusal = "" | "missing" | "insecure" | "denied" | "unasked";

const key = "echotwin.alarms";
const off: Choice = { sound: false, notify: false, down: 2 };
/** Notifications that are kept to be closed when their alarm is acknowledged. */
const most = 20;

function stored(): Choice {
  try {
    const said = JSON.parse(localStorage.getItem(key) ?? "{}") as Partial<Record<keyof Choice, unknown>>;
    return { sound: said.sound === true, notify: said.notify === true, down: priorities.find((p) => p === said.down) ?? off.down };
  } catch {
    return off; // storage may be forbidden, and somebody may have written into it
  }
}

function refusal(): Refusal {
  if (!globalThis.isSecureContext) return "insecure";
  if (typeof Notification === "undefined") return "missing";
  return Notification.permission === "granted" ? "" : Notification.permission === "denied" ? "denied" : "unasked";
}

/** Sound and notifications, by choice and off until somebody chooses them. */
export class Bell {
  choice = $state.raw<Choice>(stored());
  refused = $state<Refusal>(refusal());
  readonly chime = new Chime();
  #shown = new Map<string, Notification>();

  /** To be called in a click, since the browser asks for one. */
  async choose(change: Partial<Choice>): Promise<void> {
    this.choice = { ...this.choice, ...change };
    try {
      localStorage.setItem(key, JSON.stringify(this.choice));
    } catch {
      // The choice then lasts as long as the page.
    }
    if (change.sound) await this.chime.wake();
    if (!change.notify) return;
    if (refusal() === "unasked") await Notification.requestPermission().catch(() => "denied");
    this.refused = refusal();
  }

  /** Whether the alarm is one of those that are told. */
  tells(a: Alarm): boolean {
    return a.priority <= this.choice.down;
  }

  /** What was raised just now. `words` says it, `open` leads there. */
  ring(news: readonly Alarm[], words: (news: readonly Alarm[]) => { title: string; body: string }, open: (alarm: Alarm | null) => void): void {
    const told = news.filter((a) => this.tells(a));
    const first = mostUrgent(told);
    if (!first) return;
    if (this.choice.sound) this.chime.play(first.priority);
    if (this.choice.notify) this.#notify(told.length === 1 ? first : null, words(told), open);
  }

  /** The list is another: notifications of what waits no more go. */
  settle(get: (id: string) => Alarm | undefined): void {
    for (const [id, notification] of this.#shown) {
      const alarm = get(id);
      if (alarm && waits(alarm)) continue;
      notification.close();
      this.#shown.delete(id);
    }
  }

  #notify(alarm: Alarm | null, { title, body }: { title: string; body: string }, open: (alarm: Alarm | null) => void): void {
    this.refused = refusal();
    if (this.refused) return;
    try {
      // One with the tag of an older one takes its place, also from another window.
      const notification = new Notification(title, { body, tag: `echotwin-${alarm?.id ?? "many"}`, icon: "/public/favicon.svg" });
      notification.onclick = () => {
        window.focus();
        open(alarm);
        notification.close();
      };
      if (!alarm) return;
      this.#shown.set(alarm.id, notification);
      const oldest = this.#shown.keys().next().value;
      if (this.#shown.size > most && oldest !== undefined) this.#shown.delete(oldest);
    } catch {
      this.refused = "missing"; // some browsers of phones have the name and not the thing
    }
  }
}

/** The one bell of the page. */
export const bell = new Bell();

/** Whether something critical waits for somebody: then the sound comes again and again. */
export function critical(list: readonly Alarm[]): boolean {
  return list.some((a) => a.priority === 1 && waits(a));
}

import { get } from "../app/api";
import type { Json } from "../live";

/** What only the state of a thing says about a property, and no frame. */
export interface Said {
  /** Seconds from reading to reading; 0 while nobody knows. */
  period: number;
  /** Whether that was learnt from how it came. */
  learnt: boolean;
  /** When it was measured, ms. */
  ts: number;
  quality: string;
}

const askEvery = 10_000;

/** GET …/state every ten seconds while somebody looks: periods change slowly, and frames tell the values. */
export class State {
  properties = $state.raw<ReadonlyMap<string, Said>>(new Map());
  #left = false;
  #timer = 0;

  constructor(readonly thing: string) {}

  /** Begins to ask; ends by the function it returns. */
  start(): () => void {
    void this.#ask();
    this.#timer = window.setInterval(() => document.hidden || void this.#ask(), askEvery);
    return () => {
      this.#left = true;
      clearInterval(this.#timer);
    };
  }

  async #ask(): Promise<void> {
    const answer = await get(`/api/things/${this.thing}/state`).catch(() => null);
    if (this.#left || answer === null) return;
    const all = (answer as { properties?: Record<string, Record<string, Json>> }).properties ?? {};
    this.properties = new Map(Object.entries(all).map(([name, p]) => [name, said(p)]));
  }
}

function said(p: Record<string, Json>): Said {
  return { period: typeof p.period === "number" ? p.period : 0, learnt: p.learnt === true, ts: Date.parse(String(p.ts ?? "")), quality: String(p.quality ?? "") };
}

// What stands for and against an action, as the server sees it, while somebody is about to ask for it.
import type { CommandStep, Json, Unsubscribe } from "../live";
import { get } from "./api";

export interface Interlock {
  when?: string;
  promql?: string;
  message?: string;
  /** null: nobody knows, and then no command passes. */
  holds: boolean | null;
  values?: Record<string, Json>;
  error?: string;
}

/** The answer of GET …/actions/{name}. */
export interface Readiness {
  online?: string;
  interlocks: Interlock[];
  ready: boolean;
  may: boolean;
  controller?: CommandStep;
  replaces?: CommandStep[];
}

const askEvery = 2000;

export class Ready {
  /** Null until the server has answered, and when it does not answer any more: then nothing is known. */
  now = $state.raw<Readiness | null>(null);

  /** Looks again and again until the function that it returns is called. */
  watch(thing: string, action: string): Unsubscribe {
    let gone = false;
    this.now = null;
    const look = () =>
      get(`/api/things/${thing}/actions/${action}`)
        .then((answer) => !gone && (this.now = answer as Readiness))
        .catch(() => !gone && (this.now = null));
    void look();
    const timer = setInterval(look, askEvery);
    return () => {
      gone = true;
      clearInterval(timer);
    };
  }
}

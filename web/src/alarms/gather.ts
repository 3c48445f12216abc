import { waits, type Alarm } from "./alarm";
import type { Alarms } from "./book.svelte";

/** So long more are waited for, so that a flood is one piece of news. */
const gatherFor = 1500;
/** What is kept of a flood until it is told; the rest stands in the list all the same. */
const most = 1000;

/** Gathers alarms that are raised, and tells together those that still wait for somebody. */
export function gather(book: Pick<Alarms, "onRaised" | "get">, tell: (news: readonly Alarm[]) => void): () => void {
  const ids = new Set<string>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const leave = book.onRaised((alarm) => {
    if (ids.size < most) ids.add(alarm.id);
    timer ??= setTimeout(() => {
      timer = undefined;
      const news = [...ids].map((id) => book.get(id)).filter((a): a is Alarm => a !== undefined && waits(a));
      ids.clear();
      if (news.length > 0) tell(news);
    }, gatherFor);
  });
  return () => {
    leave();
    clearTimeout(timer);
  };
}

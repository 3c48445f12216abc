import type { Unsubscribe } from "./unsubscribe";

/**
 * Calls when a browser says that the network is back or that somebody looks at
 * the page again. Timers of a hidden page sleep, so both mean: look now. Where
 * there is no page (Node), it never calls.
 */
export function onWake(call: () => void): Unsubscribe {
  const page = globalThis as Partial<Pick<Window, "addEventListener" | "removeEventListener" | "document">>;
  const doc = page.document;
  if (!doc || !page.addEventListener) return () => undefined;
  const look = () => {
    if (doc.visibilityState !== "hidden") call();
  };
  // "resume" comes after a freeze, where Chromium does not always fire visibilitychange.
  const sources: [EventTarget, string, () => void][] = [
    [globalThis as unknown as EventTarget, "online", call],
    [globalThis as unknown as EventTarget, "pageshow", look],
    [doc, "visibilitychange", look],
    [doc, "resume", look],
  ];
  for (const [target, type, listener] of sources) target.addEventListener(type, listener);
  return () => {
    for (const [target, type, listener] of sources) target.removeEventListener(type, listener);
  };
}

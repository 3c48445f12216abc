// How far down somebody was on the pages that they left: a page that is gone to
// begins at its top, and Back leads to where one was. The browser does that for
// documents; ours are filled a moment after their address is there.

const left = new Map<string, number[]>();
/** A screen stays open for months: so many pages are known, those left last. */
const most = 100;

/** The window, on a phone, and the lists that scroll by themselves elsewhere. */
function scrollers(): Element[] {
  return [document.scrollingElement ?? document.documentElement, ...document.querySelectorAll("main .scroll")];
}

/** Notes it for the page of this address, which is about to be left. */
export function leave(address: string): void {
  left.delete(address);
  left.set(address, scrollers().map((e) => e.scrollTop));
  for (const oldest of left.keys()) {
    if (left.size <= most) break;
    left.delete(oldest);
  }
}

export function toTop(): void {
  document.scrollingElement?.scrollTo(0, 0);
}

/** Goes back to it, as soon as the page is as long again, for two seconds at most or until somebody scrolls. */
export function comeBack(address: string): void {
  const places = left.get(address);
  if (!places?.some((y) => y > 0)) return;
  const until = performance.now() + 2000;
  const end = new AbortController();
  for (const type of ["wheel", "touchstart", "keydown", "pointerdown"]) addEventListener(type, () => end.abort(), { signal: end.signal, passive: true });
  const look = () => {
    const now = scrollers();
    const ready = now.length >= places.length && places.every((y, i) => (now[i]?.scrollHeight ?? 0) - (now[i]?.clientHeight ?? 0) >= y);
    if (end.signal.aborted) return;
    if (ready) places.forEach((y, i) => now[i]?.scrollTo(0, y));
    if (ready || performance.now() > until) end.abort();
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}

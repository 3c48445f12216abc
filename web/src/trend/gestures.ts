// Pointer, wheel and fingers on a chart, as movements in time. It knows no
// chart: what an x means it is told.
import type { Area } from "./plot";
import type { Span } from "./range";

export interface Target {
  area(): Area;
  /** What the plotting area shows now. */
  span(): Span;
  /** The moment under the pointer; null when it left. */
  point(moment: number | null): void;
  /** What is being drawn around, in pixels of the box; null when it is not any more. */
  select(left: number, width: number): void;
  deselect(): void;
  zoomTo(span: Span): void;
  zoomBy(factor: number, moment: number): void;
  panBy(ms: number): void;
  reset(): void;
}

/** A movement of so many pixels is one; less is a click. */
const least = 6;
const doubleTap = 350;

type Hand = { kind: "idle" } | { kind: "select"; from: number } | { kind: "pan"; at: number; moved: number } | { kind: "pinch"; apart: number };

/** Listens on the box until the function that it returns is called. */
export function gestures(box: HTMLElement, target: Target): () => void {
  let hand: Hand = { kind: "idle" };
  const fingers = new Map<number, number>(); // pointer and its x
  let tapped = 0;

  const xOf = (e: { clientX: number }) => e.clientX - box.getBoundingClientRect().left;
  const inArea = (x: number) => {
    const { left, width } = target.area();
    return Math.min(left + width, Math.max(left, x));
  };
  const momentAt = (x: number) => {
    const { left, width } = target.area();
    const { from, to } = target.span();
    return from + ((inArea(x) - left) / Math.max(1, width)) * (to - from);
  };
  const msOf = (px: number) => {
    const { from, to } = target.span();
    return (px / Math.max(1, target.area().width)) * (to - from);
  };

  function down(e: PointerEvent): void {
    if (e.pointerType === "mouse" && e.button !== 0) return;
    const x = xOf(e);
    fingers.set(e.pointerId, x);
    if (fingers.size === 2) {
      const [a, b] = [...fingers.values()] as [number, number];
      hand = { kind: "pinch", apart: Math.max(20, Math.abs(a - b)) };
      return;
    }
    hand = e.pointerType !== "mouse" || e.shiftKey ? { kind: "pan", at: x, moved: 0 } : { kind: "select", from: x };
    if (e.pointerType === "mouse") box.setPointerCapture(e.pointerId);
  }

  function move(e: PointerEvent): void {
    const x = xOf(e);
    if (fingers.has(e.pointerId)) fingers.set(e.pointerId, x);
    if (hand.kind === "pinch" && fingers.size === 2) {
      const [a, b] = [...fingers.values()] as [number, number];
      const apart = Math.max(20, Math.abs(a - b));
      if (Math.abs(apart - hand.apart) < 2) return;
      target.zoomBy(hand.apart / apart, momentAt((a + b) / 2));
      hand.apart = apart;
    } else if (hand.kind === "pan") {
      const by = x - hand.at;
      if (by === 0) return;
      hand.moved += Math.abs(by);
      hand.at = x;
      if (hand.moved >= least) target.panBy(-msOf(by));
    } else {
      target.point(momentAt(x));
      if (hand.kind === "select" && Math.abs(x - hand.from) >= least) {
        const [a, b] = [inArea(hand.from), inArea(x)].sort((p, q) => p - q) as [number, number];
        target.select(a, b - a);
      }
    }
  }

  function up(e: PointerEvent): void {
    const x = xOf(e);
    fingers.delete(e.pointerId);
    const was = hand;
    hand = { kind: "idle" };
    target.deselect();
    if (was.kind === "select" && Math.abs(x - was.from) >= least) {
      const [from, to] = [momentAt(was.from), momentAt(x)].sort((p, q) => p - q) as [number, number];
      target.zoomTo({ from, to });
    } else if (was.kind === "pan" && was.moved < least && e.pointerType !== "mouse") {
      target.point(momentAt(x));
      if (e.timeStamp - tapped < doubleTap) target.reset();
      tapped = e.timeStamp;
    }
  }

  function cancel(e: PointerEvent): void {
    fingers.delete(e.pointerId);
    hand = { kind: "idle" };
    target.deselect();
  }

  function leave(e: PointerEvent): void {
    if (e.pointerType === "mouse") target.point(null);
  }

  function wheel(e: WheelEvent): void {
    e.preventDefault();
    const unit = e.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    const sideways = e.shiftKey ? e.deltaX || e.deltaY : Math.abs(e.deltaX) > Math.abs(e.deltaY) ? e.deltaX : 0;
    if (sideways !== 0) target.panBy(msOf(sideways * unit));
    else if (e.deltaY !== 0) target.zoomBy(Math.exp(Math.max(-240, Math.min(240, e.deltaY * unit)) * 0.0022), momentAt(xOf(e)));
  }

  /** Escape takes back what is being drawn. */
  function key(e: KeyboardEvent): void {
    if (e.key !== "Escape" || hand.kind === "idle") return;
    hand = { kind: "idle" };
    target.deselect();
  }

  const reset = () => target.reset();
  box.addEventListener("pointerdown", down);
  box.addEventListener("pointermove", move);
  box.addEventListener("pointerup", up);
  box.addEventListener("pointercancel", cancel);
  box.addEventListener("pointerleave", leave);
  box.addEventListener("wheel", wheel, { passive: false });
  box.addEventListener("dblclick", reset);
  addEventListener("keydown", key);
  return () => {
    box.removeEventListener("pointerdown", down);
    box.removeEventListener("pointermove", move);
    box.removeEventListener("pointerup", up);
    box.removeEventListener("pointercancel", cancel);
    box.removeEventListener("pointerleave", leave);
    box.removeEventListener("wheel", wheel);
    box.removeEventListener("dblclick", reset);
    removeEventListener("keydown", key);
  };
}

import type { Board } from "./board.svelte";

/**
 * A chart by keyboard: arrows move the cursor (with Shift they pan), + and -
 * zoom, Home and End go to the ends, 0 resets, Escape puts the cursor away.
 * Says whether the key was one of these.
 */
export function press(board: Board, e: Pick<KeyboardEvent, "key" | "shiftKey" | "ctrlKey" | "metaKey" | "altKey">): boolean {
  if (e.ctrlKey || e.metaKey || e.altKey) return false;
  const { from, to } = board.current();
  const length = to - from;
  const middle = board.cursor ?? (board.following ? to : (from + to) / 2);
  const sign = e.key === "ArrowLeft" ? -1 : 1;
  switch (e.key) {
    case "ArrowLeft":
    case "ArrowRight":
      if (e.shiftKey) board.panBy((sign * length) / 4);
      else board.cursor = Math.min(to, Math.max(from, (board.cursor ?? (sign < 0 ? to : from)) + sign * Math.max(board.step, length / 100)));
      return true;
    case "Home":
      board.cursor = from;
      return true;
    case "End":
      board.cursor = to - 1;
      return true;
    case "+":
    case "=":
      board.zoomBy(0.5, middle);
      return true;
    case "-":
    case "_":
      board.zoomBy(2, middle);
      return true;
    case "0":
      board.reset();
      return true;
    case "Escape":
      if (board.cursor === null) return false;
      board.cursor = null;
      return true;
  }
  return false;
}

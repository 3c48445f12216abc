// A board of trends on this page's screen, and its place in the URL.
import { onMount, untrack } from "svelte";
import { Archive } from "../trend/archive";
import { Board } from "../trend/board.svelte";
import { keyOf } from "../model/series";
import { route } from "./route.svelte";
import { screen } from "./screen.svelte";

/** What the server said of the past is worth keeping across pages. */
const archive = new Archive();

/** The board of the overview while it is there: a trend elsewhere on the page shows the same time. */
class OverviewBoard {
  board = $state.raw<Board | null>(null);
}
export const overview = new OverviewBoard();

/** So often a URL may change while somebody pans: browsers refuse more. */
const urlEvery = 300;

/**
 * The board of a component, to be asked for while it is set up. It lives as
 * long as the component, shows the time that the URL says, writes what is
 * chosen back into it, and moves on with the screen.
 */
export function useBoard(): Board {
  const board = new Board(
    {
      get clock() {
        return screen.clock;
      },
      tail: (pen) => screen.series.get(keyOf(pen.thing, pen.property)),
      keep: (pen) => screen.keep(pen.thing, pen.property),
      epoch: () => screen.connection.epoch,
      property: (pen) => screen.read(pen.thing, pen.property).property,
    },
    archive,
  );
  $effect.pre(() => {
    void route.query;
    untrack(() => {
      const { home, span, compare } = route.time;
      Object.assign(board, { home, span, compare });
    });
  });
  $effect(() => {
    const { home, span, compare } = board;
    const timer = setTimeout(() => route.setTime({ home, span, compare }), urlEvery);
    return () => clearTimeout(timer);
  });
  $effect(() => {
    void [screen.tick, screen.now, screen.link, screen.clock, board.home, board.span, board.compare, board.pens, board.guests];
    untrack(() => board.refresh());
  });
  onMount(() => () => board.end());
  return board;
}

import { time } from "../alarms/alarm";
import { Alarms } from "../alarms/book.svelte";
import { earlier } from "../alarms/read";
import { Activity } from "../app/activity.svelte";
import { Commands } from "../app/commands.svelte";
import type { Feed, Past } from "../app/past";
import { kpis } from "../app/plant";
import { screen } from "../app/screen.svelte";
import type { Unsubscribe } from "../live";
import { keyOf, Series } from "../model/series";
import type { Player } from "./player";

/** The alarms that stood come behind the snapshots; so long after the first of these they are here. */
const behind = 500;

/** Everything that is shown of one start of a replay. Nothing of it can send. */
export function pastOf(player: Player): Past {
  const ends: Unsubscribe[] = [];
  const until = (end: Unsubscribe) => (ends.push(end), end);
  const nothing = () => () => undefined;
  const feed: Feed = {
    onFact: (listener) => until(player.onFact(listener)),
    onGap: (listener) => until(player.onGap(listener)),
    onLink: nothing,
    onAnswer: nothing,
    send: () => false,
    link: screen.connection.link,
  };
  const begin = player.now();
  // What happened, and not what stood already.
  const happened: Feed = { ...feed, onFact: (listener) => feed.onFact((fact) => fact.type === "alarm" && time(fact.ts) < begin ? undefined : listener(fact)) };
  const told = () => new Promise<never[]>((resolve) => {
    const leave = until(player.store.watch(() => {
      leave();
      setTimeout(() => resolve([]), behind);
    }));
  });
  const alarms = new Alarms({ ...feed, onGap: nothing, epoch: "" }, told, earlier);
  void alarms.load();
  return {
    alarms,
    store: player.store,
    now: () => player.now(),
    series: new Series(kpis.map((s) => keyOf(s.thing, s.property))),
    activity: new Activity(happened, { things: player.store.things, watch: (listener) => until(player.store.watch(listener)) }),
    commands: new Commands(feed),
    end: () => ends.splice(0).forEach((end) => end()),
  };
}

import { time } from "../alarms/alarm";
import { Alarms } from "../alarms/book.svelte";
import { earlier, readAt } from "../alarms/read";
import { Activity } from "../app/activity.svelte";
import { Commands } from "../app/commands.svelte";
import type { Feed, Past } from "../app/past";
import { kpis } from "../app/plant";
import { screen } from "../app/screen.svelte";
import { keyOf, Series } from "../model/series";
import type { Player } from "./player";

/** Everything that is shown of one start of a replay. Nothing of it can send. */
export function pastOf(player: Player): Past {
  const nothing = () => () => undefined;
  const feed: Feed = {
    onFact: (listener) => player.onFact(listener),
    onGap: (listener) => player.onGap(listener),
    onLink: nothing,
    onAnswer: nothing,
    send: () => false,
    link: screen.connection.link,
  };
  const begin = player.now();
  const alarms = new Alarms({ ...feed, epoch: "" }, () => readAt(player.now()), earlier);
  void alarms.load();
  return {
    alarms,
    store: player.store,
    now: () => player.now(),
    series: new Series(kpis.map((s) => keyOf(s.thing, s.property))),
    activity: new Activity({ ...feed, onFact: (listener) => player.onFact((fact) => (fact.type === "alarm" && time(fact.ts) < begin ? undefined : listener(fact))) }, player.store),
    commands: new Commands(feed),
  };
}

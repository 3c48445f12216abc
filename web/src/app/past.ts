import type { Connection, Store } from "../live";
import type { Series } from "../model/series";
import type { Alarms } from "../alarms/book.svelte";
import type { Activity } from "./activity.svelte";
import type { Commands } from "./commands.svelte";

/** What listens to a connection needs of it; a replay gives the same of the past. */
export type Feed = Pick<Connection, "onFact" | "onGap" | "onLink" | "onAnswer" | "send" | "link">;

/** The past as a screen shows it in place of the present. */
export interface Past {
  store: Store;
  /** The moment that is shown, ms. */
  now(): number;
  /** The readings on the way to that moment. */
  series: Series;
  activity: Activity;
  alarms: Alarms;
  commands: Commands;
  /** Nothing more is heard: another start is shown, or the present. */
  end(): void;
}

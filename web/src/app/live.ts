// The one connection of the page and what listens to it.
import { Activity } from "./activity.svelte";
import { Commands } from "./commands.svelte";
import { screen } from "./screen.svelte";

export const commands = new Commands(screen.connection);
export const activity = new Activity(screen.connection, screen.store);
export { screen };

// The live client of Echotwin: framework-free, for the dashboard and, as
// /public/echotwin.js, for scripts. See docs/client.md.
export { CommandError, type CommandOptions } from "./command";
export { connect, socketURL, type ConnectOptions } from "./connect";
export { Connection, type Options } from "./connection";
export type { Wish } from "./feeds";
export * from "./frames";
export type { Lag } from "./lag";
export type { Link, Phase, Reason } from "./link";
export { mergePatch } from "./merge";
export { matches } from "./pattern";
export type { OpenSocket, SocketLike } from "./socket";
export { Store, type Changed, type Fields, type Take, type Thing, type Value } from "./store";
export { Listeners, type Unsubscribe } from "./unsubscribe";
export type { View, Watcher } from "./view";

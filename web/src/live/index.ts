// The live client of Echotwin: framework-free, also for scripts.
//
//   const store = new Store();
//   const connection = new Connection({ url: () => "ws://host/ws", store, sub: { path: "plant/**", rate: 5 } });
//   store.watch((changed) => …);
//   connection.start();
export { Connection, type Link, type Phase } from "./connection";
export * from "./frames";
export { mergePatch } from "./merge";
export { matches } from "./pattern";
export { Store, type Changed, type Thing, type Value } from "./store";
export { Listeners, type Unsubscribe } from "./unsubscribe";

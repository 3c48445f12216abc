// Random views, readings, events, cuts and kills against the real server. At
// every quiet point each view must show exactly what the server knows of it, and
// at the end each event must have come once.
//
// ECHOTWIN_SEED replays a run, ECHOTWIN_ROUNDS makes it longer.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import { Script } from "./harness/script.mjs";
import { act } from "./harness/stage.mjs";

const seed = Number(process.env.ECHOTWIN_SEED ?? Math.floor(Math.random() * 1e9));
const rounds = Number(process.env.ECHOTWIN_ROUNDS ?? 8);

/** Numbers that a seed decides (mulberry32). */
function dice(seed) {
  let a = seed;
  const next = () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return { below: (n) => Math.floor(next() * n), of: (list) => list[Math.floor(next() * list.length)] };
}

const things = ["lab/a/one", "lab/a/two", "lab/b/one", "lab/b/two"];
const names = ["x", "y", "z"];
const places = ["lab/a", "hall", "lab"];
const paths = [...things, "lab/a/*", "lab/b/**", "lab/**", "lab/*/one", "**", ...places.map((p) => `under:${p}`), ...places.map((p) => `under:${p}`)];

act(`what a client shows is what the server knows, seed ${seed}`, async (t) => {
  const { connect } = await import("../dist/public/echotwin.js");
  const d = dice(seed);
  const { server } = await t.quietServer();
  const line = await t.line(server);
  const token = await Script.token(server);
  const admin = await Script.token(server, "admin");
  let devices = new Map();
  const plug = async () => {
    for (const thing of things) devices.set(thing, await t.device(server, thing));
  };
  await plug();

  const twin = connect(line.url, { token, WebSocket });
  t.onEnd(() => twin.close());
  const came = [];
  twin.onFact((f) => f.type === "event" && f.name === "tick" && came.push(f.data));
  const gaps = [];
  twin.onGap((gap) => gaps.push(gap));
  let ticks = 0;
  const views = new Set([twin.watch("lab/**")]); // the first stays, so that all events are for somebody
  await twin.whenLive(); // what happened before is not for it
  const open = (wish) => views.add(twin.watch(wish));
  const close = (view) => {
    views.delete(view);
    view.close();
  };

  const moves = {
    say: async () => {
      const values = Object.fromEntries(names.filter(() => d.below(2)).map((n) => [n, d.of([d.below(100), { a: d.below(3), b: d.of([1, null]) }, `w${d.below(5)}`])]));
      if (Object.keys(values).length > 0) await devices.get(d.of(things)).say(values);
    },
    tick: () => {
      const device = devices.get(d.of(things));
      return device.client.publishAsync(`event/${device.thing}/tick`, String(ticks++), { qos: 1 });
    },
    watch: () => void (views.size < 20 && open({ path: d.of(paths), fields: d.of([undefined, ["x"], ["y", "z"]]), rate: d.of([undefined, 2, 10]) })),
    close: () => void (views.size > 1 && close(d.of([...views].slice(1)))),
    swap: () => {
      const view = d.of([...views].slice(1));
      if (!view) return;
      open(view.wish);
      close(view);
    },
    link: async () => {
      const links = [...things, "lab/a"].filter(() => d.below(3) === 0).map((href) => ({ rel: "contains", href }));
      const td = { "@context": "https://www.w3.org/2022/wot/td/v1.1", title: "Hall", links };
      const put = await fetch(`${server.url}/api/things/hall`, { method: "PUT", headers: { "Content-Type": "application/json", Authorization: `Bearer ${admin}` }, body: JSON.stringify(td) });
      assert.ok(put.ok, `a link is taken, not ${put.status}: ${await put.text()}`);
    },
    cut: () => line.cut(),
    kill: async () => {
      line.kill();
      await sleep(d.below(300));
      line.restore();
    },
    silence: async () => {
      line.silence();
      await sleep(d.below(600));
      line.restore();
    },
    wait: () => sleep(d.below(60)),
  };
  const often = ["say", "say", "say", "say", "tick", "tick", "watch", "close", "swap", "link", "link", "wait", "wait", "cut", "kill", "silence"];

  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < 25; i++) await moves[d.of(often)]();
    if (round === Math.floor(rounds / 2)) {
      await server.restart(); // kill -9, in the middle of it all
      await plug();
    }
    await quiet(twin, views, server, token, `round ${round}, seed ${seed}`);
  }

  await until(() => came.length >= ticks, () => `all ${ticks} events came, not only ${came}; declared lost: ${JSON.stringify(gaps)}; seed ${seed}`);
  assert.deepEqual(gaps, [], `nothing was declared lost; seed ${seed}`);
  assert.deepEqual(came, [...Array(ticks).keys()], `each event came once and in order; seed ${seed}`);

  for (const view of views) view.close();
  await until(async () => twin.subscriptions === 0 && twin.store.things.size === 0, () => "nothing is left");
  await until(async () => (await Script.metric(server, "echotwin_hub_subscriptions")) === 0, () => "nothing is left at the server");
});

/** Waits until every view shows what the server says. */
async function quiet(twin, views, server, token, where) {
  let wrong;
  await until(
    async () => {
      twin.retryNow(); // cut so often it would wait longer and longer
      const truth = await stateOf(server, token);
      const below = {};
      for (const place of places) below[`under:${place}`] = await idsOf(server, token, `under:${place}`);
      const shown = JSON.stringify([...views].map((v) => [v.wish, what(v.things(), v.wish)]));
      wrong = JSON.stringify([...views].map((v) => [v.wish, what(truth, v.wish, below)]));
      const live = twin.link.phase === "live" && [...views].every((v) => v.ready);
      if (live && shown === wrong) return true;
      wrong = `${where}: ${JSON.stringify(twin.link)}\nshown ${shown}\ntruth ${wrong}`;
      return false;
    },
    () => wrong,
  );
}

/** Values by thing and name, in order, of what a wish is about; what stands below a place the server says. */
function what(list, { path, fields }, below) {
  const place = path.startsWith("under:");
  const re = place || new RegExp(`^${path.replace("**", ".+").replaceAll("*/", "[^/]+/").replace(/\*$/, "[^/]+")}$`);
  const of = (thing) => [...thing.values].filter(([name]) => !fields || fields.includes(name)).map(([name, v]) => [name, sorted(v.value)]);
  return list
    .filter((thing) => (place ? !below || below[path].includes(thing.id) : re.test(thing.id)))
    .map((thing) => [thing.id, of(thing).sort()])
    .sort();
}

function sorted(value) {
  return value && typeof value === "object" ? Object.fromEntries(Object.entries(value).sort()) : value;
}

async function idsOf(server, token, path) {
  const tds = await (await fetch(`${server.url}/api/things?path=${path}`, { headers: { Authorization: `Bearer ${token}` } })).json();
  return tds.map((td) => td.id.replace("urn:echotwin:", ""));
}

async function stateOf(server, token) {
  const get = async (path) => (await fetch(`${server.url}${path}`, { headers: { Authorization: `Bearer ${token}` } })).json();
  const all = await idsOf(server, token, "**");
  const list = [];
  for (const id of all) {
    const { properties } = await get(`/api/things/${id}/state`);
    if (Object.keys(properties).length > 0) list.push({ id, values: new Map(Object.entries(properties)) });
  }
  return list;
}

async function until(holds, why) {
  for (const end = Date.now() + 45_000; !(await holds()); await sleep(100)) assert.ok(Date.now() < end, why());
}

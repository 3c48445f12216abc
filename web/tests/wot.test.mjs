// A client of the Web of Things that is not ours, node-wot, against the real server and a real device.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { Device } from "./harness/device.mjs";
import { Script } from "./harness/script.mjs";
import { Server } from "./harness/server.mjs";

const require = createRequire(import.meta.url);
const { Servient } = require("@node-wot/core");
const { HttpClientFactory } = require("@node-wot/binding-http");

const oven = "lab/oven";
const ovenTD = {
  "@context": ["https://www.w3.org/2019/wot/td/v1", "https://www.w3.org/2022/wot/td/v1.1", { echotwin: "urn:echotwin:td#" }],
  id: `urn:echotwin:${oven}`,
  title: "Oven",
  securityDefinitions: { none: { scheme: "nosec" } },
  security: ["none"],
  properties: {
    temperature: { type: "number", unit: "°C", minimum: 0, maximum: 300, readOnly: true },
    setpoint: { type: "number", unit: "°C", minimum: 20, maximum: 250 },
  },
  actions: { preheat: { input: { type: "object", required: ["minutes"], properties: { minutes: { type: "integer", minimum: 1, maximum: 60 } } }, output: { type: "object" } } },
  events: { overheat: { data: { type: "object" } } },
  links: [{ rel: "feeds", href: "lab/cooler" }],
};
/** A place that the oven stands in, by a link. */
const hallTD = { "@context": ovenTD["@context"], id: "urn:echotwin:hall", title: "Hall", links: [{ rel: "contains", href: oven }] };

/** Resolves with the first value that a listener gets and `is` likes. */
function heard() {
  const values = [];
  let wake = () => {};
  return {
    listener: async (output) => {
      values.push(await output.value());
      wake();
    },
    async until(is) {
      for (;;) {
        const found = values.find(is);
        if (found !== undefined) return found;
        await new Promise((resolve) => (wake = resolve));
      }
    },
  };
}

test("node-wot reads, writes, observes, subscribes and invokes by the served description", { timeout: 120_000 }, async (t) => {
  const server = await Server.start({ ECHOTWIN_DEMO: "false" }, [ovenTD, hallTD]);
  t.after(() => server.stop());
  const device = await Device.connect(server.mqtt, oven);
  t.after(() => device.end());
  const asked = [];
  device.client.on("message", async (topic, payload) => {
    const [, , , part, name, cmd = name] = topic.split("/"); // properties/<name>/<cmd>, or <action>/<cmd>
    const input = JSON.parse(payload.toString());
    asked.push([part, input]);
    if (part === "properties") await device.say({ [name]: input });
    const result = input.minutes === 13 ? { ok: false, error: "not on a Friday" } : { ok: true, output: { ready: true } };
    await device.client.publishAsync(`result/${cmd}`, JSON.stringify(result), { qos: 1 });
  });
  await device.client.subscribeAsync(`command/${oven}/#`, { qos: 1 });
  await device.say({ temperature: 41.5, setpoint: 100 });

  const token = await Script.token(server);
  const bearer = { Authorization: `Bearer ${token}` };
  const made = await fetch(`${server.url}/api/tickets`, { method: "POST", headers: { ...bearer, "Content-Type": "application/json" }, body: JSON.stringify({ things: [oven] }) });
  const { ticket } = await made.json();
  assert.ok(ticket, `a ticket, not ${made.status}`);
  const address = `${server.url}/api/things/${oven}?ticket=${ticket}`;

  const servient = new Servient();
  servient.addClientFactory(new HttpClientFactory(null));
  servient.addCredentials({ [`urn:echotwin:${oven}`]: { token } });
  const WoT = await servient.start();
  t.after(() => servient.shutdown());

  // With nothing but a ticket: it fetches the description itself, reads, observes and subscribes.
  const reader = await WoT.consume(await WoT.requestThingDescription(address));
  assert.equal(await (await reader.readProperty("temperature")).value(), 41.5);
  const [observed, events] = [heard(), heard()];
  const observing = await reader.observeProperty("temperature", observed.listener);
  assert.equal(await observed.until(() => true), 41.5, "the value that there is comes first");
  await device.say({ temperature: 42 });
  await observed.until((v) => v === 42);
  await observing.stop();
  const subscribing = await reader.subscribeEvent("overheat", events.listener);
  // The stream is open when node-wot says so; an event before that is nobody's.
  await device.client.publishAsync(`event/${oven}/overheat`, JSON.stringify({ temperature: 260 }), { qos: 1 });
  assert.deepEqual(await events.until(() => true), { temperature: 260 });
  await subscribing.stop();

  // With a token, and the description as the list of its place has it: it writes and invokes, too.
  const placed = await (await fetch(`${server.url}/api/things?path=under:hall&ticket=${ticket}`, { headers: bearer })).json();
  assert.deepEqual(placed.map((td) => td.id), ["urn:echotwin:hall", `urn:echotwin:${oven}`]);
  const td = placed[1];
  assert.deepEqual(td.links.map((link) => link.rel), ["feeds"]);
  const hall = await WoT.consume(placed[0]);
  assert.deepEqual(hall.getThingDescription().links.map((link) => link.rel), ["contains"]);
  const operator = await WoT.consume(td);
  assert.equal(await (await operator.readProperty("setpoint")).value(), 100);
  const wished = heard();
  const watching = await operator.observeProperty("setpoint", wished.listener);
  await operator.writeProperty("setpoint", 180);
  assert.deepEqual(asked.at(-1), ["properties", 180]);
  await wished.until((v) => v === 180);
  await watching.stop();
  assert.equal(await (await operator.readProperty("setpoint")).value(), 180);
  await assert.rejects(operator.writeProperty("setpoint", 999), /422|Unprocessable/);
  assert.deepEqual(asked.length, 1, "the device heard of no wrong value");

  const output = await operator.invokeAction("preheat", { minutes: 5 });
  assert.deepEqual((await output.value()).output, { ready: true });
  assert.deepEqual(asked.at(-1), ["preheat", { minutes: 5 }]);
  await assert.rejects(operator.invokeAction("preheat", { minutes: 13 }), /502|Bad Gateway/);

  // A ticket is for reading.
  const refused = await fetch(`${server.url}/api/things/${oven}/properties/setpoint?ticket=${ticket}`, { method: "PUT", body: "20", headers: { "Content-Type": "application/json" } });
  assert.ok([401, 403].includes(refused.status), `a ticket writes: ${refused.status}`);
});

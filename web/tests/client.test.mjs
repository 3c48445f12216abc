// The live client as others use it: the examples of docs/client.md are run as
// they stand there, with the file that the server serves.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { conveyor } from "./harness/device.mjs";
import { Script } from "./harness/script.mjs";
import { act } from "./harness/stage.mjs";

const docs = await readFile(new URL("../../docs/client.md", import.meta.url), "utf8");

/** The code below `<!-- run: name -->`. */
function example(name) {
  const found = new RegExp(`<!-- run: ${name} -->\n\`\`\`\\w+\n(.*?)^\`\`\`$`, "ms").exec(docs);
  assert.ok(found, `docs/client.md has an example to run as ${name}`);
  return found[1];
}

act("the script of the documentation runs: values, facts, a command", async (t) => {
  const script = await Script.start(t, example("node"), t.server);
  await script.says(/^live$/m);
  await script.says(/^plant\/line1\/conveyor-2 \d/m);
  await script.says(/^done \{/m);
  await script.says(/^cmd plant\/line1\/conveyor-2 accepted$/m);
  assert.equal(await script.stop(), null, "it ran until it was ended");
});

act("a script without a right to be there ends with the server's reason", async (t) => {
  const script = await Script.start(t, example("node"), t.server, "et_nobody");
  await script.ends();
  assert.match(script.output, /the connection ended: not_signed_in \(4500\)/);
});

/** Somebody else's site, which shows the page of the documentation and has tickets for it. */
async function site(t, api) {
  const html = example("page");
  const s = createServer(async (req, res) => {
    const { server } = s;
    if (req.url === "/ticket") {
      const res2 = await fetch(`${server.url}/api/tickets`, {
        method: "POST",
        headers: { "Content-Type": "application/json", Authorization: `Bearer ${s.token}` },
        body: JSON.stringify({ things: ["plant/line1/**"] }),
      });
      return res.end((await res2.json()).ticket);
    }
    if (req.url !== "/") return res.writeHead(204).end();
    res.writeHead(200, { "Content-Type": "text/html; charset=utf-8" });
    res.end(html.replaceAll("http://localhost:3000", server.url));
  });
  s.listen(0, "localhost");
  await once(s, "listening");
  t.onEnd(() => s.close());
  s.origin = `http://localhost:${s.address().port}`; // another site than 127.0.0.1, for cookies too
  s.server = await api(s.origin);
  s.token = await Script.token(s.server);
  return s;
}

act("the page of the documentation runs on another site, which ECHOTWIN_ORIGINS names", async (t) => {
  let device;
  const s = await site(t, async (origin) => {
    const quiet = await t.quietServer({ ECHOTWIN_ORIGINS: origin });
    device = quiet.device;
    return quiet.server;
  });
  await device.say({ speed: 60, temperature: 42.5 });
  const { page } = await t.window({ url: s.origin });
  await page.goto("/");
  const line = page.locator("#line");
  await line.filter({ hasText: `${conveyor} 60` }).waitFor();
  await device.say({ speed: 61 });
  await line.filter({ hasText: `${conveyor} 61` }).waitFor();
  assert.equal(await line.evaluate((e) => e.style.opacity), "1");
  t.expectComplaint(/WebSocket connection to/);
  await s.server.restart();
  await line.filter({ hasText: `${conveyor} 61` }).waitFor();
  const again = await t.device(s.server, conveyor);
  await again.say({ speed: 62 });
  await line.filter({ hasText: `${conveyor} 62` }).waitFor();
});

act("the same page gets nothing where ECHOTWIN_ORIGINS does not name it", async (t) => {
  const s = await site(t, async () => t.server);
  t.expectComplaint(/WebSocket connection to.*403/);
  const w = await t.window({ url: s.origin });
  const refused = w.page.waitForEvent("console", (m) => /403/.test(m.text()));
  await w.page.goto("/");
  await refused;
  assert.equal(await w.page.locator("#line").textContent(), "");
});

act("views come and go in a real page, and nothing of them stays", async (t) => {
  const { server, device } = await t.quietServer();
  await device.say({ speed: 60 });
  const w = await t.window({ url: server.url });
  await w.signIn();
  await bare(t, w);
  await w.page.evaluate(async (conveyor) => {
    const { connect } = await import("/public/echotwin.js");
    window.twin = connect();
    const view = window.twin.watch(conveyor);
    window.kept = [view];
    window.kind = Object.getPrototypeOf(view);
    await window.twin.whenLive();
    for (let i = 0; i < 300; i++) {
      const views = [`lab/t${i % 7}`, "plant/**", conveyor].map((path) => window.twin.watch(path, () => window.kept.length));
      if (i % 10 === 0) await new Promise((r) => setTimeout(r, 20));
      for (const v of views) v.close();
    }
  }, conveyor);
  await w.page.waitForFunction(() => window.twin.subscriptions === 1);
  const cdp = await w.context.newCDPSession(w.page);
  const { result: kind } = await cdp.send("Runtime.evaluate", { expression: "window.kind" });
  let alive;
  const one = async () => {
    const { objects } = await cdp.send("Runtime.queryObjects", { prototypeObjectId: kind.objectId, objectGroup: "count" }); // collects garbage first
    const { result } = await cdp.send("Runtime.callFunctionOn", { objectId: objects.objectId, functionDeclaration: "function () { return this.length }", returnByValue: true });
    await cdp.send("Runtime.releaseObjectGroup", { objectGroup: "count" });
    alive = result.value;
    return alive === 1;
  };
  await until(one, () => `one view is still alive, not ${alive}`);
  assert.deepEqual(await w.page.evaluate(() => [...window.twin.store.things.keys()]), [conveyor]);
  await until(async () => (await Script.metric(server, "echotwin_hub_subscriptions")) === 1, "the server has one subscription");
  await w.page.evaluate(() => window.twin.close());
  await until(async () => (await Script.metric(server, "echotwin_hub_subscriptions")) === 0, "the server has none");
});

/** A page of the server with nothing on it. */
async function bare(t, w) {
  t.expectComplaint(/favicon.ico/);
  await w.page.goto("/health");
}

async function until(holds, what) {
  for (const end = Date.now() + 30_000; !(await holds()); await new Promise((r) => setTimeout(r, 100))) {
    assert.ok(Date.now() < end, typeof what === "function" ? what() : what);
  }
}

act("a browser's own EventSource comes back where it was, as documented", async (t) => {
  const { server, device } = await t.quietServer();
  await device.say({ speed: 60 });
  const line = await t.line(server);
  const w = await t.window({ url: line.url });
  await w.signIn();
  await bare(t, w);
  const said = [];
  w.page.on("console", async (m) => said.push((await Promise.all(m.args().map((a) => a.jsonValue()))).slice(0, 2).join(" ")));
  await w.page.evaluate(`{${example("eventsource")}}`); // not taken for a function to call
  const hears = (re) => until(async () => said.some((s) => re.test(s)), `${re} is among ${said.join(", ")}`);
  await hears(/^snapshot \w+\.\d+/);
  await device.say({ speed: 61 });
  await hears(/^update \w+\.\d+/);
  line.kill();
  await device.say({ speed: 62 });
  said.length = 0;
  line.restore();
  await hears(/^resumed /);
  await hears(/^update \w+\.\d+/);
  assert.ok(!said.some((s) => s.startsWith("snapshot")), "the server went on from Last-Event-ID");
  // An EventSource gives up at a 502, and a proxy says that while the server starts anew.
  t.expectComplaint(/502/);
  await line.badGateway();
  await device.say({ speed: 63 });
  said.length = 0;
  line.restore();
  await hears(/^resumed /);
  await hears(/^update \w+\.\d+/);
  assert.ok(!said.some((s) => s.startsWith("snapshot")), "the server went on from ?since=");
});

// The pages of things: found by words and state, opened by a link, live, and every part of the page of one.
import assert from "node:assert/strict";
import { phone } from "./harness/browser.mjs";
import { act } from "./harness/stage.mjs";
import { englishFinder, textsOfPage } from "./harness/words.mjs";

const row = (page, thing) => page.locator(`[data-thing="${thing}"]`);
const property = (page, name) => page.locator(`tr[data-property="${name}"]`);

async function open(t, path, options = {}) {
  const w = await t.window(options);
  await w.signIn();
  await w.page.goto(path);
  await w.page.locator(".link b").filter({ hasText: /^(Live|Trực tiếp)$/ }).waitFor();
  return w;
}

act("things are found, the address keeps what is looked for, and a row opens the page of its thing", async (t) => {
  const { page } = await open(t, "/app/things");
  await row(page, "plant/line1/conveyor-2").locator(".v").first().waitFor();
  const all = await page.locator("[data-thing]").count();
  assert.ok(all > 10, `${all} things`);

  // The tree is closed and opened by the keyboard.
  const line = page.getByRole("button", { name: /^Hide what is in line1$/ });
  await line.focus();
  await page.keyboard.press("Enter");
  await row(page, "plant/line1/conveyor-2").waitFor({ state: "detached" });
  await page.keyboard.press("Enter");
  await row(page, "plant/line1/conveyor-2").waitFor();

  await page.getByRole("searchbox", { name: "Find" }).fill("bang tai 2"); // as people type without accents
  await page.waitForFunction(() => document.querySelectorAll("[data-thing]").length < 4);
  await page.getByRole("button", { name: "List" }).click();
  await page.waitForFunction(() => location.search.includes("q=bang+tai+2") && location.search.includes("as=list"));
  await page.reload();
  await row(page, "plant/line1/conveyor-2").waitFor();
  assert.ok((await page.locator("[data-thing]").count()) < 4, "the address says what is looked for");

  await page.getByRole("searchbox", { name: "Find" }).fill("no such thing anywhere");
  await page.getByText("No thing matches.").waitFor();
  await page.getByRole("button", { name: "Clear the filters" }).click();
  await row(page, "plant/line1/tank").waitFor();

  await row(page, "plant/line1/conveyor-2").getByRole("link").click();
  await page.getByRole("heading", { level: 1, name: /CV-02/ }).waitFor();
  assert.equal(new URL(page.url()).pathname, "/app/things/plant/line1/conveyor-2");
  await page.goBack();
  await row(page, "plant/line1/tank").waitFor();
});

act("of two thousand things only those near the view are in the page, and none is asked for alone", async (t) => {
  const server = await t.ownServer({ ECHOTWIN_DEMO: "false" });
  const w = await t.window({ url: server.url });
  await w.signIn();
  const id = (n) => `lab/m${String(n).padStart(4, "0")}`;
  const say = async (value) => {
    for (let from = 0; from < 2000; from += 500) {
      const data = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [id(from + i), { x: value }]));
      const res = await w.context.request.post("/api/telemetry", { data });
      assert.ok(res.ok(), await res.text());
    }
  };
  await say(1);
  const asked = [];
  w.page.on("request", (r) => asked.push(new URL(r.url()).pathname));
  await w.page.goto("/app/things");
  await w.page.getByText("2 000 of 2 000").waitFor();
  await row(w.page, id(0)).getByText("1", { exact: true }).waitFor();
  const few = async () => assert.ok((await w.page.locator("[data-thing]").count()) < 150, "rows far from the view are in the page");
  await few();
  await say(2);
  await row(w.page, id(0)).getByText("2", { exact: true }).waitFor();
  assert.deepEqual(asked.filter((path) => path.startsWith("/api/things/lab")), []);

  // The row with the focus stays, so that the keys go on from where one is.
  const first = row(w.page, id(1)).getByRole("link");
  await first.focus();
  await w.page.keyboard.press("Tab");
  assert.equal(await row(w.page, id(2)).getByRole("link").evaluate((a) => a === document.activeElement), true);
  await w.page.locator(".things .scroll").evaluate((box) => box.scrollTo(0, box.scrollHeight));
  await row(w.page, id(1999)).getByText("2", { exact: true }).waitFor();
  assert.equal(await row(w.page, id(2)).getByRole("link").evaluate((a) => a === document.activeElement), true);
  await row(w.page, id(900)).waitFor({ state: "detached" });
  await few();
  assert.equal(await w.page.getByRole("listitem").filter({ has: row(w.page, id(1999)) }).getAttribute("aria-posinset"), "2001"); // lab stands above them

  // A search from there shows what it finds.
  await w.page.getByRole("searchbox", { name: "Find" }).fill("m0900");
  await row(w.page, id(900)).waitFor();
});

for (const { name, options, place } of [
  { name: "on a phone", options: { size: phone }, place: () => scrollY },
  { name: "in the list", options: {}, place: () => document.querySelector("main .scroll").scrollTop },
]) {
  act(`the page of a thing begins at its top, and Back leads to where one was ${name}`, async (t) => {
    const server = await t.ownServer({ ECHOTWIN_DEMO: "false" });
    const w = await t.window({ url: server.url, ...options });
    await w.signIn();
    const values = Object.fromEntries(Array.from({ length: 80 }, (_, p) => [`p${p}`, p]));
    const data = Object.fromEntries(Array.from({ length: 120 }, (_, i) => [`lab/m${i}`, values]));
    assert.ok((await w.context.request.post("/api/telemetry", { data })).ok());
    const { page } = w;
    await page.goto("/app/things?as=list");
    for (let round = 0; round < 2; round++) {
      // The second time the page is there at once.
      await row(page, "lab/m0").waitFor();
      await page.getByText("of 120").waitFor();
      await page.evaluate(() => [document.querySelector("main .scroll"), window].forEach((e) => e.scrollTo(0, 3000)));
      await page.waitForFunction(() => document.elementFromPoint(200, innerHeight / 2)?.closest("[data-thing]"));
      const there = await page.evaluate(() => document.elementFromPoint(200, innerHeight / 2).closest("[data-thing]").dataset.thing);
      const before = await page.evaluate(place);
      assert.ok(before > 1000, `it is at ${before}`);
      await row(page, there).getByRole("link").click();
      await property(page, "p10").waitFor();
      assert.equal(await page.evaluate(() => scrollY), 0);
      await page.goBack();
      await row(page, there).waitFor();
      for (let i = 0; i < 100 && Math.abs((await page.evaluate(place)) - before) > 40; i++) await page.waitForTimeout(50);
      assert.ok(Math.abs((await page.evaluate(place)) - before) <= 40, `from ${before} to ${await page.evaluate(place)}`);
      await page.evaluate(() => [document.querySelector("main .scroll"), window].forEach((e) => e.scrollTo(0, 0)));
    }
    const names = await (await row(page, "lab/m0").waitFor(), page.locator("[data-thing]").evaluateAll((all) => all.map((e) => e.dataset.thing)));
    assert.deepEqual(names.slice(0, 3), ["lab/m0", "lab/m1", "lab/m2"]);
  });
}

act("a device that goes offline and values that grow old are seen at one glance", async (t) => {
  const { server, device } = await t.quietServer();
  await device.say({ speed: 60, temperature: 41 });
  const { page } = await open(t, "/app/things", { url: server.url });
  await row(page, device.thing).getByText("60").waitFor();
  await device.client.publishAsync(`status/${device.thing}`, "offline", { qos: 1 });
  await row(page, device.thing).getByText("Offline").waitFor({ state: "attached" });
  await page.getByRole("button", { name: "Offline" }).click();
  await row(page, device.thing).waitFor();
  await device.client.publishAsync(`status/${device.thing}`, "online", { qos: 1 });
  await page.getByText("No thing matches.").waitFor();
});

act("the page of a thing shows its values as they come, and how far each can be trusted", async (t) => {
  const { server, device } = await t.quietServer();
  await device.say({ speed: 60, temperature: 41 });
  const { page } = await open(t, `/app/things/${device.thing}`, { url: server.url });
  const temperature = property(page, "temperature");
  await temperature.getByText("41.0").waitFor();
  await temperature.getByText("Good").waitFor();
  await property(page, "running").getByText("No reading").waitFor();
  await device.say({ temperature: 88.25 });
  await temperature.getByText("88.3").waitFor();
  await temperature.getByRole("img", { name: "Priority 2" }).waitFor();
  await device.say({ temperature: 500 });
  await temperature.getByText("Out of range").waitFor();
  await device.say({ temperature: "hot" });
  await temperature.getByText("Wrong type").waitFor();
  await page.getByRole("region", { name: "Events" }).getByText(/ is not what the description says, a number/).waitFor();

  // What a script gets, held and gone on with.
  const stream = page.getByRole("region", { name: "Live stream" });
  await stream.getByRole("button", { name: "Open the stream" }).click();
  await stream.getByText('"type":"snapshot"').waitFor();
  await stream.getByRole("button", { name: "Pause" }).click();
  await device.say({ speed: 61.5 });
  await stream.getByText(/1 more since/).waitFor();
  assert.equal(await stream.getByText('"speed":61.5').count(), 0, "it stands still");
  await stream.getByRole("button", { name: "Go on" }).click();
  await stream.getByText('"speed":61.5').waitFor();
  await stream.getByRole("button", { name: "Close the stream" }).click();
  await stream.getByRole("button", { name: "Open the stream" }).waitFor();

  const td = page.getByRole("region", { name: "Description" });
  await td.locator("summary").click();
  await td.getByText('"echotwin:tag": "CV-02"').waitFor();
  const [file] = await Promise.all([page.waitForEvent("download"), td.getByRole("link", { name: "Download" }).click()]);
  assert.equal(file.suggestedFilename(), "plant-line1-conveyor-2.td.json");
});

act("the page of a thing sends a command after a review, and says when there is no such thing", async (t) => {
  const { server, device } = await t.quietServer();
  await device.obey(() => ({ ok: true }));
  await device.say({ speed: 60 });
  const { page } = await open(t, `/app/things/${device.thing}`, { url: server.url });
  await page.getByRole("spinbutton", { name: "SPEED" }).fill("80");
  await page.getByRole("button", { name: "Review and send" }).click();
  await page.getByRole("button", { name: /^Confirm/ }).click();
  await page.getByRole("list", { name: "Command state" }).getByText("Acknowledged").waitFor();
  await page.goto("/app/things/no/such-thing");
  await page.getByText("There is no thing no/such-thing, or you may not see it.").waitFor();
  t.expectComplaint(/404/);
});

const looks = [
  { name: "desk", options: {} },
  { name: "phone in Vietnamese", options: { size: phone, lang: "vi" } },
  { name: "dark phone", options: { size: phone, theme: "dark" } },
];
for (const path of ["/app/things", "/app/things/plant/line1/conveyor-2"]) {
  for (const { name, options } of looks) {
    act(`axe finds nothing on ${path}: ${name}`, async (t) => {
      const w = await open(t, path, options);
      await w.page.locator("[data-thing] .v, tr[data-property] .value").first().waitFor();
      assert.deepEqual(await w.axe(), []);
      const [wide, screen] = await w.page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert.ok(wide <= screen, `the page is ${wide} px wide on a screen of ${screen}`);
      if (options.lang === "vi") {
        const english = await englishFinder();
        // A button of the trends is called CSV in both languages.
        assert.deepEqual(english((await w.page.evaluate(textsOfPage)).filter((text) => text !== "CSV")), []);
      }
    });
  }
}

act("a property is written from the page of its thing, and is desired until it is reported", async (t) => {
  const td = { id: "urn:echotwin:lab/oven", title: "Oven", "@context": "https://www.w3.org/2022/wot/td/v1.1", securityDefinitions: { none: { scheme: "nosec" } }, security: ["none"], properties: { setpoint: { type: "number", unit: "Cel", minimum: 20, maximum: 250 } } };
  const server = await t.ownServer({ ECHOTWIN_DEMO: "false" }, [td]);
  const device = await t.device(server, "lab/oven");
  device.client.on("message", (topic) => device.client.publishAsync(`result/${topic.split("/").at(-1)}`, '{"ok":true}', { qos: 1 }));
  await device.client.subscribeAsync("command/lab/oven/#", { qos: 1 });
  await device.say({ setpoint: 100 });
  const { page } = await open(t, "/app/things/lab/oven", { url: server.url });
  const setpoint = property(page, "setpoint");
  await setpoint.getByText("100").waitFor();
  await setpoint.getByText("°C").waitFor();
  await setpoint.getByRole("button", { name: "Write setpoint" }).click();
  await page.getByRole("spinbutton", { name: "New value" }).fill("180");
  await page.keyboard.press("Enter");
  await page.getByText("The device has taken it.").waitFor();
  await setpoint.getByText("→ 180").waitFor();
  await setpoint.getByText("100").waitFor(); // what is wanted is not what is
  await device.say({ setpoint: 180 });
  await setpoint.getByText("→ 180").waitFor({ state: "detached" });
  await setpoint.getByText("180").waitFor();
});

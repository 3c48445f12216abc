// The alarms on the screen: raised by real readings, acknowledged, shelved, lost and found again, many at once, and of the past.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { openAlarms as open, pump, pumpTD, row, rows, say, standing } from "./harness/alarms.mjs";
import { phone } from "./harness/browser.mjs";
import { conveyor, conveyorTD } from "./harness/device.mjs";
import { act } from "./harness/stage.mjs";
import { englishFinder, textsOfPage } from "./harness/words.mjs";

const plant = (t, ...things) => t.ownServer({ ECHOTWIN_DEMO: "false" }, things.length ? things : [pumpTD()]);

const { "echotwin:high": _, ...temperature } = conveyorTD.properties.temperature;
const conveyorInAlarm = { ...conveyorTD, properties: { ...conveyorTD.properties, temperature: { ...temperature, "echotwin:alarms": { high: 50, priority: 1 } } } };

act("an alarm comes with a reading, is acknowledged with a comment, goes with its cause, and has a history", async (t) => {
  const server = await plant(t);
  const device = await t.device(server, pump);
  await device.say({ pressure: 5, running: true });
  const w = await open(t, server);
  const { page } = w;
  await page.getByText("No active alarms.").waitFor();
  await device.say({ pressure: 9 });
  const high = row(page, "Pressure high");
  await high.getByText("9.0 bar, limit 8.0 bar").waitFor();
  await high.getByText("not acknowledged").waitFor();
  await high.getByRole("img", { name: "Priority 2" }).waitFor();
  await page.getByRole("link", { name: /^Priority 2 1 ?, 1 not acknowledged$/ }).waitFor();
  await page.getByRole("link", { name: /^Alarms 1 not acknowledged$/ }).waitFor();

  await high.getByRole("button", { name: "Pressure high", exact: true }).click();
  await high.getByText("Pressure is 9.0 bar, above the high limit of 8.0 bar.").waitFor();
  await high.getByLabel("Comment").fill("valve checked");
  await high.getByRole("button", { name: "Acknowledge P-09, Pressure high" }).click();
  await high.getByText("acknowledged by admin: valve checked").waitFor();
  assert.equal(await high.getByLabel("Comment").count(), 0, "it is acknowledged already");
  assert.deepEqual(await w.axe(), []);
  await device.say({ pressure: 7 });
  await page.getByText("No active alarms.").waitFor();

  // One that is over before anybody looked stays until somebody has.
  await device.client.publishAsync(`event/${pump}/jam`, '{"belt":2}', { qos: 1 });
  const jam = row(page, "Jam");
  await jam.getByText("belt 2").waitFor();
  await jam.getByRole("button", { name: "Ack P-09, Jam" }).click();
  await jam.waitFor({ state: "detached" });

  await page.getByRole("button", { name: "History" }).click();
  const steps = page.locator(".alarms tbody tr");
  await steps.filter({ hasText: "Pressure high" }).filter({ hasText: "valve checked" }).filter({ hasText: "admin" }).waitFor();
  await steps.nth(4).waitFor();
  assert.deepEqual(await steps.evaluateAll((all) => all.map((r) => r.cells[1].textContent)), ["Acknowledged", "Raised", "Over", "Acknowledged", "Raised"]);
  await device.say({ pressure: 9 });
  await steps.nth(5).waitFor(); // it comes while one looks
  assert.deepEqual(await w.axe(), []);

  // A link shows the same, also what only some want, and the table has it too.
  await page.locator(".filter").getByRole("button", { name: /critical/ }).click();
  await page.waitForFunction(() => document.querySelectorAll(".alarms tbody tr").length === 2);
  await page.reload();
  await page.waitForFunction(() => document.querySelectorAll(".alarms tbody tr").length === 2);
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "CSV" }).click()]);
  const table = await readFile(await file.path(), "utf8");
  assert.match(table, /^ts,step,thing,/);
  assert.equal(table.trim().split("\n").length, 3, table);
});

act("an alarm is shelved with a time and a reason, and taken back, by the keyboard alone", async (t) => {
  const server = await plant(t);
  const w = await open(t, server);
  const { page } = w;
  await say(w, pump, { pressure: 11, temperature: 80, running: true });
  await rows(page).nth(2).waitFor();
  assert.deepEqual(await page.locator("[data-alarm] .open").allTextContents(), ["Pressure very high", "Pressure high", "Temperature high"]);
  const temperature = row(page, "Temperature high");
  await temperature.getByRole("button", { name: "Shelve P-09, Temperature high" }).focus();
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.activeElement?.id.endsWith("-r"));
  await page.keyboard.press("Enter");
  await page.getByText("A reason is needed.").waitFor();
  await page.keyboard.type("sensor is replaced");
  await page.keyboard.press("Enter");
  await temperature.waitFor({ state: "detached" });
  const [alarm] = await standing(w, "?state=shelved");
  assert.equal(alarm.shelved.reason, "sensor is replaced");
  assert.equal(Math.round((Date.parse(alarm.shelved.until) - Date.parse(alarm.shelved.at)) / 60_000), 30);

  await page.getByRole("button", { name: "Shelved 1" }).focus();
  await page.keyboard.press("Enter");
  await temperature.getByText(/until .*, admin: sensor is replaced/).waitFor();
  assert.deepEqual(await w.axe(), []);
  await temperature.getByRole("button", { name: "Unshelve P-09, Temperature high" }).focus();
  await page.keyboard.press("Enter");
  await page.getByText("No alarm is shelved or suppressed.").waitFor();

  // What is to be expected is no work for anybody, but can be looked at.
  await say(w, pump, { running: false });
  await say(w, pump, { flow: 1 });
  await page.getByRole("heading", { name: /Suppressed 1/ }).waitFor();
  await row(page, "Flow low").waitFor();
  await page.getByRole("button", { name: "Active 3" }).click();
  await rows(page).nth(2).waitFor();
  assert.equal(await rows(page).count(), 3);
});

act("some are chosen and acknowledged together, with one comment", async (t) => {
  const server = await plant(t);
  const w = await open(t, server);
  const { page } = w;
  await say(w, pump, { pressure: 11, temperature: 80, running: true });
  await rows(page).nth(2).waitFor();
  const many = page.locator(".bar").getByRole("button", { name: /^Acknowledge/ });
  assert.ok(await many.isDisabled());
  await page.getByLabel("All shown").check();
  await page.getByLabel("Select P-09, Temperature high").uncheck();
  await page.locator(".bar").getByLabel("Comment").fill("on my way");
  await page.locator(".bar").getByRole("button", { name: "Acknowledge 2" }).click();
  await row(page, "Pressure high").getByText("acknowledged by admin: on my way").waitFor();
  await row(page, "Pressure very high").getByText("acknowledged by admin: on my way").waitFor();
  assert.deepEqual(await page.locator("[data-alarm] .open").allTextContents(), ["Temperature high", "Pressure very high", "Pressure high"]);
  assert.deepEqual((await standing(w, "?state=unacked")).map((a) => a.property), ["temperature"]);
});

act("without a connection the list says that it may be old, and after it everything is as the server has it", async (t) => {
  const server = await plant(t);
  const line = await t.line(server);
  const w = await open(t, { url: line.url });
  const { page } = w;
  const other = await t.window({ url: server.url });
  await other.signIn();
  await say(other, pump, { pressure: 11, running: true });
  await rows(page).nth(1).waitFor();
  line.kill();
  await page.getByText(/This list is from .* and may be old\./).waitFor();
  assert.ok(await row(page, "Pressure high").getByRole("button", { name: "Ack P-09, Pressure high" }).isDisabled());
  await page.getByText("Without a connection nothing can be acknowledged or shelved.").waitFor();
  assert.deepEqual(await w.axe(), []);
  // Meanwhile one goes, one comes, one is acknowledged.
  await say(other, pump, { pressure: 9.2, temperature: 90 });
  const [high] = (await standing(other)).filter((a) => a.rule === "high" && a.property === "pressure");
  assert.ok((await other.context.request.post(`/api/alarms/${high.id}/ack`, { data: { comment: "seen" } })).ok());
  for (const a of (await standing(other)).filter((a) => a.rule === "highHigh")) await other.context.request.post(`/api/alarms/${a.id}/ack`);
  await line.restore();
  await row(page, "Pressure high").getByText("acknowledged by admin: seen").waitFor();
  await row(page, "Temperature high").waitFor();
  await row(page, "Pressure very high").waitFor({ state: "detached" });
  await page.getByText(/may be old/).waitFor({ state: "detached" });
  assert.equal(await rows(page).count(), (await standing(other)).length);
});

act("who may not acknowledge is told why, and sees nothing of things that are hidden", async (t) => {
  const server = await plant(t, pumpTD(), pumpTD("office/pump-1", "O-01"));
  const admin = await t.window({ url: server.url });
  await admin.signIn();
  const guest = { username: "guest", password: "a long enough one" };
  assert.ok((await admin.context.request.post("/api/users", { data: { ...guest, role: "viewer", things: ["plant/**"] } })).ok());
  const w = await t.window({ url: server.url });
  assert.ok((await w.context.request.post("/api/login", { data: guest })).ok());
  const { page } = w;
  await page.goto("/app/alarms");
  await page.getByText("No active alarms.").waitFor();
  await say(admin, "office/pump-1", { pressure: 11, running: true });
  await say(admin, pump, { pressure: 9, running: true });
  await row(page, "Pressure high").waitFor();
  assert.deepEqual(await page.locator("[data-alarm] .th").allTextContents(), ["P-09"]);
  await page.getByRole("link", { name: /^Priority 1 0$/ }).waitFor();
  const ack = page.getByRole("button", { name: "Ack P-09, Pressure high" });
  assert.ok(await ack.isDisabled());
  assert.equal(await ack.getAttribute("title"), "Needs the role Operator; yours is Viewer.");
  assert.ok(await page.getByRole("button", { name: "Shelve P-09, Pressure high" }).isDisabled());
  await page.locator(".bar").getByText("Needs the role Operator; yours is Viewer.").waitFor();
});

act("a hundred alarms at once are read by thing, and few are drawn", async (t) => {
  const things = Array.from({ length: 60 }, (_, i) => pumpTD(`plant/line1/p-${i}`, `P-${100 + i}`));
  const server = await plant(t, ...things);
  const w = await open(t, server);
  const { page } = w;
  const body = Object.fromEntries(things.map((_, i) => [`plant/line1/p-${i}`, { pressure: 11, temperature: 80, running: true }]));
  const res = await w.context.request.post("/api/telemetry", { data: body });
  assert.equal(res.status(), 202, await res.text());
  await page.getByRole("button", { name: "Active 180" }).waitFor();
  assert.equal(await page.locator(".group").count(), 40);
  assert.equal(await rows(page).count(), 0);
  await page.getByText("and 20 more things").waitFor();
  assert.deepEqual(await w.axe(), []);
  await page.getByRole("button", { name: "Show 20 more" }).click();
  assert.equal(await page.locator(".group").count(), 60);
  await page.locator(".group button").first().click();
  assert.equal(await rows(page).count(), 3);
  await page.locator(".group input").nth(1).check();
  await page.getByRole("button", { name: "Acknowledge 3" }).click();
  await page.locator(".group").filter({ hasText: "all acknowledged" }).waitFor();
  await page.getByLabel("Group by thing").uncheck();
  assert.equal(await rows(page).count(), 80);
  await page.getByText("and 100 more").waitFor();
});

act("a rule by the API says what its author wrote, and the history why its alarm cleared when the rule went", async (t) => {
  const server = await plant(t);
  const w = await open(t, server);
  const { page } = w;
  const rule = { thing: pump, property: "flow", high: 40, priority: 1, message: "Throttle {thing}: {value} {unit}" };
  const put = await w.context.request.put("/api/alarms/rules/too-much", { data: rule });
  assert.ok(put.ok(), await put.text());
  await say(w, pump, { flow: 55, running: true });
  await rows(page).first().waitFor();
  assert.match(await page.locator("[data-alarm] .open").textContent(), /^Throttle .*: 55/);
  await page.locator("[data-alarm] .open").click();
  await page.getByText("high flow (too-much)").waitFor();
  assert.equal(await page.locator(".says").count(), 0, "its author has said it already");
  assert.ok((await w.context.request.delete("/api/alarms/rules/too-much")).ok());
  await rows(page).first().getByText(/over since/).waitFor();
  await page.getByRole("button", { name: "History" }).click();
  const cleared = page.locator(".alarms tbody tr").filter({ hasText: "Over" });
  await cleared.filter({ hasText: "its rule was removed" }).waitFor();
  assert.deepEqual(await w.axe(), []);
  await page.getByRole("button", { name: "VI", exact: true }).click();
  await page.locator(".alarms tbody tr").filter({ hasText: "quy tắc của nó đã bị xóa" }).waitFor();
  // What the server says by itself is said in the language of who reads it.
  await say(w, pump, { pressure: 9 });
  await page.locator(".alarms .seg").first().getByRole("button", { name: /^Đang có/ }).click();
  await row(page, "Áp suất cao").locator(".open").click();
  await page.getByText("Áp suất là 9,0 bar, trên ngưỡng cao 8,0 bar.").waitFor();
});

act("in a replay the alarms are those of then, and nothing can be done about them", async (t) => {
  const server = await plant(t);
  const w = await open(t, server);
  const { page } = w;
  await say(w, pump, { pressure: 9, running: true });
  await row(page, "Pressure high").waitFor();
  const then = Date.now();
  await page.waitForTimeout(1500);
  const [high] = await standing(w);
  assert.ok((await w.context.request.post(`/api/alarms/${high.id}/ack`, { data: { comment: "done" } })).ok());
  await say(w, pump, { pressure: 5, temperature: 90 });
  await row(page, "Pressure high").waitFor({ state: "detached" });
  await row(page, "Temperature high").waitFor();
  await page.waitForTimeout(1500);
  await page.goto(`/app/alarms?at=${new Date(then + 700).toISOString()}`);
  await page.getByText("As of the moment of the replay").waitFor();
  await row(page, "Pressure high").getByText("not acknowledged").waitFor();
  assert.equal(await rows(page).count(), 1);
  assert.ok(await page.getByRole("button", { name: "Ack P-09, Pressure high" }).isDisabled());
  await page.getByText("This is the past. Alarms are acknowledged and shelved in the present.").waitFor();
  await page.getByRole("button", { name: "History" }).click();
  await page.locator(".alarms tbody tr").first().waitFor();
  assert.equal(await page.locator(".alarms tbody tr").count(), 1, "what came later is not told");
  await page.getByRole("button", { name: "Back to live" }).click();
  await page.getByRole("button", { name: "Active" }).click();
  await row(page, "Temperature high").waitFor();
  await row(page, "Pressure high").waitFor({ state: "detached" });
});

for (const { name, options } of [
  { name: "dark desk", options: { theme: "dark" } },
  { name: "dark phone in Vietnamese", options: { size: phone, theme: "dark", lang: "vi" } },
]) {
  act(`the page of the alarms is whole: ${name}`, async (t) => {
    const server = await plant(t);
    const w = await open(t, server, options);
    const { page } = w;
    await say(w, pump, { pressure: 11, temperature: 80, running: true });
    await rows(page).nth(2).waitFor();
    const whole = async (what) => {
      assert.deepEqual(await w.axe(), [], what);
      const [wide, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert.ok(wide <= screen, `${what}: the page is ${wide} px wide on a screen of ${screen}`);
      const english = await englishFinder();
      if (options.lang === "vi") assert.deepEqual(english((await page.evaluate(textsOfPage)).filter((text) => text !== "CSV")), [], what);
    };
    await rows(page).first().locator(".open").click();
    await whole("details");
    await page.locator("dl + p .shelve").click();
    await whole("shelving");
    await page.locator(".more input").fill("cảm biến");
    await page.locator(".more button[type=submit]").click();
    await page.locator(".alarms .seg button").nth(1).click();
    await rows(page).first().waitFor();
    await whole("shelved");
    await page.locator(".alarms .seg button").nth(2).click();
    await page.locator(".alarms .scroll").waitFor();
    await whole("history");
  });
}

act("the overview shows the most urgent alarms, and every tile, faceplate, thing and page that there are some", async (t) => {
  const server = await plant(t, conveyorInAlarm, pumpTD());
  const w = await t.window({ url: server.url });
  await w.signIn();
  const { page } = w;
  await say(w, conveyor, { speed: 60, temperature: 40, running: true });
  await page.goto("/app");
  const panel = page.locator("section.alarms");
  await panel.getByText("No active alarms.").waitFor();
  const tile = page.locator(".kpi").filter({ hasText: "CV-02" });
  assert.equal(await tile.getByRole("img").count(), 0);
  await say(w, conveyor, { temperature: 60 }); // its description knows no limit for the screen, only one for the alarm
  await row(page, "Bearing temperature high").waitFor();
  await tile.getByRole("img", { name: "Priority 1" }).waitFor();
  const face = page.locator(".face");
  await face.getByRole("link", { name: /Alarms 1/ }).waitFor();
  await face.locator("dt").filter({ hasText: "Bearing temperature" }).getByRole("img", { name: "Priority 1" }).waitFor();
  await page.getByRole("link", { name: /^Priority 1 1 ?, 1 not acknowledged$/ }).waitFor();
  assert.deepEqual(await w.axe(), []);

  // The oldest of ten are on the page only, and one click acknowledges what is read here.
  for (const values of [{ pressure: 11 }, { temperature: 80 }, { running: true }]) await say(w, pump, values);
  await rows(page).nth(3).waitFor();
  await panel.getByRole("button", { name: "Ack shown" }).click();
  await panel.getByText("acknowledged by admin").nth(3).waitFor();
  await page.locator(".activity li").filter({ hasText: "admin acknowledged P-09, Temperature high" }).waitFor();
  await page.getByRole("link", { name: /^Priority 1 2$/ }).waitFor();

  await face.getByRole("link", { name: /Alarms 1/ }).click();
  await page.waitForURL(/\/app\/alarms\?thing=plant\/line1\/conveyor-2/);
  await row(page, "Bearing temperature high").waitFor();
  assert.equal(await rows(page).count(), 1, "only those of the thing");
  await page.getByRole("link", { name: "Things", exact: true }).click();
  const line = page.locator(`[data-thing="${conveyor}"]`);
  await line.getByRole("img", { name: "Priority 1" }).first().waitFor();
  await page.getByRole("button", { name: "Abnormal" }).click();
  await line.getByRole("link").click();
  await page.getByRole("link", { name: /Alarms 1/ }).waitFor();
  await page.locator('tr[data-property="temperature"]').getByRole("img", { name: "Priority 1" }).waitFor();
  // What is over and acknowledged is nowhere.
  await say(w, conveyor, { temperature: 40 });
  await page.getByRole("link", { name: /Alarms 1/ }).waitFor({ state: "detached" });
  await page.getByRole("link", { name: "Overview", exact: true }).click();
  await tile.locator("output").filter({ hasText: "40.0" }).waitFor();
  assert.equal(await tile.getByRole("img").count(), 0);
});

// Trends: history and live as one line, moved by mouse and keyboard, compared, saved, and kept in the address.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { phone } from "./harness/browser.mjs";
import { conveyor } from "./harness/device.mjs";
import { act } from "./harness/stage.mjs";
import { Trends, day, lab, labTD, penOf, send } from "./harness/trends.mjs";
import { englishFinder, textsOfPage } from "./harness/words.mjs";

const hour = 3_600_000;
// Columns of the statistics.
const [cursor, min, max, mean, last, count, before, difference] = [1, 2, 3, 4, 5, 6, 7, 8];

/** A History page over a day of readings. */
async function history(t, query, options = {}) {
  const server = await t.ownServer({ ECHOTWIN_DEMO: "false" }, [labTD]);
  const now = Date.now();
  await send(server, lab, day(now));
  const w = await t.window({ url: server.url, ...options });
  await w.signIn();
  await w.page.goto(`/app/history?${query}`);
  const view = new Trends(w);
  if (query.includes("pen=")) await view.drawn();
  return { server, view, page: w.page, now };
}

act("a range is chosen, drawn around, panned and given back, and the address says each", async (t) => {
  const { view, page } = await history(t, `${penOf("level")}&range=24h`);
  await view.cell(0, max, "70.0");
  await view.drag(0.25, 0.5);
  const zoomed = await view.span((s) => s !== null);
  const length = zoomed.to - zoomed.from;
  assert.ok(Math.abs(length - 6 * hour) < hour / 2, `${length / hour} hours were drawn around`);
  await view.cell(0, count, /^[67]\d\d$/); // 120 an hour
  await view.drag(0.2, 0.7, { shift: true });
  const panned = await view.span((s) => s.to < zoomed.to);
  assert.ok(Math.abs(zoomed.from - panned.from - length / 2) < length / 10);
  await view.hover(0.5);
  await page.mouse.wheel(0, 240);
  const wider = await view.span((s) => s.to - s.from > length * 1.2);
  assert.ok(wider.from < panned.from && wider.to > panned.to);
  const { x, y } = await view.point(0.5);
  await page.mouse.dblclick(x, y);
  await view.span((s) => s === null);
  await page.getByRole("button", { name: "1 h", exact: true }).click();
  await page.waitForURL(/range=1h/);
  await view.cell(0, max, "70.0");
  await view.cell(0, min, /^(69|70)\.0$/);

  const menu = await view.menu();
  await menu.getByLabel("From").fill("2026-01-01T00:00:00");
  await menu.getByLabel("To").fill("2025-01-01T00:00:00");
  await menu.getByRole("button", { name: "Show this range" }).click();
  await menu.getByRole("alert").filter({ hasText: "must end after it begins" }).waitFor();
  await menu.getByRole("button", { name: "1 y", exact: true }).click();
  await page.waitForURL(/range=1y/);
  await view.cell(0, min, /^4[45]\.0$/);
});

act("the keyboard does what the mouse does", async (t) => {
  const { view, page } = await history(t, `${penOf("level")}&range=24h`);
  await view.panes.first().focus();
  await page.keyboard.press("Home");
  await view.cell(0, cursor, /^4[67]\.\d/);
  await page.keyboard.press("ArrowRight");
  await page.locator(".pane [aria-live]").filter({ hasText: /TK-7 level 4[67]\.\d/ }).waitFor({ state: "attached" });
  await page.keyboard.press("+");
  const near = await view.span((s) => s !== null);
  assert.ok(Math.abs(near.to - near.from - 12 * hour) < 60_000);
  await page.keyboard.press("Shift+ArrowRight");
  await view.span((s) => s.from > near.from + 2 * hour);
  await page.keyboard.press("0");
  await view.span((s) => s === null);
});

act("a gap is a gap, and states have their names", async (t) => {
  const { view, page } = await history(t, `${penOf("level")}&${penOf("heater")}&${penOf("mode")}&range=8h`);
  await view.cell(2, last, "auto");
  await view.cell(1, mean, /Yes \d\d %/);
  await view.hover(1 - 3.5 / 8); // nobody heard of it for this hour
  await view.cell(0, cursor, "No data");
  await view.cell(1, cursor, "No data");
  await view.hover(1 - 2.5 / 8);
  await view.cell(0, cursor, "68.0");
  await view.cell(1, cursor, "Yes");
  await view.cell(2, cursor, "auto");
  assert.equal(await view.panes.count(), 2, "numbers by their unit, and states");
  await page.getByRole("region", { name: "Statistics" }).waitFor();
});

act("compared with an earlier time, both are said", async (t) => {
  const { view, page } = await history(t, `${penOf("level")}&range=1h`);
  const menu = await view.menu();
  await menu.getByLabel("Compare with").selectOption("day");
  await page.waitForURL(/compare=day/);
  await page.keyboard.press("Escape");
  await view.cell(0, before, /^4[56]\.\d/); // 24 and 25 hours ago
  await view.cell(0, difference, /^\+2[34]\.\d/);
  await view.hover(0.3);
  await page.locator("h3 small").filter({ hasText: /^before 4[56]\.0/ }).waitFor();
  await page.reload();
  await view.cell(0, difference, /^\+2[34]\.\d/);
});

act("what is shown is saved as CSV and as a picture", async (t) => {
  const { view, now } = await history(t, `${penOf("level")}&${penOf("mode")}&range=1h`);
  const csv = await view.download("CSV");
  assert.match(csv.suggestedFilename(), /^echotwin-\d{8}T\d{6}\.csv$/);
  const [head, ...lines] = (await readFile(await csv.path(), "utf8")).trim().split("\n");
  assert.equal(head, "ts,thing,property,value");
  const levels = lines.filter((l) => l.includes(",level,"));
  assert.ok(levels.length > 100 && levels.length < 125, `${levels.length} readings in an hour`);
  assert.ok(levels.every((l) => /^\d{4}-\d\d-\d\dT[\d:.]+Z,lab\/tank-7,level,(69|70)$/.test(l)), levels[0]);
  assert.ok(Math.abs(Date.parse(levels[0].split(",")[0]) - (now - hour)) < 120_000);
  assert.ok(lines.some((l) => l.endsWith(",mode,auto")));

  const png = await readFile(await (await view.download("PNG")).path());
  assert.deepEqual([...png.subarray(0, 8)], [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const [width, height] = [png.readUInt32BE(16), png.readUInt32BE(20)];
  assert.ok(width > 600 && height > 300, `${width} x ${height}`);
});

act("the address is the view: a reload, a shared link and Back show the same", async (t) => {
  const { server, view, page } = await history(t, `${penOf("level")}&${penOf("heater")}&range=24h&compare=previous&axes=own`);
  await view.drag(0.5, 0.75);
  await view.span((s) => s !== null);
  await view.cell(0, count, /^\d{3}$/);
  const table = () => page.locator("table").innerText();
  await page.mouse.move(0, 0);
  await page.locator("td.under").first().filter({ hasText: /^$/ }).waitFor();
  const shown = await table();
  await page.reload();
  await view.drawn();
  await view.cell(0, count, /^\d{3}$/);
  await page.waitForFunction((shown) => document.querySelector("table")?.innerText === shown, shown);

  const other = await t.window({ url: server.url, lang: "en" });
  await other.signIn();
  await other.page.goto(page.url());
  await other.page.waitForFunction((shown) => document.querySelector("table")?.innerText === shown, shown);

  await page.getByRole("button", { name: "Remove TK-7 heater" }).click();
  await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 1);
  await page.getByRole("button", { name: "Mode", exact: false }).click();
  await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 2);
  assert.match(page.url(), /properties\/mode/);
  await page.goBack();
  await page.goBack();
  await page.waitForFunction((shown) => document.querySelector("table")?.innerText === shown, shown);
});

act("pens are found by words without their marks, and eight are enough", async (t) => {
  const { view, page } = await history(t, "", { lang: "vi" });
  await page.getByText("Chọn tín hiệu để xem lịch sử").waitFor();
  await page.getByRole("searchbox").fill("muc");
  await page.getByRole("button", { name: "Mức" }).click();
  await view.drawn();
  await page.getByRole("searchbox").fill("không có gì");
  await page.getByText("Không có tín hiệu nào khớp.").waitFor();
  await page.goto(`/app/history?${Array.from({ length: 9 }, (_, i) => `pen=lab/none-${i}/properties/x`).join("&")}&${penOf("level")}`);
  t.expectComplaint(/status of 404/);
  await page.getByText("Đã chọn 8/8").waitFor();
  await page.getByText("Lịch sử chưa có gì của tín hiệu này").first().waitFor();
  await page.getByRole("searchbox").fill("muc");
  assert.equal(await page.getByRole("button", { name: "Mức" }).isDisabled(), true);
});

act("what was measured while the line was cut is filled in, and live goes on from there", async (t) => {
  const { server, device } = await t.quietServer();
  const line = await t.line(server);
  const w = await t.window({ url: line.url });
  await w.signIn();
  await device.say({ temperature: 40 });
  await w.page.goto(`/app/history?pen=${conveyor}/properties/temperature&range=1m`);
  const view = new Trends(w);
  await view.drawn();
  await view.cell(0, max, "40.0");
  await device.say({ temperature: 41 });
  await view.cell(0, max, "41.0");
  line.kill();
  await w.page.getByRole("alert").filter({ hasText: "Connection lost" }).waitFor();
  await device.say({ temperature: 73 }); // nobody sees it
  await device.say({ temperature: 30 });
  await device.say({ temperature: 42 });
  line.restore();
  await w.page.getByRole("alert").filter({ hasText: "Connection lost" }).waitFor({ state: "detached" });
  await view.cell(0, max, "73.0");
  await view.cell(0, min, "30.0");
  await view.cell(0, count, /^5$/);
  await device.say({ temperature: 43 });
  await view.cell(0, last, "43.0");
  await view.cell(0, count, /^6$/); // none twice
});

act("the overview's trends reach back before the page was opened, and open in History", async (t) => {
  const { server, device } = await t.quietServer();
  const now = Date.now();
  await send(server, conveyor, Array.from({ length: 100 }, (_, i) => ({ ts: now - (100 - i) * 3000, temperature: 50 + (i % 10) })));
  await device.say({ temperature: 55, speed: 60, running: true });
  const view = await t.overview({ url: server.url });
  const { page } = view;
  const trends = new Trends(view.window);
  const first = page.locator(".trends article").first();
  await first.locator("canvas").waitFor();
  await trends.hover(0.8);
  await first.locator("output.under").filter({ hasText: /5\d\.\d/ }).waitFor();
  const face = await view.face(/CV-02/);
  await face.getByRole("button", { name: "Bearing temperature" }).click();
  await face.locator(".pane canvas").waitFor();
  await first.getByRole("link").click();
  await page.waitForURL(/\/app\/history\?pen=plant\/line1\/conveyor-2\/properties\/temperature/);
  await page.locator("tbody tr").filter({ hasText: "CV-02 bearing temperature" }).waitFor();
  await page.goBack();
  await page.locator(".trends article").first().waitFor();
});

act("a finger pans and two fingers zoom", async (t) => {
  const { view, page } = await history(t, `${penOf("level")}&range=8h`, { size: phone });
  const cdp = await view.window.context.newCDPSession(page);
  const { y } = await view.point(0.5);
  const touch = (type, ...xs) => cdp.send("Input.dispatchTouchEvent", { type, touchPoints: xs.map((x, id) => ({ x, y, id })) });
  await touch("touchStart", 150);
  for (let x = 160; x <= 250; x += 10) await touch("touchMove", x);
  await touch("touchEnd");
  const panned = await view.span((s) => s !== null);
  assert.ok(Math.abs(panned.to - panned.from - 8 * hour) < 1000);
  await touch("touchStart", 160, 220);
  for (let by = 6; by <= 60; by += 6) await touch("touchMove", 160 - by, 220 + by);
  await touch("touchEnd");
  const zoomed = await view.span((s) => s.to - s.from < 4 * hour);
  assert.ok(zoomed.from > panned.from && zoomed.to < panned.to);
  await page.getByRole("button", { name: "Follow live" }).tap();
  await view.span((s) => s === null);
});

act("when history is not there, the screen says what and why, and goes on by itself", async (t) => {
  const { server, device } = await t.quietServer();
  await device.say({ temperature: 40 });
  const w = await t.window({ url: server.url });
  await w.signIn();
  let refusing = true;
  await w.page.route("**/api/history?**", (route) =>
    refusing ? route.fulfill({ status: 503, headers: { "Retry-After": "1" }, json: { error: "history is opening", code: "unavailable" } }) : route.continue(),
  );
  t.expectComplaint(/status of 503/);
  await w.page.goto(`/app/history?pen=${conveyor}/properties/temperature`);
  await w.page.getByText("History is not ready: history is opening").waitFor();
  refusing = false;
  await new Trends(w).cell(0, count, /^1$/);
});

for (const { name: look, options } of [
  { name: "light", options: {} },
  { name: "dark", options: { theme: "dark" } },
  { name: "Vietnamese phone", options: { size: phone, lang: "vi" } },
]) {
  act(`axe finds nothing on the History page: ${look}`, async (t) => {
    const { view, page } = await history(t, "", options);
    assert.deepEqual(await view.window.axe(), [], "without pens");
    await page.goto(`/app/history?${["level", "heater", "mode"].map(penOf).join("&")}&range=24h&compare=day`);
    await view.drawn();
    assert.deepEqual(await view.window.axe(), [], "with pens");
    if (options.lang === "vi") {
      const english = await englishFinder([{ en: { a: "Level", b: "Heater", c: "Mode" }, vi: { a: "Mức", b: "Sưởi", c: "Chế độ" } }]);
      assert.deepEqual(english(await page.evaluate(textsOfPage)), []);
    }
    const [wide, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(wide <= screen, `the page is ${wide} px wide on a screen of ${screen}`);
    const menu = await view.menu();
    // It was placed before it had its content, and hung over the edge of a phone.
    await page.waitForFunction((w) => document.querySelector(":popover-open").getBoundingClientRect().right <= w, screen);
    const box = await menu.boundingBox();
    assert.ok(box.x >= 0 && box.x + box.width <= screen, JSON.stringify(box));
    assert.deepEqual(await view.window.axe(), [], "with the menu open");
  });
}

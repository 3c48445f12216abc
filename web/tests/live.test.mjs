// What the screen shows is what is true now, or it says that it is not.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { rm, statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { conveyor } from "./harness/device.mjs";
import { act } from "./harness/stage.mjs";

act("values change by themselves", async (t) => {
  const view = await t.overview();
  await view.changes(".kpi output", 2);
  await view.changes(".synoptic g[data-bind]", 4);
  await view.changes(".face dd", 2);
  await view.changes(".trends output", 2);
});

act("a reading of somebody else's MQTT client reaches the screen", async (t) => {
  const { server, device } = await t.quietServer();
  await device.say({ speed: 60, temperature: 42.5, running: true });
  const view = await t.overview({ url: server.url });
  await view.shows(conveyor, "temperature", "42.5");
  // There is no demo line, so nothing speaks of one.
  assert.equal(await view.page.locator(".crumb").innerText(), "Overview");
  await view.page.getByText("Read-only tools", { exact: true }).waitFor();
  await device.say({ temperature: 43.5 });
  await view.shows(conveyor, "temperature", "43.5");
  await view.shows(conveyor, "speed", "60"); // what was not said again stays
  const face = await view.face(/CV-02/);
  await face.getByText("Running").first().waitFor();
});

act("a device that nobody described appears with its first reading", async (t) => {
  const view = await t.overview();
  const device = await t.device(t.server, "lab/new-device");
  await device.say({ pressure: 12.25, note: "hello <b>there</b>" });
  const card = view.page.locator('[data-other="lab/new-device"]');
  await card.getByText("12.25").waitFor();
  await card.getByText("undescribed").waitFor();
  await card.getByText("hello <b>there</b>").waitFor(); // as text
  await device.say({ pressure: 13.5 });
  await card.getByText("13.5").waitFor();
  await card.click();
  const face = await view.face("lab/new-device");
  await face.getByText("13.5").waitFor();
});

for (const how of ["cut", "silence"]) {
  act(`a ${how} of the line: said, commands off, and back without a reload with the right values`, async (t) => {
    const { server, device } = await t.quietServer();
    await device.say({ speed: 60, temperature: 42.5, running: true });
    const line = await t.line(server);
    const view = await t.overview({ url: line.url });
    const { page } = view;
    await view.shows(conveyor, "temperature", "42.5");
    await page.evaluate(() => void (window.samePage = true));
    assert.equal(await view.review.isEnabled(), true);

    if (how === "cut") line.kill();
    else line.silence();
    await view.lost.waitFor({ timeout: 15_000 });
    await view.lost.getByText("Commands are disabled").waitFor();
    assert.equal(await view.review.isDisabled(), true);
    await page.locator(".app.off").waitFor();
    await view.shows(conveyor, "temperature", "42.5"); // still shown, as the last known

    await device.say({ temperature: 51.5 });
    line.restore();
    await view.lost.waitFor({ state: "detached" });
    await view.shows(conveyor, "temperature", "51.5");
    await view.live();
    assert.equal(await page.evaluate(() => window.samePage), true);
    await page.waitForFunction((b) => !b.disabled, await view.review.elementHandle());
    await device.say({ temperature: 52.5 });
    await view.shows(conveyor, "temperature", "52.5");
  });
}

act("a server that restarts brings its last values back, without a reload", async (t) => {
  const { server, device } = await t.quietServer();
  await device.say({ speed: 60, temperature: 42.5, running: true });
  const line = await t.line(server);
  const view = await t.overview({ url: line.url });
  await view.shows(conveyor, "temperature", "42.5");
  await view.page.evaluate(() => void (window.samePage = true));
  await server.restart();
  await view.shows(conveyor, "temperature", "42.5");
  await view.live();
  const again = await t.device(server, conveyor);
  await again.say({ temperature: 44.5 });
  await view.shows(conveyor, "temperature", "44.5");
  assert.equal(await view.page.evaluate(() => window.samePage), true);
});

act("a disk without room is said at once, values stay live, and room ends it by itself", async (t) => {
  const { bavail, bsize } = await statfs(tmpdir());
  const free = bavail * bsize;
  // The server wants seven eighths of what is free to stay so, and a quarter goes.
  const server = await t.ownServer({ ECHOTWIN_DISK_RESERVE: String(Math.floor((free * 7) / 8)) });
  const view = await t.overview({ url: server.url });
  const banner = view.page.locator(".banner", { hasText: "Nothing is stored" });
  assert.equal(await banner.count(), 0);
  const filler = join(server.dir, "filler");
  execFileSync("fallocate", ["-l", String(Math.floor(free / 4)), filler]);
  await banner.getByText("The server's disk is full.").waitFor();
  await view.changes(".kpi output", 2);
  await rm(filler);
  await banner.waitFor({ state: "detached" });
});

act("an address without a page says so and leads back", async (t) => {
  const view = await t.overview();
  await view.page.goto("/app/no-such-page");
  await view.page.getByRole("heading", { name: "No such page" }).waitFor();
  await view.page.getByText("There is no page at /app/no-such-page.").waitFor();
  await view.page.locator("main").getByRole("link", { name: "Overview" }).click();
  await view.page.locator(".kpi").first().waitFor();
});

// Replay: the whole screen at a past moment, marked as such, moved by mouse, keyboard and address, and back.
import assert from "node:assert/strict";
import { phone } from "./harness/browser.mjs";
import { conveyor, conveyorTD } from "./harness/device.mjs";
import { Overview } from "./harness/overview.mjs";
import { act } from "./harness/stage.mjs";
import { englishFinder, textsOfPage } from "./harness/words.mjs";

/** Speeds 10, 11, 12 … of the conveyor, one every five seconds, the first this many minutes ago; and the page. */
async function past(t, { query = "", path = "/app", ...options } = {}) {
  const server = await t.ownServer({ ECHOTWIN_DEMO: "false" }, [conveyorTD]);
  const begin = Math.floor(Date.now() / 1000) * 1000 - 30 * 60_000;
  const readings = Array.from({ length: 60 }, (_, i) => ({ ts: begin + i * 5000, speed: 10 + i, temperature: 40, running: true }));
  const w = await t.window({ url: server.url, ...options });
  await w.signIn();
  const send = async (body) => {
    const res = await w.context.request.post(`/api/telemetry/${conveyor}`, { data: body });
    assert.equal(res.status(), 202, await res.text());
  };
  await send(readings);
  await send({ speed: 99, temperature: 41, running: true });
  const at = (i) => begin + i * 5000 + 1000;
  for (;;) {
    const res = await w.context.request.get(`/api/things/${conveyor}/state?at=${at(59)}`);
    if (res.ok() && (await res.json()).properties.speed?.value === 69) break;
    await w.page.waitForTimeout(100);
  }
  const page = w.page;
  const view = new Overview(w);
  const bar = page.getByRole("region", { name: /^(Replay of the past|Xem lại quá khứ)$/ });
  const iso = (i) => new Date(at(i)).toISOString();
  await page.goto(path + query.replace("AT", () => iso(20)));
  return { server, w, page, view, bar, begin, at, iso, send };
}

act("a moment of the past is on the whole screen, marked, without commands, and the present comes back", async (t) => {
  const { page, view, bar, iso, w } = await past(t, { query: `?thing=${conveyor}&at=AT` });
  await view.shows(conveyor, "speed", "30");
  await bar.getByText("Past", { exact: true }).waitFor();
  await page.waitForFunction(() => /^Replay .* · /.test(document.title));
  await page.locator(".link b").filter({ hasText: "Replay" }).waitFor();
  assert.ok(await view.review.isDisabled(), "a command could be sent into the past");
  await page.getByText("This is the past. Commands are disabled until you go back to live.").waitFor();
  assert.deepEqual(await w.axe(), []);
  await w.screenshot("replay desktop");

  // Another moment by the address, and Back.
  await page.locator(".slide input[type=range]").first().waitFor();
  await bar.getByLabel("Jump to").fill(new Date(new Date(iso(40)).getTime() + 7 * 3_600_000).toISOString().slice(0, 19));
  await bar.getByRole("button", { name: "Go", exact: true }).click();
  await view.shows(conveyor, "speed", "50");
  await page.waitForURL(/at=/);

  await bar.getByRole("button", { name: "Back to live" }).click();
  await view.live();
  await view.shows(conveyor, "speed", "99");
  await bar.waitFor({ state: "detached" });
  assert.ok(!page.url().includes("at="), page.url());
  assert.ok(!(await page.title()).startsWith("Replay"));
  assert.ok(!(await view.review.isDisabled()), "commands stay off in the present");
});

act("it plays at the speed that is chosen, pauses, and the keyboard moves it", async (t) => {
  const { page, view, bar } = await past(t, { query: `?thing=${conveyor}&at=AT` });
  await view.shows(conveyor, "speed", "30");
  await bar.getByLabel("Speed").selectOption("10");
  await bar.getByRole("button", { name: "Play" }).click();
  await view.shows(conveyor, "speed", /3[4-9]|4\d/);
  await page.keyboard.press("k");
  await bar.getByRole("button", { name: "Play" }).waitFor();
  const stands = await view.box(conveyor, "speed").textContent();
  await page.waitForTimeout(1500);
  assert.equal(await view.box(conveyor, "speed").textContent(), stands, "it goes on though it is paused");
  for (let i = 0; i < 6; i++) await page.keyboard.press("j");
  await page.waitForFunction(
    ([selector, was]) => Number(/(\d+) *%/.exec(document.querySelector(selector)?.textContent ?? "")?.[1] ?? NaN) <= was - 11,
    [`.synoptic g[data-bind="${conveyor}#speed"]`, Number(/(\d+) *%/.exec(stands)[1])],
  );
  await page.waitForURL((url) => url.searchParams.has("at") && !url.searchParams.has("speed"));
});

act("before what is kept it says so, and leads to the first moment", async (t) => {
  const { view, bar } = await past(t, { query: `?thing=${conveyor}&at=2020-01-01T00:00:00Z` });
  await bar.getByRole("alert").filter({ hasText: "before what is kept" }).waitFor();
  await bar.getByRole("button", { name: "Go to the first moment" }).click();
  await view.shows(conveyor, "speed", "10");
});

act("a line that is cut goes on in the past, where it was", async (t) => {
  const { page, view, server } = await past(t, { query: `?thing=${conveyor}&at=AT` });
  await view.shows(conveyor, "speed", "30");
  t.expectComplaint(/WebSocket|ERR_|Failed to load/);
  await server.restart();
  await page.keyboard.press("l");
  await view.shows(conveyor, "speed", /3[12]/);
});

act("the history page follows the replay, in Vietnamese, on a phone", async (t) => {
  const { page, bar, w } = await past(t, { path: "/app/history", query: `?pen=${conveyor}/properties/speed&range=10m&at=AT`, lang: "vi", size: phone });
  await bar.waitFor();
  await page.waitForFunction(() => document.title.startsWith("Xem lại "));
  await bar.getByText("Quá khứ", { exact: true }).waitFor();
  await page.waitForTimeout(1000);
  const english = await englishFinder();
  const own = "running: Running"; // the device's own title, which it has in English only
  assert.deepEqual(english(await page.evaluate(textsOfPage)).filter((text) => text !== own), []);
  assert.deepEqual(await w.axe(), []);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(wide <= 1, `the page is ${wide} px wider than the phone`);
  await w.screenshot("replay phone");
});

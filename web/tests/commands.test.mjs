// The Commands page: who asked for what, and what came of it, live and with evidence.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { phone } from "./harness/browser.mjs";
import { act } from "./harness/stage.mjs";
import { conveyor } from "./harness/device.mjs";
import { englishFinder, textsOfPage } from "./harness/words.mjs";

const rows = (page) => page.locator(".commands tbody tr:not(.story), .commands li:has(.head)");

async function open(t, server, options = {}) {
  const w = await t.window({ url: server.url, ...options });
  await w.signIn();
  await w.page.goto(options.path ?? "/app/commands");
  await w.page.locator(".commands").waitFor();
  return w;
}

/** Sends by the API and returns the answer's body. */
async function ask(w, speed, query = "", headers = {}) {
  const res = await w.context.request.post(`/api/things/${conveyor}/actions/setSpeed${query}`, { data: { speed }, headers });
  return res.json();
}

act("commands appear as they are asked for, with their steps and evidence", async (t) => {
  const { server, device } = await t.quietServer();
  await device.say({ speed: 60, temperature: 42, running: true });
  let release = () => {};
  await device.obey(() => new Promise((resolve) => (release = () => resolve({ ok: false, error: "belt jammed" }))));
  const w = await open(t, server);
  const { page } = w;
  await page.getByText("No command was sent in this period.").waitFor();
  const sent = ask(w, 70, "?reason=less%20noise");
  await rows(page).first().getByText("sent, waiting for the device").waitFor();
  await rows(page).first().getByRole("button", { name: /SPEED 70 %/ }).click();
  const steps = page.getByRole("list", { name: "Steps of SPEED 70 %" });
  await steps.getByText("Sent to the device").waitFor();
  await steps.getByText("PUBACK").waitFor();
  release();
  await steps.getByText("Failed").waitFor();
  await steps.getByText(/the device answered \{"ok":false,"error":"belt jammed"\}/).waitFor();
  await page.locator(".story").getByText("less noise").first().waitFor();
  assert.equal((await sent).status, "failed");

  // A link shows the same, and what is chosen is in it.
  await page.getByRole("button", { name: "Problems" }).click();
  await rows(page).first().waitFor();
  await page.getByRole("button", { name: "Done" }).click();
  await page.getByText("No command matches.").waitFor();
  await page.goto(page.url().replace("state=done", "state=problems"));
  await steps.getByText("Failed").waitFor();
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "CSV" }).click()]);
  assert.match(await readFile(await file.path(), "utf8"), /^asked,thing,action[^\n]*\n[^\n]*,lab|^asked,thing,action[^\n]*\n[^\n]*conveyor-2,setSpeed/);
  assert.deepEqual(await w.axe(), []);
});

act("a command under way is cancelled from its row, and says that it may still run", async (t) => {
  const { server, device } = await t.quietServer();
  await device.say({ speed: 60, temperature: 42, running: true });
  await device.obey(() => undefined); // it never answers
  const w = await open(t, server);
  const { page } = w;
  await ask(w, 70, "?timeout=60", { Prefer: "respond-async" });
  await rows(page).first().getByRole("button", { name: /SPEED 70 %/ }).click();
  await page.getByRole("button", { name: "Cancel command" }).click();
  await rows(page).first().getByText("cancelled").waitFor();
  await page.getByText(/the device had taken it and may run it/).first().waitFor();
  await page.getByRole("button", { name: "Cancel command" }).waitFor({ state: "detached" });

  // Two operators at once: the older one is replaced.
  await ask(w, 71, "?timeout=60", { Prefer: "respond-async" });
  await ask(w, 72, "?timeout=60", { Prefer: "respond-async" });
  await rows(page).nth(1).getByText("replaced by a newer command").waitFor();
  assert.equal(await rows(page).count(), 3);
});

act("the page is whole on a phone, in the dark, in Vietnamese", async (t) => {
  const { server, device } = await t.quietServer();
  await device.say({ speed: 60, temperature: 42, running: true });
  await device.obey(() => ({ ok: true }));
  const w = await open(t, server, { size: phone, theme: "dark", lang: "vi" });
  const { page } = w;
  await ask(w, 70);
  await ask(w, 71);
  await rows(page).nth(1).waitFor();
  await rows(page).first().getByRole("button", { name: /SPEED 71 %/ }).tap();
  await page.getByText("Thiết bị đã nhận").waitFor();
  const english = await englishFinder();
  assert.deepEqual(english(await page.evaluate(textsOfPage)), []);
  const [wide, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(wide <= screen, `the page is ${wide} px wide on a screen of ${screen}`);
  assert.deepEqual(await w.axe(), []);
});

// The administrators' page of connections, with a real script to look at and to close.
import assert from "node:assert/strict";
import { WebSocket } from "ws";
import { phone } from "./harness/browser.mjs";
import { Script } from "./harness/script.mjs";
import { act } from "./harness/stage.mjs";
import { englishFinder, textsOfPage } from "./harness/words.mjs";

const { connect } = await import("../dist/public/echotwin.js");

/** A script that follows part of the line. */
async function script(t) {
  class Named extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols, { headers: { "User-Agent": "line-report/2.1" } });
    }
  }
  const twin = connect(t.server.url, { token: await Script.token(t.server), WebSocket: Named });
  t.onEnd(() => twin.close());
  twin.watch({ path: "plant/line1/*", fields: ["speed"], rate: 1 });
  await twin.whenLive();
  return twin;
}

const rowOf = (page) => page.locator("tbody tr, .connections li").filter({ hasText: "line-report 2.1" });

async function open(t, options = {}, withScript = true) {
  const w = await t.window(options);
  await w.signIn();
  await w.page.goto("/app/connections");
  if (withScript) await rowOf(w.page).waitFor();
  return w;
}

act("an administrator sees who is connected, and closes one with a reason", async (t) => {
  const twin = await script(t);
  const { page } = await open(t);
  const row = rowOf(page);
  await row.getByText("admin").first().waitFor();
  await row.locator("summary").click();
  await row.getByText(/plant\/line1\/\*, at most 1 a second, \d+ things; only speed/).waitFor();
  await row.getByText(/\d+\.\d kB/).waitFor();
  await page.locator("tbody tr").filter({ hasText: "you" }).first().waitFor();

  const close = row.getByRole("button", { name: /^Close the connection of admin/ });
  await close.focus();
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog", { name: "Close this connection?" });
  await dialog.waitFor();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  await page.waitForFunction((b) => document.activeElement === b, await close.elementHandle());
  assert.equal(twin.link.phase, "live", "Escape keeps it");

  await page.keyboard.press("Enter");
  await dialog.getByLabel("Reason").fill("maintenance");
  await dialog.getByLabel("Do not let it come back by itself").check();
  await dialog.getByRole("button", { name: "Close" }).click();
  await page.getByText("The connection of admin was closed.").waitFor();
  await row.waitFor({ state: "detached" });
  assert.equal(twin.link.phase, "ended");
  assert.match(twin.link.message, /maintenance/);
});

act("what is closed without more comes back by itself", async (t) => {
  const twin = await script(t);
  const { page } = await open(t);
  await rowOf(page).getByRole("button", { name: /^Close/ }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Close" }).click();
  await page.getByText("The connection of admin was closed.").waitFor();
  assert.equal(twin.link.phase, "waiting");
  assert.ok(twin.link.retryAt > Date.now());
  twin.retryNow(); // the test need not wait as long as the server asks
  await twin.whenLive();
  await rowOf(page).waitFor();
});

act("more connections than fit on a page are on the next", async (t) => {
  const { page } = await open(t, {}, false);
  const token = await Script.token(t.server);
  const many = Array.from({ length: 205 }, () => new WebSocket(`${t.server.url.replace("http", "ws")}/ws`, { headers: { Authorization: `Bearer ${token}` } }));
  t.onEnd(() => many.forEach((one) => one.terminate()));
  await Promise.all(many.map((one) => new Promise((resolve, reject) => one.on("message", resolve).on("error", reject))));
  await page.getByText("1 to 200, there are more").waitFor();
  await page.getByRole("button", { name: "Newer ones" }).click();
  await page.getByText(/^201 to 20\d, the last$/).waitFor();
  assert.ok((await page.locator("tbody tr").count()) < 20);
  await page.getByRole("button", { name: "Earlier ones" }).click();
  await page.getByText("1 to 200, there are more").waitFor();
  many.forEach((one) => one.terminate());
  await page.getByText(/^\d+ connected$/).waitFor();
  assert.equal(await page.getByRole("button", { name: "Newer ones" }).count(), 0);
});

act("the page is for administrators, and others are not led to it", async (t) => {
  const made = await t.window();
  await made.signIn();
  const name = `viewer-${Math.random().toString(36).slice(2, 8)}`;
  const res = await made.context.request.post("/api/users", { data: { username: name, password: "a long enough one", role: "viewer" } });
  assert.ok(res.ok(), await res.text());
  await made.page.goto("/app");
  await made.page.getByRole("link", { name: "Admin" }).click();
  await made.page.getByRole("heading", { name: "Connections", level: 2 }).waitFor();
  assert.match(made.page.url(), /\/app\/connections$/);

  const w = await t.window();
  const login = await w.context.request.post("/api/login", { data: { username: name, password: "a long enough one" } });
  assert.ok(login.ok());
  await w.page.goto("/app/connections");
  await w.page.getByText("This page is for administrators.").waitFor();
  assert.equal(await w.page.getByRole("link", { name: "Admin" }).count(), 0);
  assert.equal((await w.context.request.get("/api/connections")).status(), 403);
});

act("a faceplate says how many watch its thing", async (t) => {
  const view = await t.overview();
  const watching = view.page.locator(".face").getByText(/^\d+ watching$/);
  await watching.waitFor();
  const before = parseInt(await watching.textContent(), 10);
  await script(t);
  await view.page.locator(".face").getByText(`${before + 1} watching`).waitFor();
});

const looks = [
  { name: "light", options: {} },
  { name: "dark", options: { theme: "dark" } },
  { name: "Vietnamese phone", options: { size: phone, lang: "vi" } },
  { name: "dark phone", options: { size: phone, theme: "dark" } },
];

for (const { name, options } of looks) {
  act(`axe finds nothing on the page of connections: ${name}`, async (t) => {
    await script(t);
    const w = await open(t, options);
    await rowOf(w.page).locator("summary").click();
    assert.deepEqual(await w.axe(), []);
    const [wide, screen] = await w.page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(wide <= screen, `the page is ${wide} px wide on a screen of ${screen}`);
    await rowOf(w.page).getByRole("button", { name: /^(Close|Đóng)/ }).click();
    await w.page.getByRole("dialog").waitFor();
    assert.deepEqual(await w.axe(), [], "asking");
    if (options.lang === "vi") {
      const english = await englishFinder();
      assert.deepEqual(english((await w.page.evaluate(textsOfPage)).filter((text) => text !== "admin")), []);
    }
  });
}

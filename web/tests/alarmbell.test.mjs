// Sound and notifications of alarms: off by default, asked for by a click, told from every page, and what the browser refuses is said.
import assert from "node:assert/strict";
import { openAlarms as open, pump, pumpTD, row, say, standing } from "./harness/alarms.mjs";
import { phone } from "./harness/browser.mjs";
import { act } from "./harness/stage.mjs";
import { englishFinder, textsOfPage } from "./harness/words.mjs";

/** Remembers what the page shows and plays. A real notification would be drawn by the desktop, which the test has not. */
function listen(permission) {
  window.shown = [];
  window.asked = 0;
  window.tones = 0;
  class Shown {
    static permission = permission;
    static async requestPermission() {
      window.asked++;
      return (Shown.permission = "granted");
    }
    constructor(title, options) {
      Object.assign(this, { title, ...options });
      window.shown.push(this);
    }
    close() {
      this.closed = true;
    }
  }
  window.Notification = Shown;
  const start = OscillatorNode.prototype.start;
  OscillatorNode.prototype.start = function (...args) {
    window.tones++;
    return start.apply(this, args);
  };
}

const settings = (page) => page.getByRole("dialog", { name: /^(Sound and notifications|Âm thanh và thông báo)/ });
const button = (page) => page.getByRole("button", { name: /^(Sound and notifications|Âm thanh và thông báo)/ });
const plant = (t, ...things) => t.ownServer({ ECHOTWIN_DEMO: "false" }, [pumpTD(), ...things]);

act("a critical alarm is heard again and again on every page until it is acknowledged, and notified once", async (t) => {
  const server = await plant(t);
  const w = await t.window({ url: server.url });
  await w.page.addInitScript(listen, "default");
  await w.signIn();
  const { page } = w;
  await page.goto("/app/alarms");
  await page.getByText("No active alarms.").waitFor();
  // Nothing is told unless somebody wants it.
  await say(w, pump, { pressure: 9, running: true });
  await row(page, "Pressure high").waitFor();
  await page.getByRole("status").filter({ hasText: "New alarm, high: P-09, Pressure high" }).waitFor({ state: "attached" });
  assert.deepEqual(await page.evaluate(() => [tones, shown.length, asked]), [0, 0, 0]);

  await button(page).click();
  await settings(page).getByLabel("Sound").check();
  await settings(page).getByLabel("Notifications").check();
  await page.waitForFunction(() => asked === 1);
  assert.deepEqual(await w.axe(), []);
  await page.keyboard.press("Escape");
  await settings(page).waitFor({ state: "hidden" });
  await page.getByText("Sound on", { exact: true }).waitFor();

  await page.getByRole("link", { name: "Things", exact: true }).click();
  await say(w, pump, { pressure: 11 });
  await page.waitForFunction(() => shown.length === 1);
  assert.deepEqual(await page.evaluate(() => [shown[0].title, shown[0].body]), ["P-09: Pressure very high", "critical, 11.0 bar, limit 10.0 bar"]);
  await page.waitForFunction(() => tones >= 9); // three at once, and twice again
  // A click on it leads to the alarm.
  await page.evaluate(() => shown[0].onclick());
  await row(page, "Pressure very high").getByRole("button", { name: /^Ack/ }).click();
  await row(page, "Pressure very high").getByText("acknowledged by admin").waitFor();
  await page.waitForFunction(() => shown[0].closed);
  const heard = await page.evaluate(() => tones);
  await page.waitForTimeout(6000);
  assert.equal(await page.evaluate(() => tones), heard, "it sounds though nothing critical waits");
  // Less urgent than chosen: it is on the list only.
  await say(w, pump, { temperature: 90 });
  await row(page, "Temperature high").waitFor();
  await page.getByRole("status").filter({ hasText: "New alarm, medium" }).waitFor({ state: "attached" });
  assert.deepEqual(await page.evaluate(() => [tones, shown.length]), [heard, 1]);
});

act("after a reload the choice is kept, and the page says that the browser wants a click before it lets sound out", async (t) => {
  const server = await plant(t);
  const w = await t.window({ url: server.url });
  await w.page.addInitScript(listen, "granted");
  await w.page.addInitScript(() => {
    localStorage.setItem("echotwin.alarms", '{"sound":true,"notify":false,"down":4}');
    // What a test looks up on a page counts as a touch of a person.
    Object.defineProperty(navigator, "userActivation", { value: { hasBeenActive: false } });
  });
  await w.signIn();
  const { page } = w;
  await page.goto("/app");
  const mute = page.getByText("The browser plays no sound until you click or press a key on this page.");
  await mute.waitFor();
  await page.locator(".empty, .synoptic").first().click();
  await mute.waitFor({ state: "detached" });
  await say(w, pump, { flow: 1, running: true });
  await page.waitForFunction(() => tones >= 1);
  assert.equal((await standing(w))[0].priority, 4);
});

act("what the browser refuses is said, in Vietnamese on a phone as well", async (t) => {
  const server = await plant(t);
  // The real one of a browser without a desktop: it is refused without a question.
  const w = await open(t, server, { size: phone, lang: "vi", theme: "dark" });
  const { page } = w;
  await button(page).tap();
  await settings(page).getByLabel("Thông báo").check();
  await settings(page).getByText("Trình duyệt đang từ chối. Hãy cho phép thông báo của trang này trong cài đặt.").waitFor();
  const english = await englishFinder();
  assert.deepEqual(english((await page.evaluate(textsOfPage)).filter((text) => text !== "CSV")), []);
  assert.deepEqual(await w.axe(), []);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(wide <= 0, `the page is ${wide} px wider than the phone`);
});

act("alarms of things that somebody may not see are not told to them", async (t) => {
  const server = await plant(t, pumpTD("office/pump-1", "O-01"));
  const admin = await t.window({ url: server.url });
  await admin.signIn();
  const guest = { username: "guest", password: "a long enough one" };
  assert.ok((await admin.context.request.post("/api/users", { data: { ...guest, role: "operator", things: ["plant/**"] } })).ok());
  const w = await t.window({ url: server.url });
  await w.page.addInitScript(listen, "granted");
  await w.page.addInitScript(() => localStorage.setItem("echotwin.alarms", '{"sound":false,"notify":true,"down":4}'));
  assert.ok((await w.context.request.post("/api/login", { data: guest })).ok());
  await w.page.goto("/app/alarms");
  await w.page.getByText("No active alarms.").waitFor();
  await say(admin, "office/pump-1", { pressure: 11, running: true });
  await say(admin, pump, { temperature: 90, running: true });
  await row(w.page, "Temperature high").waitFor();
  await w.page.waitForFunction(() => shown.length === 1);
  assert.deepEqual(await w.page.evaluate(() => shown.map((n) => n.title)), ["P-09: Temperature high"]);
});

act("the browser itself shows a notification of an alarm, and takes it away when the alarm is acknowledged", async (t) => {
  const server = await plant(t);
  const w = await t.window({ url: server.url });
  // As CDP's Browser.grantPermissions does, which nothing in a page can.
  await w.context.grantPermissions(["notifications"], { origin: server.url });
  // The browser's own one is made; that it was, and what becomes of it, is written down.
  await w.page.addInitScript(() => {
    window.made = [];
    const Real = window.Notification;
    window.Notification = class extends Real {
      constructor(title, options) {
        super(title, options);
        const one = { title: this.title, body: this.body, tag: this.tag, icon: this.icon, real: this instanceof Real, events: [] };
        for (const name of ["show", "close", "error"]) this.addEventListener(name, () => one.events.push(name));
        window.made.push(one);
      }
    };
  });
  await w.signIn();
  const { page } = w;
  await page.goto("/app/alarms");
  await page.getByText("No active alarms.").waitFor();
  assert.equal(await page.evaluate(() => Notification.permission), "granted");
  await button(page).click();
  await settings(page).getByLabel("Notifications").check();
  await page.keyboard.press("Escape");
  await say(w, pump, { pressure: 11, running: true });
  await page.waitForFunction(() => made.some((n) => n.events.includes("show")));
  const [alarm] = (await standing(w)).filter((a) => a.rule === "highHigh");
  const shown = await page.evaluate(() => made);
  for (const n of shown) assert.ok(n.real && !n.events.includes("error"), JSON.stringify(n));
  const one = shown.find((n) => n.tag === `echotwin-${alarm.id}` || n.tag === "echotwin-many");
  assert.match(one.title, /P-09: Pressure very high|2 new alarms/);
  assert.match(one.icon, /^http.*favicon\.svg$/);
  const icon = await w.context.request.get(one.icon);
  assert.equal(icon.headers()["content-type"].split(";")[0], "image/svg+xml");
  // One alarm by itself, and gone with its acknowledgement.
  await say(w, pump, { temperature: 60 });
  await page.evaluate(() => (made.length = 0));
  const put = await w.context.request.put("/api/alarms/rules/flow", { data: { thing: pump, property: "flow", high: 40, priority: 1 } });
  assert.ok(put.ok(), await put.text());
  await say(w, pump, { flow: 55 });
  await page.waitForFunction(() => made.length === 1 && made[0].events.includes("show"));
  assert.deepEqual(await page.evaluate(() => [made[0].title, made[0].body]), ["P-09: Flow high", "critical, 55 m³/h, limit 40 m³/h"]);
  await row(page, "Flow high").getByRole("button", { name: /^Ack/ }).click();
  await page.waitForFunction(() => made[0].events.includes("close"));
});

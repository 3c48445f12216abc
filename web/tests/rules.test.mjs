// The alarm rules on the screen: written, tried, followed by the alarms, changed by two at once, refused at their place.
import assert from "node:assert/strict";
import { openAlarms as open, pump, pumpTD, row, rows, say } from "./harness/alarms.mjs";
import { phone } from "./harness/browser.mjs";
import { act } from "./harness/stage.mjs";
import { englishFinder, textsOfPage } from "./harness/words.mjs";

const plant = (t) => t.ownServer({ ECHOTWIN_DEMO: "false" }, [pumpTD(), pumpTD("plant/line1/pump-10", "P-10")]);
const tab = (page, name) => page.locator(".alarms .seg").first().getByRole("button", { name: new RegExp(`^${name}`) }).click();
const ruleOf = (page, id) => page.locator(`[data-rule="${id}"]`);
const opened = (t, server, options = {}) => open(t, server, { path: "/app/alarms?tab=rules", ...options });
const put = async (w, id, rule) => {
  const res = await w.context.request.put(`/api/alarms/rules/${id}`, { data: rule });
  assert.ok(res.ok(), await res.text());
};

act("a rule is tried, written, raises an alarm, is eased until it clears, switched off and removed", async (t) => {
  const server = await plant(t);
  const w = await opened(t, server);
  const { page } = w;
  await page.getByText("No rules yet.").waitFor();
  await say(w, pump, { pressure: 5, flow: 30, running: true });
  await say(w, "plant/line1/pump-10", { pressure: 6, flow: 10, running: true });

  await page.getByRole("button", { name: "New rule" }).click();
  await page.waitForURL(/rule=new/);
  const form = page.getByRole("form", { name: "New rule" });
  await form.getByLabel("Id", { exact: true }).fill("strong-flow");
  await form.getByLabel("Thing or pattern").fill("plant/line1/*");
  await form.getByLabel("Property").fill("flow");
  const now = page.getByRole("region", { name: "Now" });
  await now.getByText("Once there is a thing").waitFor();
  await form.getByLabel("High", { exact: true }).fill("20");
  await now.getByText("Looks at 2, 1 of these beyond now.").waitFor();
  await now.getByRole("listitem").filter({ hasText: "P-09" }).getByText("30 m³/h").waitFor();
  await now.getByRole("listitem").filter({ hasText: "P-09" }).getByText("beyond: high").waitFor();
  await say(w, "plant/line1/pump-10", { flow: 25 }); // it goes on saying what is so now
  await now.getByText("Looks at 2, 2 of these beyond now.").waitFor();
  await say(w, "plant/line1/pump-10", { flow: 10 });
  await form.getByText("Delays and more").click();
  await form.getByLabel("Message").fill("Throttle {thing}");
  assert.deepEqual(await w.axe(), []);
  await form.getByRole("button", { name: "Save" }).click();
  await page.getByText("strong-flow is saved.").waitFor();
  const rule = ruleOf(page, "strong-flow");
  await rule.getByText("Flow of plant/line1/*").waitFor();
  await rule.getByText("high 20 m³/h").waitFor();
  await rule.getByText("1 alarm now").waitFor();
  await rule.getByText("looks at 2").waitFor();
  await rule.getByText(/^Last changeadmin, /).waitFor();
  assert.deepEqual(await w.axe(), []);
  await tab(page, "Active");
  await row(page, `Throttle ${pump}`).getByText("30 m³/h, limit 20 m³/h").waitFor();
  assert.equal(await rows(page).count(), 1);

  // A link leads to the rule, and an eased limit clears its alarm, with the reason.
  await page.goto("/app/alarms?tab=rules&rule=strong-flow");
  const again = page.getByRole("form", { name: "Rule strong-flow" });
  await again.getByLabel("High", { exact: true }).fill("40");
  await again.getByRole("button", { name: "Save" }).click();
  await page.waitForURL(/tab=rules$/);
  await rule.getByText("high 40 m³/h").waitFor();
  await rule.getByText("0 alarms now").waitFor();
  await tab(page, "Active");
  await rows(page).first().getByText(/over since/).waitFor();
  await rows(page).first().locator(".open").click();
  await page.getByText("its limit is 40 m³/h now").waitFor();

  await tab(page, "Rules");
  await rule.getByRole("button", { name: "Switch off the rule strong-flow" }).click();
  await rule.getByText("off", { exact: true }).waitFor();
  // The key is pressed again where it was: the button has the focus as soon as it can have it.
  await page.waitForFunction(() => document.activeElement?.getAttribute("aria-label") === "Switch on the rule strong-flow");
  await page.keyboard.press("Enter");
  await rule.getByRole("button", { name: "Switch off the rule strong-flow" }).waitFor();
  await rule.getByRole("button", { name: "Remove the rule strong-flow" }).click();
  const ask = page.getByRole("dialog", { name: "Remove the rule strong-flow?" });
  assert.deepEqual(await w.axe(), []);
  await ask.getByRole("button", { name: "Cancel" }).click();
  await rule.getByRole("button", { name: "Remove the rule strong-flow" }).click();
  await ask.getByRole("button", { name: "Remove" }).click();
  await page.getByText("strong-flow is removed.").waitFor();
  assert.equal(await rule.count(), 0);
  assert.deepEqual(await (await w.context.request.get("/api/alarms/rules")).json(), []);
});

act("an older list does not undo what one did", async (t) => {
  const server = await plant(t);
  const w = await opened(t, server, { first: (w) => put(w, "one", { thing: pump, property: "pressure", high: 6 }) });
  const { page } = w;
  await ruleOf(page, "one").waitFor();
  // The next list is read now and comes when it is let go.
  let letGo;
  const free = new Promise((resolve) => (letGo = resolve));
  await new Promise((held) =>
    page.route(
      /rules\?limit=1000$/,
      async (route) => {
        const response = await route.fetch();
        held();
        await free;
        await route.fulfill({ response });
      },
      { times: 1 },
    ),
  );
  await page.getByRole("button", { name: "Switch off the rule one" }).click();
  await ruleOf(page, "one").getByText("off", { exact: true }).waitFor();
  const came = page.waitForEvent("requestfinished", (r) => r.url().endsWith("rules?limit=1000"));
  letGo();
  await (await came).response().then((r) => r.body());
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  assert.equal(await ruleOf(page, "one").getByText("off", { exact: true }).count(), 1);
});

act("what is wrong with a rule is said at its field, and what an expression finds now beside it", async (t) => {
  t.expectComplaint(/status of (422|409)/);
  const server = await plant(t);
  const w = await opened(t, server);
  const { page } = w;
  await say(w, pump, { pressure: 5, running: true });
  await page.getByRole("button", { name: "New rule" }).click();
  const form = page.getByRole("form", { name: "New rule" });
  await form.getByRole("button", { name: "An expression" }).click();
  const promql = form.getByLabel("Expression, PromQL");
  await promql.fill("sum(");
  await page.getByRole("region", { name: "Now" }).getByText(/^Cannot be tried: .*parse error/).waitFor();
  await form.getByRole("button", { name: "Save" }).click();
  await page.getByRole("alert").getByText("/promql").waitFor();
  assert.equal(await promql.getAttribute("aria-invalid"), "true");
  assert.match(await promql.evaluate((e) => e.getAttribute("aria-describedby").split(" ").map((id) => document.getElementById(id).textContent).join()), /parse error/);
  assert.ok(await promql.evaluate((e) => e === document.activeElement), "it has the focus");
  assert.deepEqual(await w.axe(), []);

  await promql.fill('echotwin_value{property="pressure"} > 4');
  await page.getByRole("region", { name: "Now" }).getByText("Gives 1 now").waitFor();
  await page.getByRole("region", { name: "Now" }).getByRole("listitem").filter({ hasText: "P-09" }).getByText("Pressure").waitFor();
  await form.getByLabel("Asked every, seconds").fill("1");
  await form.getByRole("button", { name: "Save" }).click();
  await page.getByRole("alert").getByText("/every").waitFor();
  assert.equal(await form.getByLabel("Asked every, seconds").getAttribute("aria-invalid"), "true");
  assert.equal(await promql.getAttribute("aria-invalid"), null);
  await form.getByLabel("Asked every, seconds").fill("5");
  // A field that is folded away is shown when it is the wrong one.
  await form.getByText("Delays and more").click();
  await form.getByLabel("Not while").fill("running");
  await form.getByText("Delays and more").click();
  await form.getByRole("button", { name: "Save" }).click();
  await page.getByRole("alert").getByText("/suppress").waitFor();
  await form.getByLabel("Not while").waitFor();
  await form.getByLabel("Not while").fill("running=false");
  await form.getByLabel("Id", { exact: true }).fill("squeezed");
  await form.getByLabel("Title").fill("Squeezed");
  await form.getByRole("button", { name: "Save" }).click();
  await ruleOf(page, "squeezed").getByText("1 alarm now").waitFor({ timeout: 60_000 });
  await tab(page, "Active");
  await rows(page).first().waitFor();
  assert.match(await page.locator("[data-alarm] .open").textContent(), /^Squeezed/);

  await tab(page, "Rules");
  await page.getByRole("button", { name: "New rule" }).click();
  await form.getByLabel("Thing or pattern").fill(pump);
  await form.getByLabel("Property").fill("pressure");
  await form.getByLabel("High", { exact: true }).fill("5");
  await form.getByLabel("Low", { exact: true }).fill("6");
  await form.getByRole("button", { name: "Save" }).click();
  await page.getByRole("alert").getByText("/high").waitFor();
  assert.equal(await form.getByLabel("High", { exact: true }).getAttribute("aria-invalid"), "true");
  await form.getByLabel("Low", { exact: true }).fill("");
  await form.getByLabel("Id", { exact: true }).fill("squeezed");
  await form.getByRole("button", { name: "Save" }).click();
  await page.getByRole("alert").getByText("There is a rule with this id already.").waitFor();
  assert.equal(await form.getByLabel("Id", { exact: true }).getAttribute("aria-invalid"), "true");
});

act("two who write the same rule lose nothing unseen", async (t) => {
  t.expectComplaint(/status of (412|404)/);
  const server = await plant(t);
  const w = await opened(t, server, { first: (w) => put(w, "hot", { thing: pump, property: "temperature", high: 60, hysteresis: 1 }) });
  const { page } = w;
  const rule = ruleOf(page, "hot");
  await rule.getByRole("button", { name: "Edit the rule hot" }).click();
  const form = page.getByRole("form", { name: "Rule hot" });
  t.expectComplaint(/net::ERR_FAILED/);
  await page.route("**/api/alarms/rules?limit=*", (r) => r.abort()); // the list stands still: what follows is found out by saving
  await form.getByLabel("High", { exact: true }).fill("65");
  await put(w, "hot", { thing: pump, property: "temperature", high: 50, hysteresis: 1 });
  await form.getByRole("button", { name: "Save" }).click();
  await page.getByRole("alert").getByText("Somebody else has changed it since you began.").waitFor();
  await form.getByText("/high", { exact: true }).waitFor();
  assert.equal(await form.locator("code").filter({ hasText: "/hysteresis" }).count(), 0, "only what differs");
  assert.ok(await form.getByRole("button", { name: "Save", exact: true }).isDisabled());
  await form.getByRole("button", { name: "Take theirs" }).click();
  assert.equal(await form.getByLabel("High", { exact: true }).inputValue(), "50");
  await form.getByLabel("High", { exact: true }).fill("65");
  await put(w, "hot", { thing: pump, property: "temperature", high: 55, hysteresis: 1 });
  await form.getByRole("button", { name: "Save" }).click();
  await form.getByRole("button", { name: "Keep mine, then save over theirs" }).click();
  await page.unroute("**/api/alarms/rules?limit=*");
  await form.getByRole("button", { name: "Save" }).click();
  await rule.getByText("high 65 °C").waitFor();

  // What was changed since the list was read is neither removed nor switched off.
  await page.route("**/api/alarms/rules?limit=*", (r) => r.abort());
  await put(w, "hot", { thing: pump, property: "temperature", high: 70 });
  await rule.getByRole("button", { name: "Remove the rule hot" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
  await page.getByRole("dialog").getByText("It was changed since this list was read.").waitFor();
  await page.unroute("**/api/alarms/rules?limit=*");
  await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
  await rule.getByText("high 70 °C").waitFor();

  await rule.getByRole("button", { name: "Edit the rule hot" }).click();
  await form.getByLabel("High", { exact: true }).waitFor();
  assert.ok((await w.context.request.delete("/api/alarms/rules/hot")).ok());
  await form.getByRole("button", { name: "Save" }).click();
  await page.getByRole("alert").getByText("Somebody else has removed it since you began.").waitFor();
});

act("that somebody else has saved the rule is said while one still writes it", async (t) => {
  const server = await plant(t);
  const w = await opened(t, server);
  const { page } = w;
  await put(w, "hot", { thing: pump, property: "temperature", high: 60 });
  await ruleOf(page, "hot").getByRole("button", { name: "Edit the rule hot" }).click();
  const form = page.getByRole("form", { name: /^Rule / });
  const title = form.getByLabel("Title");
  await title.fill("Too hot");
  await put(w, "hot", { thing: pump, property: "temperature", high: 50 });
  await page.getByRole("alert").getByText("Somebody else has changed it since you began.").waitFor();
  await form.getByText("/high", { exact: true }).waitFor();
  assert.equal(await title.inputValue(), "Too hot", "nothing that was typed is lost");
  assert.ok(await title.evaluate((e) => e === document.activeElement), "one can go on where one was");
  assert.deepEqual(await w.axe(), []);
  await form.getByRole("button", { name: "Keep mine, then save over theirs" }).click();
  await form.getByRole("button", { name: "Save" }).click();
  await page.getByText("Too hot is saved.").waitFor();
  await ruleOf(page, "hot").getByText("high 60 °C").waitFor();
});

act("that somebody else has removed the rule is said while one still writes it, and nothing typed is lost", async (t) => {
  const server = await plant(t);
  const w = await opened(t, server);
  const { page } = w;
  t.expectComplaint(/404/); // it is read once more to be sure
  await put(w, "hot", { thing: pump, property: "temperature", high: 60 });
  await ruleOf(page, "hot").getByRole("button", { name: "Edit the rule hot" }).click();
  const form = page.getByRole("form", { name: /^Rule / });
  const title = form.getByLabel("Title");
  await title.fill("Too hot");
  assert.equal((await w.context.request.delete("/api/alarms/rules/hot")).status(), 204);
  await form.getByRole("alert").getByText("Somebody else has removed it since you began. Saving writes it anew.").waitFor();
  assert.equal(await title.inputValue(), "Too hot");
  assert.ok(await title.evaluate((e) => e === document.activeElement), "one can go on where one was");
  await form.getByRole("button", { name: "Save" }).click();
  await page.getByText("Too hot is saved.").waitFor();
  await ruleOf(page, "hot").getByText("high 60 °C").waitFor();
});

act("who may not write rules sees them with what descriptions say, and why", async (t) => {
  const server = await plant(t);
  const admin = await t.window({ url: server.url });
  await admin.signIn();
  await put(admin, "hot", { thing: "plant/line1/*", property: "temperature", high: 60 });
  const guest = { username: "guest", password: "a long enough one" };
  assert.ok((await admin.context.request.post("/api/users", { data: { ...guest, role: "viewer" } })).ok());
  const w = await t.window({ url: server.url });
  assert.ok((await w.context.request.post("/api/login", { data: guest })).ok());
  const { page } = w;
  await page.goto("/app/alarms?tab=rules&rule=hot"); // a link of somebody who may
  await ruleOf(page, "hot").waitFor();
  await page.locator(".bar").getByText("Needs the role Engineer; yours is Viewer.").waitFor();
  assert.equal(await page.getByRole("form", { name: "Rule hot" }).count(), 0);
  for (const name of ["New rule", "Edit the rule hot", "Switch off the rule hot", "Remove the rule hot"]) {
    const button = page.getByRole("button", { name });
    assert.ok(await button.isDisabled(), name);
    assert.equal(await button.getAttribute("title"), "Needs the role Engineer; yours is Viewer.");
  }
  const described = page.locator('[data-described="plant/line1/pump-9"]');
  await described.filter({ hasText: "Pressure" }).getByText("very high 10.0 bar, high 8.0 bar").waitFor();
  await described.filter({ hasText: "event Jam" }).waitFor();
  assert.deepEqual(await w.axe(), []);

  // Who may edits a limit of a description where it stands.
  await admin.page.goto("/app/alarms?tab=rules&thing=plant/line1/pump-9");
  await admin.page.locator("[data-described]").nth(3).waitFor();
  assert.equal(await admin.page.locator("[data-described]").count(), 4, "only those of the thing");
  await ruleOf(admin.page, "hot").waitFor(); // which is about it, too
  await admin.page.locator("[data-described]").filter({ hasText: "Pressure" }).getByRole("link").click();
  await admin.page.waitForURL(/\/app\/things\/plant\/line1\/pump-9\?show=edit/);
  await admin.page.getByRole("textbox", { name: "Description, JSON" }).waitFor();
});

for (const { name, options } of [
  { name: "dark desk", options: { theme: "dark" } },
  { name: "phone in Vietnamese", options: { size: phone, lang: "vi" } },
]) {
  act(`the tab of the rules is whole: ${name}`, async (t) => {
    const server = await plant(t);
    const first = async (w) => {
      await put(w, "warm", { thing: "plant/line1/*", property: "temperature", high: 60, low: false, rate: { max: 1, over: 10 }, stale: true, predict: 600 });
      await put(w, "asks", { promql: 'avg_over_time(echotwin_value{property="pressure"}[5m]) < 3', for: 120, enabled: false });
      await say(w, pump, { pressure: 5, temperature: 75, running: true });
    };
    const w = await opened(t, server, { first, ...options });
    const { page } = w;
    await ruleOf(page, "warm").waitFor();
    const whole = async (what) => {
      assert.deepEqual(await w.axe(), [], what);
      const [wide, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert.ok(wide <= screen, `${what}: the page is ${wide} px wide on a screen of ${screen}`);
      const english = await englishFinder();
      if (options.lang === "vi") assert.deepEqual(english((await page.evaluate(textsOfPage)).filter((text) => text !== "CSV")), [], what);
    };
    await whole("list");
    await ruleOf(page, "warm").getByRole("button").first().click();
    await page.locator("form .num").first().waitFor();
    await page.locator("form details summary").click();
    await whole("a limit");
    await page.goto("/app/alarms?tab=rules&rule=asks");
    await page.getByLabel(/^(Expression, PromQL|Biểu thức PromQL)/).waitFor();
    await whole("an expression");
    await ruleOf(page, "asks").getByRole("button").nth(2).click();
    await page.getByRole("dialog").waitFor();
    await whole("removing");
  });
}

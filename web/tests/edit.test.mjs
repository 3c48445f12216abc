// Writing descriptions: models, things made of them, mistakes at their place, and two who write at once.
import assert from "node:assert/strict";
import { act } from "./harness/stage.mjs";
import { englishFinder, textsOfPage } from "./harness/words.mjs";

const row = (page, thing) => page.locator(`[data-thing="${thing}"]`);

async function open(t, path, options = {}) {
  const w = await t.window(options);
  await w.signIn();
  await w.page.goto(path);
  await w.page.locator(".link b").filter({ hasText: /^(Live|Trực tiếp)$/ }).waitFor();
  return w;
}

act("an engineer writes a model, makes a thing of it, and others see it as it happens", async (t) => {
  t.expectComplaint(/422|412|409/);
  const { server } = await t.quietServer();
  const other = await open(t, "/app/things", { url: server.url });
  const { page } = await open(t, "/app/things", { url: server.url });

  await page.getByRole("button", { name: "Models", exact: true }).click();
  await page.getByRole("button", { name: "New model" }).click();
  const text = page.getByRole("textbox", { name: "Description, JSON" });
  await text.waitFor();
  const model = await text.inputValue();
  await text.fill(model.replace('"number"', '"nummer"').replace('"properties": {', '"properties": {"torque":{"type":"nimber"},'));
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("alert").getByText("/properties/speed/type").waitFor();
  assert.equal(await text.evaluate((a) => a.value.slice(a.selectionStart, a.selectionEnd)), '"nummer"', "the place is selected");
  await page.getByRole("listitem").filter({ hasText: "type is not one of" }).getByRole("button", { name: "/properties/torque/type" }).click();
  assert.equal(await text.evaluate((a) => a.value.slice(a.selectionStart, a.selectionEnd)), '"nimber"', "the other place is selected, when asked for");
  await text.fill(model.slice(0, -1));
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("alert").getByText(/^Not JSON/).waitFor();
  await text.fill(model);
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("region", { name: "Models" }).getByText("Pump {{NUMBER}}").waitFor();

  await page.getByRole("button", { name: "Add a thing" }).click();
  await page.getByLabel("Made of").selectOption("pump");
  await page.getByLabel("Id, a path").fill("lab/pump-7");
  await page.getByLabel("NUMBER").fill("7");
  assert.deepEqual(await t.windows.at(-1).axe(), []);
  await page.getByLabel("MAX").fill("fast");
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await page.getByRole("alert").getByText("/echotwin:values/MAX").waitFor();
  await page.getByLabel("MAX").fill("1450,5"); // as people type it
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await page.getByRole("heading", { level: 1, name: "Pump 7" }).waitFor();
  await row(other.page, "lab/pump-7").getByText("Pump 7").waitFor();

  // Somebody else writes meanwhile: nothing of theirs is written over unseen.
  await page.getByRole("button", { name: "Edit", exact: true }).click();
  const mine = page.getByRole("textbox", { name: "Description, JSON" });
  await page.waitForFunction(() => document.querySelector("textarea")?.value.includes("echotwin:model"));
  const given = JSON.parse(await mine.inputValue());
  const theirs = await other.page.request.patch(`${server.url}/api/things/lab/pump-7`, { data: { description: "by the door" }, headers: { Origin: server.url } });
  assert.equal(theirs.status(), 200);
  await mine.fill(JSON.stringify({ ...given, title: "Big pump" }));
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Somebody else has changed it since you began.").waitFor();
  await page.getByText("/description", { exact: true }).waitFor();
  assert.deepEqual(await t.windows.at(-1).axe(), []);
  await page.getByRole("button", { name: /^Keep mine/ }).click();
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("heading", { level: 1, name: "Big pump" }).waitFor();
  await row(other.page, "lab/pump-7").getByText("Big pump").waitFor();

  // A change of the model is one of its things; a model in use stays.
  const changed = await other.page.request.patch(`${server.url}/api/models/pump`, { data: { properties: { flow: { title: "Flow", type: "number" } } }, headers: { Origin: server.url } });
  assert.equal(changed.status(), 200);
  await page.locator('tr[data-property="flow"]').waitFor();
  await page.goto("/app/things?show=models");
  await page.getByRole("button", { name: "Remove pump" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
  await page.getByRole("dialog").getByText(/lab\/pump-7/).waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();

  await row(page, "lab/pump-7").getByRole("link").click();
  await page.getByRole("button", { name: "Remove", exact: true }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
  await page.waitForURL(/\/app\/things$/);
  await row(other.page, "lab/pump-7").waitFor({ state: "detached" });
});

act("a thing that nobody has described is described from what it sends", async (t) => {
  t.expectComplaint(/404/);
  const { server } = await t.quietServer();
  const device = await t.device(server, "lab/new");
  await device.say({ level: 3 });
  const { page } = await open(t, "/app/things/lab/new", { url: server.url });
  await page.getByRole("button", { name: "Edit", exact: true }).click();
  await page.waitForFunction(() => document.querySelector("textarea")?.value.includes('"level"'));
  const text = page.getByRole("textbox", { name: "Description, JSON" });
  await text.fill((await text.inputValue()).replace('"title": "new"', '"title": "Tank"'));
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("heading", { level: 1, name: "Tank" }).waitFor();
});

act("a viewer sees why they may not edit, in Vietnamese, too", async (t) => {
  const { server } = await t.quietServer();
  const admin = await open(t, "/app/things", { url: server.url });
  const added = await admin.page.request.post(`${server.url}/api/users`, { data: { username: "vi", password: "a long enough one", role: "viewer" }, headers: { Origin: server.url } });
  assert.equal(added.status(), 201);
  const w = await t.window({ url: server.url, lang: "vi" });
  const signed = await w.page.request.post(`${server.url}/api/login`, { data: { username: "vi", password: "a long enough one" }, headers: { Origin: server.url } });
  assert.equal(signed.status(), 200);
  await w.page.goto("/app/things?show=models");
  const button = w.page.getByRole("button", { name: "Thêm thiết bị" });
  await button.waitFor();
  assert.ok(await button.isDisabled());
  assert.match((await button.getAttribute("title")) ?? "", /\S/);
  await w.page.getByText("Chưa có model nào.").waitFor();
  const english = await englishFinder();
  assert.deepEqual(english((await w.page.evaluate(textsOfPage)).filter((text) => text !== "CSV")), []);
});

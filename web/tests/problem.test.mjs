// What the server finds wrong with a form or a command, in the reader's language.
import assert from "node:assert/strict";
import { openAlarms, pumpTD } from "./harness/alarms.mjs";
import { conveyor } from "./harness/device.mjs";
import { act } from "./harness/stage.mjs";

act("what is wrong with a form is said in Vietnamese, at its field, and in English where the reason is not known", async (t) => {
  t.expectComplaint(/status of 422/);
  const server = await t.ownServer({ ECHOTWIN_DEMO: "false" }, [pumpTD()]);
  const w = await openAlarms(t, server, { path: "/app/alarms?tab=rules&rule=new", lang: "vi" });
  const { page } = w;

  const rule = page.getByRole("form", { name: "Quy tắc mới" });
  await rule.getByLabel("Thiết bị hoặc mẫu").fill("plant/line1/*");
  await rule.getByLabel("Thuộc tính").fill("flow");
  const high = rule.getByLabel("Cao", { exact: true });
  await high.fill("5");
  await rule.getByLabel("Thấp", { exact: true }).fill("6.5");
  await rule.getByRole("button", { name: "Lưu" }).click();
  const said = "high 5 không lớn hơn low 6,5; thứ tự là lowLow, low, high, highHigh";
  await page.getByRole("alert").getByText(`Chưa lưu: ${said}`).waitFor();
  assert.equal(await high.evaluate((e) => e.getAttribute("aria-describedby").split(" ").map((id) => document.getElementById(id).textContent).join()), said);
  const answer = { error: "the moon is full", code: "invalid", at: "/high", reason: "moon_full", args: {} };
  await page.route("**/api/alarms/rules", (r) => r.fulfill({ status: 422, json: answer }));
  await rule.getByRole("button", { name: "Lưu" }).click();
  await page.getByRole("alert").getByText("Chưa lưu: the moon is full").waitFor();

  const made = await w.context.request.put("/api/things/lab/pump", { data: pumpTD("lab/pump") });
  assert.ok(made.ok(), await made.text());
  await page.goto("/app/things/lab/pump?show=edit");
  const text = page.getByRole("textbox", { name: "Mô tả, JSON" });
  await page.waitForFunction(() => document.querySelector("textarea")?.value.includes('"number"'));
  await text.fill((await text.inputValue()).replace('"number"', "5"));
  await page.getByRole("button", { name: "Lưu", exact: true }).click();
  await page.getByRole("alert").getByText("type không là một trong").waitFor();

  await page.goto("/app/accounts");
  const devices = page.getByRole("region", { name: "Thiết bị" });
  await devices.getByLabel("Tên").fill("bơm 9");
  await devices.getByLabel("Phạm vi thiết bị").fill("plant/**");
  await devices.getByRole("button", { name: "Thêm" }).click();
  await devices.getByRole("alert").getByText("Chưa làm được: tên người dùng có 1 đến 64 chữ cái không dấu").waitFor();

  await page.goto("/app/notify");
  await page.getByLabel("Địa chỉ máy chủ web").fill("https://ana:secret@hooks.example.com/a");
  await page.getByRole("button", { name: "Thêm" }).click();
  await page.getByRole("alert").getByText("Không làm được: /url: tên và mật khẩu trong địa chỉ sẽ hiện cho mọi người").waitFor();
});

act("what is wrong with a command is said in Vietnamese beside it and in the list of what happens", async (t) => {
  const { server, device } = await t.quietServer();
  await device.say({ speed: 60, temperature: 42, running: true });
  const view = await t.overview({ url: server.url, lang: "vi" });
  await view.face(/CV-02/);
  const { page, window } = view;
  const post = (speed) => window.context.request.post(`/api/things/${conveyor}/actions/setSpeed`, { data: { speed } });
  assert.equal((await post(250)).status(), 422);
  const said = "speed 250 cao hơn mức tối đa 100";
  await page.locator(".activity").getByText(said).waitFor();
  const beside = page.locator(".last .why span", { hasText: said });
  await beside.waitFor();
  assert.equal(await beside.getAttribute("lang"), "vi");

  await device.obey(async () => ({ ok: false, error: "belt jammed" }));
  assert.equal((await post(50)).status(), 502);
  const theirs = page.locator(".last .why span", { hasText: "belt jammed" });
  await theirs.waitFor();
  assert.equal(await theirs.getAttribute("lang"), "en", "what a device wrote is in no language of ours");
});

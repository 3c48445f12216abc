// What devices may send besides tidy numbers, and what is commanded to the last digit.
import assert from "node:assert/strict";
import { phone } from "./harness/browser.mjs";
import { conveyorTD } from "./harness/device.mjs";
import { act } from "./harness/stage.mjs";

const odd = "lab/hall/odd";
const oddTD = {
  ...conveyorTD,
  id: `urn:echotwin:${odd}`,
  title: "A wet ball mill on the second floor of the south-east hall for raw materials",
  titles: undefined,
  "echotwin:tag": undefined,
  properties: {
    small: { title: "Leak", type: "number", unit: "m3/s" },
    big: { title: "Count", type: "number" },
    text: { title: "Report", type: "string" },
    nested: { title: "Position", type: "object" },
  },
  actions: {
    calibrate: { title: "CALIBRATE" },
    open: { title: "OPEN", input: { type: "object", required: ["part"], properties: { part: { type: "number", minimum: 0, maximum: 1 } } } },
  },
};

const wide = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

act("tiny numbers, long texts and nested values stay readable, on a phone too", async (t) => {
  const server = await t.ownServer({ ECHOTWIN_DEMO: "false" }, [oddTD]);
  const device = await t.device(server, odd);
  const report = "The bearing was greased. ".repeat(200);
  await device.say({ small: 1.5e-9, big: 1.02e9, text: report, nested: { at: { x: 1.5, y: [2, 3] }, who: "Ẩn" } });
  const w = await t.window({ url: server.url });
  await w.signIn();
  const { page } = w;
  await page.goto(`/app/things/${odd}`);
  const row = (name) => page.locator(`tr[data-property="${name}"]`);
  await row("small").getByText("1.5×10⁻⁹", { exact: true }).waitFor();
  await row("nested").getByText("at (x 1.5, y (2, 3)), who Ẩn", { exact: true }).waitFor();
  assert.ok((await row("text").boundingBox()).height < 150, "a long text leaves room for the other values");
  await row("text").getByRole("button", { name: "Show all: Report" }).click();
  assert.ok((await row("text").locator(".value").textContent()).includes(report.trim()));
  await row("text").getByRole("button", { name: "Show less: Report" }).click();

  // What has members is written as what it is, not as "[object Object]".
  await row("nested").getByRole("button", { name: "Write Position" }).click();
  const box = page.getByRole("form", { name: "Write Position" }).getByRole("textbox");
  assert.deepEqual(JSON.parse(await box.inputValue()), { at: { x: 1.5, y: [2, 3] }, who: "Ẩn" });
  await box.fill('{"at":');
  assert.ok(await page.getByRole("form", { name: "Write Position" }).locator("[type=submit]").isDisabled());
  assert.deepEqual(await w.axe(), []);

  const small = await t.window({ url: server.url, size: phone });
  await small.signIn();
  await small.page.goto(`/app?thing=${odd}`);
  await small.page.locator(`[data-other="${odd}"]`).getByText("1.5×10⁻⁹").waitFor();
  assert.ok((await wide(small.page)) <= 0, "the overview is as wide as the screen");
  await small.page.goto("/docs/streams");
  assert.ok((await wide(small.page)) <= 0, "the page of the streams is as wide as the screen");
});

act("what is reviewed is what is sent, to the last digit", async (t) => {
  const server = await t.ownServer({ ECHOTWIN_DEMO: "false" }, [oddTD]);
  const device = await t.device(server, odd);
  const got = [];
  device.client.on("message", (_topic, payload) => got.push(JSON.parse(payload.toString())));
  await device.obey(() => ({ ok: true }));
  await device.say({ small: 1 });
  const w = await t.window({ url: server.url });
  await w.signIn();
  const { page } = w;
  await page.goto(`/app/things/${odd}`);
  const slider = page.getByRole("slider", { name: "OPEN" });
  await slider.focus();
  await page.keyboard.press("ArrowRight");
  assert.equal(await slider.inputValue(), "0.01", "a valve has more than shut and open");
  await page.getByRole("spinbutton", { name: "OPEN" }).fill("0.25");
  await page.locator("form.dial").getByRole("button", { name: "Review and send" }).click();
  await page.getByRole("button", { name: "Confirm OPEN 0.25" }).click();
  await page.locator(".last").getByText("0.25").first().waitFor();
  await page.locator(".last .steps li.ok").nth(2).waitFor();
  assert.deepEqual(got, [{ part: 0.25 }]);
  await page.goto("/app/commands");
  await page.getByText("OPEN 0.25").first().waitFor();
});

act("one long word of a device or a description makes no page wider than a phone", async (t) => {
  const word = "không-ngắt-được-".repeat(8).replaceAll("-", "");
  const td = { ...oddTD, title: word, properties: { small: { title: word, type: "number" } } };
  const server = await t.ownServer({ ECHOTWIN_DEMO: "false" }, [td]);
  const device = await t.device(server, odd);
  await device.obey(() => ({ ok: false, error: `E42 ${word}` }));
  await device.say({ small: 1 });
  const w = await t.window({ url: server.url, size: phone });
  await w.signIn();
  const { page } = w;
  await page.goto(`/app/things/${odd}`);
  await page.locator("form").filter({ has: page.getByText("CALIBRATE", { exact: true }) }).getByRole("button").click();
  await page.getByRole("button", { name: "Confirm CALIBRATE" }).click();
  await page.locator(".last").getByText(/E42/).waitFor();
  await page.locator(".last").getByText(/^Last: CALIBRATE by admin/).waitFor(); // and not "Last:  by"
  assert.ok((await wide(page)) <= 0, "the page of the thing");
  await page.getByRole("button", { name: "Edit", exact: true }).click();
  await page.getByRole("textbox", { name: "Description, JSON" }).waitFor();
  assert.ok((await wide(page)) <= 0, "its editor");
  await page.goto("/app");
  await page.locator(`[data-other="${odd}"]`).waitFor();
  assert.ok((await wide(page)) <= 0, "the overview");
});

act("hundreds of alarms in Vietnamese leave the buttons above them whole", async (t) => {
  const td = { ...oddTD, properties: { small: { type: "number", "echotwin:alarms": { high: 1 } } } };
  const things = Array.from({ length: 120 }, (_, i) => `lab/hall/m${i}`);
  const server = await t.ownServer({ ECHOTWIN_DEMO: "false" }, [things.map((id) => ({ ...td, id: `urn:echotwin:${id}` }))].flat());
  const w = await t.window({ url: server.url, lang: "vi" });
  await w.signIn();
  const res = await w.context.request.post("/api/telemetry", { data: Object.fromEntries(things.map((id) => [id, { small: 5 }])) });
  assert.equal(res.status(), 202);
  await w.page.goto("/app");
  await w.page.locator(".alarmed").getByText("120", { exact: true }).waitFor();
  const all = await w.page.locator(".alarmed").getByRole("link", { name: "Mọi cảnh báo" }).boundingBox();
  const card = await w.page.locator(".alarmed .card").first().boundingBox();
  assert.ok(all.x + all.width <= card.x + card.width, JSON.stringify([all, card]));
});

act("what a device said that was refused is told in words, with what the server sees of it by itself", async (t) => {
  const server = await t.ownServer({ ECHOTWIN_DEMO: "false" }, [oddTD]);
  const w = await t.window({ url: server.url, lang: "vi" });
  await w.signIn();
  await w.page.goto(`/app/things/${odd}`);
  await w.page.locator(".link b").filter({ hasText: "Trực tiếp" }).waitFor();
  const other = await t.window({ url: server.url, lang: "vi" });
  await other.signIn();
  await other.page.goto("/app");
  await other.page.locator(".link b").filter({ hasText: "Trực tiếp" }).waitFor();
  const device = await t.device(server, odd);
  await device.client.publishAsync(`status/${odd}`, "online", { qos: 1 });
  await device.client.publishAsync(`telemetry/${odd}`, "{half", { qos: 1 });
  await device.client.publishAsync(`status/${odd}`, "offline", { qos: 1 });
  const events = w.page.getByRole("list", { name: "Sự kiện" });
  await events.getByText("Dữ liệu bị từ chối").waitFor();
  await events.getByText("thiết bị báo").first().waitFor();
  await device.say({ small: "hot" });
  await events.getByText("Leak: hot không đúng với mô tả là số").waitFor();
  assert.doesNotMatch(await events.innerText(), /\b(code|reason|property|message|count) /);
  const activity = other.page.locator(".activity");
  await activity.getByText(/Dữ liệu bị từ chối: /).waitFor();
  await activity.getByText("Mất mạng").waitFor();
});

// The page of notifications: who outside is told of alarms.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { phone } from "./harness/browser.mjs";
import { act } from "./harness/stage.mjs";

/** Somebody's web server: it keeps what it gets and answers with `status`. */
async function receiver(t) {
  const r = { got: [], status: 204 };
  const server = createServer((req, res) => {
    let body = "";
    req.on("data", (b) => (body += b));
    req.on("end", () => {
      r.got.push({ headers: req.headers, body });
      res.writeHead(r.status).end();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.onEnd(() => new Promise((done) => (server.closeAllConnections(), server.close(done))));
  r.url = `http://127.0.0.1:${server.address().port}/alarms`;
  return r;
}

async function open(t, options = {}) {
  const w = await t.window(options);
  await w.signIn();
  await w.page.goto("/app/notify");
  await w.page.getByRole("heading", { name: /^(Alarm notifications|Ai được báo khi có cảnh báo)$/ }).waitFor();
  return w;
}

act("an administrator adds a webhook, tries it, changes it and removes it", async (t) => {
  const r = await receiver(t);
  const { page } = await open(t);
  const name = `shift-${Math.random().toString(36).slice(2, 8)}`;
  await page.getByRole("textbox", { name: "Name" }).fill(name);
  await page.getByLabel("Address of the web server").fill(r.url);
  await page.getByLabel("Things").fill("plant/line1/**");
  await page.locator("select[name=priority]").selectOption("2");
  await page.getByLabel("acknowledged").check();
  await page.getByRole("button", { name: "Add" }).click();
  const secret = await page.getByText(/^whsec_/).textContent();
  const row = page.getByRole("listitem").filter({ hasText: name });
  await row.getByText("priority 2 and more urgent").waitFor();
  await row.getByText("raised, cleared, acknowledged").waitFor();
  await page.getByRole("button", { name: "I have it" }).click();

  await row.getByRole("button", { name: `Send a test to ${name}` }).click();
  await page.getByText(`${name}: the test arrived (204).`).waitFor();
  const [{ headers, body }] = r.got;
  const mac = createHmac("sha256", Buffer.from(secret.slice(6), "base64")).update(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`);
  assert.equal(headers["webhook-signature"], `v1,${mac.digest("base64")}`);
  r.status = 500;
  await row.getByRole("button", { name: `Send a test to ${name}` }).click();
  await page.getByText(`${name}: the test did not arrive: 500 Internal Server Error`).waitFor();
  await row.getByRole("button", { name: `Deliveries of ${name}` }).click();
  const list = row.getByRole("group", { name: `Deliveries of ${name}` });
  await list.getByText("delivered", { exact: true }).waitFor();
  await list.getByText("failed", { exact: true }).waitFor();
  r.status = 204;
  await row.getByRole("button", { name: `Send a test to ${name}` }).click();
  await list.getByRole("listitem").nth(2).waitFor();

  await row.getByRole("button", { name: `Change ${name}` }).click();
  await page.getByRole("heading", { name: `Change ${name}` }).waitFor();
  assert.equal(await page.getByLabel("Address of the web server").inputValue(), r.url);
  await page.getByLabel("Switched on").uncheck();
  await page.getByLabel("Make a new secret").check();
  await page.getByLabel("Things").fill("a//b");
  t.expectComplaint(/422 \(Unprocessable/);
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText(/^That did not work: \/things\/0: "a\/\/b" is not a path/).waitFor();
  await page.getByLabel("Things").fill("");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText(`${name} was saved.`).waitFor();
  assert.notEqual(await page.getByText(/^whsec_/).textContent(), secret);
  await row.getByText("off", { exact: true }).waitFor();
  await row.getByText("every thing").waitFor();
  await page.getByText("Add a recipient").waitFor();

  await row.getByRole("button", { name: `Remove ${name}` }).click();
  await row.getByRole("button", { name: "Keep it" }).click();
  await row.getByRole("button", { name: `Remove ${name}` }).click();
  await row.getByRole("button", { name: "Remove", exact: true }).click();
  await row.waitFor({ state: "detached" });
});

act("an alarm on the line arrives, and the page says so", async (t) => {
  const r = await receiver(t);
  const { page, context } = await open(t);
  const thing = `bench/press-${Math.random().toString(36).slice(2, 8)}`;
  const td = {
    "@context": ["https://www.w3.org/2019/wot/td/v1", "https://www.w3.org/2022/wot/td/v1.1", { echotwin: "urn:echotwin:td#" }],
    id: `urn:echotwin:${thing}`, title: "Press", security: "s", securityDefinitions: { s: { scheme: "nosec" } },
    properties: { force: { type: "number", "echotwin:alarms": { high: 90 } } },
  };
  assert.ok((await context.request.post("/api/things", { data: td })).ok());
  const made = await context.request.post("/api/notify/channels", { data: { kind: "webhook", name: "Bench", url: r.url, things: [thing] } });
  assert.equal(made.status(), 201);
  const { id } = await made.json();
  await page.reload();
  assert.ok((await context.request.post(`/api/telemetry/${thing}`, { data: { force: 95 } })).ok());
  const row = page.getByRole("listitem").filter({ hasText: "Bench" });
  await row.getByRole("button", { name: "Deliveries of Bench" }).click();
  const list = row.getByRole("group", { name: "Deliveries of Bench" });
  for (let tries = 0; ; tries++) {
    assert.ok(tries < 600, "it does not come");
    await list.getByRole("button", { name: "Read again" }).click();
    if ((await list.getByText(`raised: ${thing}`).count()) > 0 && (await list.getByText("delivered", { exact: true }).count()) > 0) break;
    await page.waitForTimeout(100);
  }
  const body = JSON.parse(r.got[0].body);
  assert.deepEqual([body.type, body.step, body.thing, body.value], ["alarm", "raised", thing, 95]);
  for (const path of [`notify/channels/${id}`, `things/${thing}`]) assert.ok((await context.request.delete(`/api/${path}`)).ok());
});

act("without a mail server the page says what is missing", async (t) => {
  const { page } = await open(t);
  await page.locator("select[name=kind]").selectOption("email");
  await page.getByLabel("Mailboxes").fill("ana@example.com, bob@example.com");
  t.expectComplaint(/409 \(Conflict/);
  await page.getByRole("button", { name: "Add" }).click();
  await page.getByText(/ECHOTWIN_SMTP_URL/).waitFor();
  assert.equal(await page.getByLabel("Mailboxes").inputValue(), "ana@example.com, bob@example.com", "what was typed stays");
});

act("an operator may not, and is told what it needs", async (t) => {
  const made = await t.window();
  await made.signIn();
  const data = { username: `op-${Math.random().toString(36).slice(2, 8)}`, password: "a long enough one" };
  assert.ok((await made.context.request.post("/api/users", { data: { ...data, role: "operator" } })).ok());
  const w = await t.window();
  assert.ok((await w.context.request.post("/api/login", { data })).ok());
  await w.page.goto("/app/notify");
  await w.page.getByText("Needs the role Administrator; yours is Operator.").waitFor();
  assert.equal(await w.page.getByRole("link", { name: "Notify" }).count(), 0);
});

for (const { name, options } of [
  { name: "light", options: {} },
  { name: "Vietnamese phone", options: { size: phone, lang: "vi" } },
  { name: "dark phone", options: { size: phone, theme: "dark" } },
]) {
  act(`axe finds nothing on the page of notifications: ${name}`, async (t) => {
    const w = await open(t, options);
    const url = `https://hooks.example.com/${"x".repeat(120)}`;
    const made = await w.context.request.post("/api/notify/channels", { data: { kind: "webhook", url, enabled: false } });
    const { id } = await made.json();
    await w.page.reload();
    await w.page.getByText(url).waitFor();
    await w.page.getByRole("listitem").filter({ hasText: url }).getByRole("button", { name: /^(Deliveries|Những gì)/ }).click();
    await w.page.getByText(/^(Nothing was sent yet|Chưa gửi gì)/).waitFor();
    assert.deepEqual(await w.axe(), []);
    const [wide, screen] = await w.page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(wide <= screen, `the page is ${wide} px wide on a screen of ${screen}`);
    assert.ok((await w.context.request.delete(`/api/notify/channels/${id}`)).ok());
  });
}

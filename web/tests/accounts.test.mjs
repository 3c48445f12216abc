// The page of accounts: an administrator's and an operator's.
import assert from "node:assert/strict";
import { connectAsync } from "mqtt";
import { phone } from "./harness/browser.mjs";
import { act } from "./harness/stage.mjs";

/** A phone, by its size and by what it calls itself. */
const phoneSize = { ...phone, userAgent: "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36" };

async function open(t, options = {}) {
  const w = await t.window(options);
  await w.signIn();
  await w.page.goto("/app/accounts");
  await w.page.getByRole("heading", { name: /^(Users|Người dùng)$/ }).waitFor();
  return w;
}

act("an administrator adds a user, limits and deletes them", async (t) => {
  const { page } = await open(t);
  const name = `ana-${Math.random().toString(36).slice(2, 8)}`;
  const users = page.getByRole("region", { name: "Users" });
  await users.getByLabel("Name").fill(name);
  await users.getByLabel("Role").selectOption("operator");
  await users.getByLabel("Password").fill("a long enough one");
  await users.getByLabel("Things").fill("plant/line1/**");
  await users.getByRole("button", { name: "Add" }).click();
  const row = users.getByRole("listitem").filter({ hasText: name });
  await row.getByText("plant/line1/**").waitFor();
  await row.getByRole("button", { name: `Change ${name}` }).click();
  await users.getByLabel("Role").selectOption("engineer");
  await users.getByLabel("Things").fill("");
  await users.getByRole("button", { name: "Save" }).click();
  await row.getByText("Engineer").waitFor();
  await row.getByText("every thing").waitFor();
  await row.getByRole("button", { name: `Delete ${name}` }).click();
  await row.getByRole("button", { name: "Keep it" }).click();
  await row.getByRole("button", { name: `Delete ${name}` }).click();
  await row.getByRole("button", { name: "Delete" }).click();
  await row.waitFor({ state: "detached" });
});

act("a token and a device's password are shown once", async (t) => {
  const { page } = await open(t);
  const tokens = page.getByRole("region", { name: "Tokens" });
  await tokens.getByLabel("Name").fill("report");
  await tokens.getByRole("button", { name: "Add" }).click();
  await tokens.getByText(/^et_/).waitFor();
  await tokens.getByRole("button", { name: "I have it" }).click();
  assert.equal(await tokens.getByText(/^et_/).count(), 0);
  const devices = page.getByRole("region", { name: "Devices" });
  await devices.getByLabel("Name").fill("pump-7");
  await devices.getByLabel("Things").fill("plant/pump-7");
  await devices.getByRole("button", { name: "Add" }).click();
  await devices.getByText(/^mosquitto_pub .* -u pump-7 -P ed_\S+ -q 1 -t telemetry\/plant\/pump-7 /).waitFor();
  const row = devices.getByRole("listitem").filter({ hasText: "pump-7" }).last();
  await row.getByText("never used").waitFor();

  // What it does is seen the next time that somebody looks.
  const line = await devices.getByText(/^mosquitto_pub /).textContent();
  const client = await connectAsync(t.server.mqtt, { username: "pump-7", password: /-P (\S+)/.exec(line)[1], reconnectPeriod: 0 });
  t.onEnd(() => client.endAsync());
  await client.publishAsync("telemetry/plant/pump-7", "no JSON", { qos: 1 });
  await page.reload();
  await row.getByText(/^connected to \S+:\d+$/).waitFor();
  await row.getByText(/^last used .* from 127\.0\.0\.1$/).waitFor();
  await row.getByText(/^refused .*: want an object/).waitFor();
  await client.endAsync();
  await page.reload();
  await row.getByText(/^last used/).waitFor();
  assert.equal(await row.getByText(/^connected/).count(), 0);
});

act("one sees where one is signed in, ends one session and all", async (t) => {
  const made = await t.window();
  await made.signIn();
  const name = `se-${Math.random().toString(36).slice(2, 8)}`;
  const data = { username: name, password: "a long enough one" };
  assert.ok((await made.context.request.post("/api/users", { data: { ...data, role: "viewer" } })).ok());
  const [here, phone, work] = [await t.window(), await t.window({ size: { ...phoneSize } }), await t.window()];
  for (const w of [here, phone, work]) assert.ok((await w.context.request.post("/api/login", { data })).ok());
  await here.page.goto("/app/accounts");
  const sessions = here.page.getByRole("region", { name: "Where you are signed in" });
  await sessions.getByRole("listitem").nth(2).waitFor();
  await sessions.getByRole("listitem").filter({ hasText: "this one" }).getByText(/127\.0\.0\.1/).waitFor();
  await phone.page.goto("/app/accounts");
  t.expectComplaint(/401 \(Unauthorized\)/); // what it asks for meanwhile
  await sessions.getByRole("listitem").filter({ hasText: /Android/ }).getByRole("button", { name: /^End/ }).click();
  await sessions.getByRole("listitem").filter({ hasText: /Android/ }).getByRole("button", { name: "End", exact: true }).click();
  await sessions.getByText(/^The session of Chrome \d+, Android was ended\.$/).waitFor();
  await phone.page.waitForURL(/\/login\.html/); // its open page is told
  await sessions.getByRole("button", { name: "Sign out everywhere else" }).click();
  await sessions.getByRole("button", { name: "Sign out everywhere else" }).click();
  await sessions.getByText(`The sessions of ${name} were ended.`).waitFor();
  assert.equal((await work.context.request.get("/api/sessions")).status(), 401);
  // An administrator sees it, too, and ends it.
  await made.page.goto("/app/accounts");
  const all = made.page.getByRole("region", { name: "Where you are signed in" });
  await all.getByRole("searchbox", { name: /^User/ }).fill(name);
  await all.getByRole("searchbox", { name: /^User/ }).press("Enter");
  await all.getByText(`Owner ${name}`).waitFor();
  await all.getByRole("button", { name: "Sign out everywhere" }).click();
  await all.getByRole("button", { name: "Sign out everywhere" }).click();
  await all.getByText(`The sessions of ${name} were ended.`).waitFor();
  assert.equal((await here.context.request.get("/api/sessions")).status(), 401);
  await here.page.waitForURL(/\/login\.html/);
});

act("an operator has an account of their own, and is told why not the rest", async (t) => {
  const made = await t.window();
  await made.signIn();
  const name = `op-${Math.random().toString(36).slice(2, 8)}`;
  const password = "a long enough one";
  assert.ok((await made.context.request.post("/api/users", { data: { username: name, password, role: "operator", things: ["plant/line1/**"] } })).ok());
  const w = await t.window();
  assert.ok((await w.context.request.post("/api/login", { data: { username: name, password } })).ok());
  await w.page.goto("/app/accounts");
  await w.page.getByText("Limited to plant/line1/**.").waitFor();
  await w.page.getByRole("region", { name: "Users" }).getByText("Needs the role Administrator; yours is Operator.").waitFor();
  assert.equal(await w.page.getByRole("button", { name: "Add" }).count(), 1, "only of one's own tokens");
  await w.page.getByLabel("Current password").fill(password);
  await w.page.getByLabel("New password").fill("another long one");
  await w.page.getByRole("button", { name: "Change password" }).click();
  await w.page.waitForURL(/\/login\.html/); // the session of the old password is over
  assert.ok((await w.context.request.post("/api/login", { data: { username: name, password: "another long one" } })).ok());
});

act("a role that changes is on the open page without a reload", async (t) => {
  const made = await t.window();
  await made.signIn();
  const name = `ro-${Math.random().toString(36).slice(2, 8)}`;
  const data = { username: name, password: "a long enough one" };
  const become = async (role) => assert.ok((await made.context.request.patch(`/api/users/${name}`, { data: { role } })).ok());
  assert.ok((await made.context.request.post("/api/users", { data: { ...data, role: "viewer" } })).ok());
  const w = await t.window();
  const { page } = w;
  assert.ok((await w.context.request.post("/api/login", { data })).ok());
  await page.clock.install();
  await page.goto("/app/accounts");
  const users = page.getByRole("region", { name: "Users" });
  await users.getByText("Needs the role Administrator; yours is Viewer.").waitFor();
  await become("admin");
  const lists = ["/api/users", "/api/devices"].map((path) => page.waitForResponse((r) => r.ok() && new URL(r.url()).pathname === path));
  await page.clock.fastForward(31_000);
  await users.getByRole("button", { name: "Add" }).waitFor();
  await page.getByRole("link", { name: "Admin" }).waitFor();
  await Promise.all(lists);

  // The other way the server says so at once, when something is asked of it.
  t.expectComplaint(/403 \(Forbidden\)/);
  await become("operator");
  await page.clock.fastForward(2000);
  await users.getByLabel("Name").fill("somebody");
  await users.getByLabel("Password").fill("a long enough one");
  await users.getByRole("button", { name: "Add" }).click();
  await users.getByText("Needs the role Administrator; yours is Operator.").waitFor();
});

for (const { name, options } of [
  { name: "light", options: {} },
  { name: "Vietnamese phone", options: { size: phone, lang: "vi" } },
  { name: "dark phone", options: { size: phone, theme: "dark" } },
]) {
  act(`axe finds nothing on the page of accounts: ${name}`, async (t) => {
    const w = await open(t, options);
    assert.deepEqual(await w.axe(), []);
    const [wide, screen] = await w.page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(wide <= screen, `the page is ${wide} px wide on a screen of ${screen}`);
  });
}

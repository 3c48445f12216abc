// Who gets in, where they come out, and what is not to be had without a login.
import assert from "node:assert/strict";
import { Provider } from "./harness/provider.mjs";
import { user } from "./harness/server.mjs";
import { act } from "./harness/stage.mjs";

const signIn = async (page, password) => {
  await page.getByLabel("User name").fill(user.username);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
};

act("a wrong password is said, the right one leads to where one wanted to go", async (t) => {
  t.expectComplaint(/status of 401/);
  const { page } = await t.window();
  await page.goto("/app?thing=plant/line1/tank");
  await page.waitForURL(/\/login\.html\?next=/);
  await signIn(page, "654321");
  await page.getByRole("alert").filter({ hasText: "User name or password is wrong." }).waitFor();
  await signIn(page, user.password);
  await page.waitForURL(/\/app\?thing=plant\/line1\/tank$/);
  await page.locator(".face").filter({ hasText: "TK-101" }).waitFor();
});

act("a next that leads away is not followed", async (t) => {
  t.expectComplaint(/status of 401/); // the page before, whose cookie is taken away while it loads
  const { page } = await t.window();
  for (const next of ["https://evil.example/", "//evil.example/", "/\\evil.example/", "javascript:alert(1)"]) {
    await page.context().clearCookies();
    await page.goto(`/login.html?next=${encodeURIComponent(next)}`);
    await signIn(page, user.password);
    await page.waitForURL(`${t.server.url}/app`);
  }
});

act("signing out ends the session, also for who kept the cookie", async (t) => {
  const { page, window: w } = await t.overview();
  const cookies = await w.context.cookies();
  await page.getByRole("button", { name: new RegExp(user.username) }).click();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("button", { name: "Sign in" }).waitFor();
  await page.goto("/app");
  await page.waitForURL(/\/login\.html\?next=%2Fapp$/);
  await w.context.addCookies(cookies);
  assert.deepEqual(await (await w.context.request.get("/api/me")).json(), { loggedIn: false });
});

act("nothing behind the login is a static file (F1)", async (t) => {
  const { context } = await t.window();
  const marker = /src="\/public\/assets\/app-/;
  for (const path of ["/public/app/index.html", "/public/app.html", "/app.html", "/public/", "/public/../app.html", "/public/%2e%2e/app.html", "/dist/app.html"]) {
    const res = await context.request.get(path, { maxRedirects: 0 });
    assert.notEqual(res.status(), 200, path);
    assert.doesNotMatch(await res.text(), marker, path);
  }
  const script = await context.request.get("/app", { headers: { Accept: "application/json" }, maxRedirects: 0 });
  assert.equal(script.status(), 401);
});

act("one signs in at a provider and out of it, and is told what is wrong there", async (t) => {
  const provider = await Provider.start();
  t.onEnd(() => provider.stop());
  const server = await t.ownServer({
    ECHOTWIN_DEMO: "false", ECHOTWIN_OIDC_ISSUER: provider.url, ECHOTWIN_OIDC_CLIENT_ID: "echotwin", ECHOTWIN_OIDC_CLIENT_SECRET: "x",
    ECHOTWIN_OIDC_NAME: "Nhà máy", ECHOTWIN_OIDC_ROLES: "shift=operator", ECHOTWIN_OIDC_LOGOUT: "1",
  });
  const w = await t.window({ url: server.url });
  const { page } = w;
  await page.goto("/app/accounts");
  const button = page.getByRole("link", { name: "Sign in with Nhà máy" });
  await button.waitFor();
  assert.deepEqual(await w.axe(), []);
  await button.click();
  await page.waitForURL(`${server.url}/app/accounts`);
  await page.getByText("Signed in as lan, Operator.").waitFor();
  await page.getByText("You sign in at a provider").waitFor();
  assert.equal(await page.getByLabel("Current password").count(), 0);
  await page.getByRole("button", { name: /lan/ }).first().click();
  await page.getByRole("button", { name: "Sign out", exact: true }).click();
  await page.waitForURL(`${server.url}/login.html`);

  provider.claims = { ...provider.claims, groups: ["guests"] };
  await button.click();
  await page.getByRole("alert").filter({ hasText: "none of your groups has a role here" }).waitFor();
  provider.claims = { ...provider.claims, sub: "2", preferred_username: "admin", groups: ["shift"] };
  await button.click();
  await page.getByRole("alert").filter({ hasText: "Another user here has your name already." }).waitFor();
  assert.deepEqual(await w.axe(), []);

  const vi = await t.window({ url: server.url, lang: "vi" });
  await vi.page.goto("/login.html?problem=unreachable");
  await vi.page.getByRole("alert").filter({ hasText: "Nơi cấp đăng nhập không trả lời." }).waitFor();
  await vi.page.getByRole("link", { name: "Đăng nhập bằng Nhà máy" }).waitFor();
});

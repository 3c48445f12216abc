// The two languages, the two themes, the phone, and everybody who does not see or use a mouse.
import assert from "node:assert/strict";
import { phone } from "./harness/browser.mjs";
import { act } from "./harness/stage.mjs";
import { englishFinder, textsOfPage } from "./harness/words.mjs";

const answer = async (r) => {
  if (!r.afterTool) return r.call("read_state", { path: "plant/line1/conveyor-2" });
  r.say("Chạy **tốt**.\n\n- một\n- hai\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n`code` [sổ tay](https://example.com/a)\n");
  r.done();
};

act("no English word is left on a Vietnamese page", async (t) => {
  t.upstream.on("CV-02 có nóng không?", answer);
  t.expectComplaint(/status of 401/);
  const w = await t.window({ lang: "vi" });
  const { page } = w;

  await page.goto("/login.html");
  await page.getByLabel("Tên người dùng").fill("admin");
  await page.getByLabel("Mật khẩu", { exact: true }).fill("wrong");
  await page.getByRole("button", { name: "Đăng nhập" }).click();
  await page.getByText("Sai tên người dùng hoặc mật khẩu.").waitFor();
  const english = await englishFinder();
  assert.deepEqual(english(await page.evaluate(textsOfPage)), []);

  const line = await t.line();
  const view = await t.overview({ url: line.url, lang: "vi" });
  const things = await (await view.window.context.request.get("/api/things")).json();
  const withTitles = await englishFinder(titlesOf(things));
  assert.equal(await view.page.evaluate(() => document.documentElement.lang), "vi");
  await view.chat.ask("CV-02 có nóng không?");
  await view.chat.phase("done");
  await view.page.getByText(/^Đã đọc \d+ tín hiệu$/).click();
  await view.review.click();
  await view.page.getByRole("button", { name: /^Xác nhận SPEED/ }).click();
  await view.steps.getByText("Đã nhận").waitFor();
  await view.page.getByRole("button", { name: /admin/ }).click();
  assert.deepEqual(withTitles(await view.page.evaluate(textsOfPage)), []);

  line.kill();
  await view.lost.waitFor();
  assert.deepEqual(withTitles(await view.page.evaluate(textsOfPage)), []);
});

/** The titles of things, properties, actions and events, as dictionaries. */
function titlesOf(things) {
  const books = [];
  const walk = (o) => {
    if (typeof o !== "object" || o === null) return;
    if (o.titles?.en && o.titles?.vi) books.push({ en: { title: o.titles.en }, vi: { title: o.titles.vi } });
    for (const v of Object.values(o)) walk(v);
  };
  walk(things);
  assert.ok(books.length > 40, "the demo line's things have titles in both languages");
  return books;
}

act("the language changes on the spot, and stays", async (t) => {
  const view = await t.overview();
  await view.page.getByRole("button", { name: "VI", exact: true }).click();
  await view.page.getByRole("heading", { name: "Quy trình" }).waitFor();
  await view.page.getByRole("heading", { name: "Trợ lý" }).waitFor();
  await view.page.reload();
  await view.page.getByRole("heading", { name: "Quy trình" }).waitFor();
});

act("the theme changes on the spot, and stays", async (t) => {
  const view = await t.overview();
  const background = () => view.page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const light = await background();
  await view.page.getByRole("button", { name: "Switch between light and dark" }).click();
  const dark = await background();
  assert.notEqual(dark, light);
  await view.page.reload();
  assert.equal(await background(), dark);
});

act("a phone: nothing is wider than the screen, the rail is at the bottom, the assistant is a page", async (t) => {
  t.upstream.on("CV-02 có nóng không?", answer);
  const view = await t.overview({ size: phone, lang: "vi" });
  const { page } = view;
  const fits = async () => {
    const [wide, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(wide <= screen, `the page is ${wide} px wide on a screen of ${screen}`);
  };
  await fits();
  const rail = await page.getByRole("navigation", { name: "Chính" }).boundingBox();
  assert.ok(rail.y > 700 && rail.y + rail.height <= 845 && rail.width >= 389, JSON.stringify(rail));
  await page.getByRole("button", { name: "Trợ lý", exact: true }).tap();
  await view.chat.ask("CV-02 có nóng không?");
  await view.chat.phase("done");
  await fits();
  const drawer = await page.locator("#assistant").boundingBox();
  assert.ok(drawer.x === 0 && drawer.width === 390, JSON.stringify(drawer));
  await view.chat.last.getByRole("list", { name: "Nguồn" }).getByRole("button").first().tap();
  await page.locator("#assistant").waitFor({ state: "hidden" }); // to where the thing is shown
  await view.face(/CV-02/);
  await fits();
  // Pages that are needed seldom are in the menu of the user.
  await page.getByRole("button", { name: /admin/ }).tap();
  await fits();
  await page.getByRole("navigation", { name: "Trang khác" }).getByRole("link", { name: "Tài khoản" }).tap();
  await page.getByRole("heading", { name: "Người dùng", exact: true }).waitFor();
});

const looks = [
  { name: "light", options: {} },
  { name: "dark", options: { theme: "dark" } },
  { name: "Vietnamese phone", options: { size: phone, lang: "vi" } },
  { name: "dark phone", options: { size: phone, theme: "dark" } },
];

for (const { name, options } of looks) {
  act(`axe finds nothing: ${name}`, async (t) => {
    t.upstream.on("for axe", answer);
    const login = await t.window(options);
    await login.page.goto("/login.html");
    await login.page.getByRole("button", { name: /Sign in|Đăng nhập/ }).waitFor();
    assert.deepEqual(await login.axe(), [], "login");

    const line = await t.line();
    const view = await t.overview({ ...options, url: line.url });
    assert.deepEqual(await view.window.axe(), [], "overview");

    const onPhone = options.size === phone;
    const rail = view.page.getByRole("button", { name: /^(Assistant|Trợ lý)$/ });
    if (onPhone) await rail.tap();
    await view.chat.ask("for axe");
    await view.chat.phase("done");
    await view.chat.last.locator("summary").click();
    assert.deepEqual(await view.window.axe(), [], "with an answer");
    if (onPhone) await rail.tap();

    await view.review.click();
    await view.page.locator(".review").waitFor();
    assert.deepEqual(await view.window.axe(), [], "reviewing a command");

    line.kill();
    await view.lost.waitFor();
    await view.page.locator(".app.off").waitFor();
    assert.deepEqual(await view.window.axe(), [], "offline");
  });
}

act("axe finds nothing where there is no model", async (t) => {
  const server = await t.ownServer();
  const view = await t.overview({ url: server.url });
  await view.page.getByRole("region", { name: "The assistant has no language model yet" }).waitFor();
  assert.deepEqual(await view.window.axe(), []);
});

act("no page complains, /docs neither", async (t) => {
  const w = await t.window();
  await w.page.goto("/login.html");
  await w.page.getByRole("button", { name: "Sign in" }).waitFor();
  await w.signIn();
  await w.page.goto("/docs");
  await w.page.getByText("/api/gpt", { exact: false }).first().waitFor();
  await w.page.locator(".opblock").first().locator(".opblock-summary-control").click();
  await w.page.locator(".opblock.is-open").waitFor();
  for (const path of ["/login.html", "/app", "/docs"]) {
    const res = await w.context.request.get(path);
    const policy = res.headers()["content-security-policy"];
    assert.match(policy, /default-src 'self'/, path);
    assert.doesNotMatch(policy, /unsafe/, path);
    assert.equal(/require-trusted-types-for 'script'/.test(policy), path !== "/docs", path);
  }
});

act("who wants less motion gets none", async (t) => {
  const w = await t.window();
  await w.page.emulateMedia({ reducedMotion: "reduce" });
  await w.signIn();
  await w.page.goto("/app");
  await w.page.locator(".kpi output").first().waitFor();
  await w.page.locator(".link b").filter({ hasText: "Live" }).waitFor();
  const moving = () => document.getAnimations().filter((a) => a.playState === "running").map((a) => `${a.animationName} of ${a.effect.target.className}${a.effect.pseudoElement ?? ""}`);
  assert.deepEqual(await w.page.evaluate(moving), []);
});

// A command from the wish to the device's word, and everything that may stop it.
import assert from "node:assert/strict";
import { conveyor, conveyorTD } from "./harness/device.mjs";
import { user } from "./harness/server.mjs";
import { act } from "./harness/stage.mjs";

act("SPEED goes from review to acknowledged, and the line obeys", async (t) => {
  const view = await t.overview();
  const { page } = view;
  await view.face(/CV-02/);
  await view.speed.fill("55");
  await view.review.click();
  const review = page.getByRole("region", { name: "Review the command" });
  await review.getByText("Inside the allowed range 20–100 %").waitFor();
  await review.getByRole("button", { name: "Edit" }).click();
  await view.speed.fill("57");
  await view.review.click();
  await review.getByRole("button", { name: "Confirm SPEED 57 %" }).click();
  await view.steps.getByText("Acknowledged").waitFor();
  await page.locator(".last .steps li.ok").nth(2).waitFor();
  // Acknowledged is not reached: the belt ramps, and until then both values stand apart.
  await view.steps.getByText("Watching the value").or(view.steps.getByText("Reached")).waitFor();
  await view.shows(conveyor, "speed", /5[5-9]/); // the feedback follows, with the belt's inertia
  await view.steps.getByText("Reached").waitFor();
  await page.locator(".activity").getByText(/SPEED CV-02 .* reached/).first().waitFor();
});

act("a limit is named on the screen, and by the server to who goes around it", async (t) => {
  const view = await t.overview();
  await view.face(/CV-02/);
  for (const wrong of ["250", "19.9"]) {
    await view.speed.fill(wrong);
    await view.page.getByRole("alert").filter({ hasText: "Allowed is 20–100 %" }).waitFor();
    assert.equal(await view.review.isDisabled(), true);
  }
  await view.speed.fill("100");
  assert.equal(await view.review.isEnabled(), true);
  const res = await view.window.context.request.post(`/api/things/${conveyor}/actions/setSpeed`, { data: { speed: 250 } });
  assert.equal(res.status(), 422);
  const said = await res.json();
  assert.equal(said.maximum, 100);
  assert.match(said.error, /100/);
});

act("what the device says is what is shown: failed, or nothing yet", async (t) => {
  const { server, device } = await t.quietServer();
  await device.say({ speed: 60, temperature: 42, running: true });
  let answer = { ok: false, error: "belt jammed" };
  let release = () => {};
  await device.obey(async () => {
    await new Promise((resolve) => (release = resolve));
    return answer;
  });
  const view = await t.overview({ url: server.url });
  const send = async (speed) => {
    await view.speed.fill(speed);
    await view.review.click();
    await view.page.getByRole("button", { name: `Confirm SPEED ${speed} %` }).click();
    await view.steps.getByText("Waiting for device").waitFor();
  };
  await send("70");
  release();
  await view.steps.getByText("Failed").waitFor();
  await view.page.locator(".last").getByText("belt jammed").waitFor();
  answer = { ok: true };
  await send("71");
  release();
  await view.steps.getByText("Acknowledged").waitFor();
});

/** The conveyor with conditions, a risk and a feedback that is verified. */
function guardedTD(change) {
  const td = structuredClone(conveyorTD);
  Object.assign(td.actions.setSpeed, {
    "echotwin:feedback": { property: "speed", tolerance: 2, within: 2 },
    "echotwin:interlocks": [{ when: "running=true", message: "The belt must run" }],
    ...change,
  });
  return td;
}

act("a condition that does not hold keeps a command back, and what is at risk wants a reason", async (t) => {
  const server = await t.ownServer({ ECHOTWIN_DEMO: "false" }, [guardedTD({ "echotwin:risk": "high" })]);
  const device = await t.device(server, conveyor);
  await device.say({ speed: 60, temperature: 42, running: false });
  await device.obey(() => ({ ok: true }));
  const view = await t.overview({ url: server.url });
  const { page } = view;
  await view.speed.fill("70");
  await view.review.click();
  const review = page.getByRole("region", { name: "Review the command" });
  await review.getByText("The belt must run").waitFor();
  const confirm = review.getByRole("button", { name: "Confirm SPEED 70 %" });
  await review.getByText("A condition that must hold does not.").waitFor();
  assert.equal(await confirm.isDisabled(), true);
  assert.deepEqual(await view.window.axe(), []);
  await device.say({ running: true }); // the review looks again by itself
  await review.getByText("This needs a reason.").waitFor();
  assert.equal(await confirm.isDisabled(), true);
  await review.getByLabel("Reason").fill("bottles are waiting");
  await confirm.click();
  // The device says ok, and its belt does not move: acknowledged, and not reached.
  await view.steps.getByText("Not reached").waitFor();
  await page.locator(".last").getByText("The device acknowledged, and the value did not follow.").waitFor();
  await page.locator(".last").getByText("70 ±2").waitFor();
  await page.locator(".last").getByText("bottles are waiting").waitFor();
  const [audit] = await (await view.window.context.request.get("/api/commands")).json();
  assert.equal(audit.reached, false);
  assert.equal(audit.reported, 60);
  assert.equal(audit.reason, "bottles are waiting");
});

act("who else commands the thing is seen in the review, and replaced on purpose only", async (t) => {
  const server = await t.ownServer({ ECHOTWIN_DEMO: "false" }, [guardedTD({})]);
  const device = await t.device(server, conveyor);
  await device.say({ speed: 60, temperature: 42, running: true });
  await device.obey(() => undefined);
  const view = await t.overview({ url: server.url });
  const { page } = view;
  await view.window.context.request.post(`/api/things/${conveyor}/actions/setSpeed?timeout=60`, { data: { speed: 90 }, headers: { Prefer: "respond-async" } });
  await view.steps.getByText("Waiting for device").waitFor();
  await view.speed.fill("70");
  await view.review.click();
  const review = page.getByRole("region", { name: "Review the command" });
  await review.getByText("Replaces the command of admin that is under way").waitFor();
  await review.getByText(/Last commanded by admin/).waitFor();
  await review.getByRole("button", { name: "Confirm SPEED 70 %" }).click();
  await page.locator(".activity").getByText(/90 %, replaced by a newer command/).waitFor();
  await page.locator(".last").getByRole("button", { name: "Cancel command" }).click();
  await view.steps.getByText("Cancelled").waitFor();
});

act("a device that is not there gets no command, and that is said", async (t) => {
  const { server, device } = await t.quietServer();
  await device.say({ speed: 60, temperature: 42, running: true }); // it subscribes to nothing
  const view = await t.overview({ url: server.url });
  await view.speed.fill("70");
  await view.review.click();
  await view.page.getByRole("button", { name: "Confirm SPEED 70 %" }).click();
  await view.steps.getByText("Rejected").waitFor();
});

act("login, choosing a conveyor and sending a command need no mouse", async (t) => {
  const { page } = await t.window();
  await page.goto("/login.html");
  const focused = () => page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.id ?? "");
  /** Presses Tab until the focus is on what `selector` says. */
  const tabTo = async (selector) => {
    for (let i = 0; i < 120; i++) {
      if (await page.evaluate((s) => document.activeElement?.matches(s) ?? false, selector)) return;
      await page.keyboard.press("Tab");
    }
    assert.fail(`Tab never came to ${selector}; it is on ${await focused()}`);
  };
  await page.waitForFunction(() => document.activeElement?.id === "username");
  await page.keyboard.type(user.username);
  await tabTo("#password");
  await page.keyboard.type(user.password);
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/app$/);

  const cv1 = `[data-thing="plant/line1/conveyor-1"]`;
  await page.locator(cv1).waitFor();
  await page.locator(".link b").filter({ hasText: "Live" }).waitFor();
  await tabTo(cv1);
  await page.keyboard.press("Enter");
  await page.locator(".face").filter({ hasText: "CV-01" }).waitFor();
  await tabTo(".face input[type=number]");
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.type("63");
  await page.keyboard.press("Enter");
  await page.getByRole("region", { name: "Review the command" }).waitFor();
  await tabTo(".review .primary");
  await page.keyboard.press("Enter");
  await page.getByRole("list", { name: "Command state" }).getByText("Acknowledged").waitFor();
  await page.locator(".last .steps li.ok").nth(2).waitFor();
});

act("an action with several values, and one with none, are filled in, reviewed and sent as they are", async (t) => {
  const td = structuredClone(conveyorTD);
  td.actions.batch = {
    title: "BATCH",
    input: {
      type: "object",
      required: ["recipe", "litres"],
      properties: {
        recipe: { title: "Recipe", type: "string", enum: ["cola", "lemon"] },
        litres: { title: "Amount", type: "integer", unit: "litre", minimum: 1, maximum: 500 },
        note: { title: "Note", type: "string" },
      },
    },
  };
  td.actions.home = { title: "HOME" };
  const server = await t.ownServer({ ECHOTWIN_DEMO: "false" }, [td]);
  const device = await t.device(server, conveyor);
  await device.say({ speed: 60, temperature: 42, running: true });
  const got = [];
  await device.obey((action, input) => (got.push([action, input]), { ok: true }));
  const view = await t.window({ url: server.url });
  await view.signIn();
  const { page } = view;
  await page.goto(`/app/things/${conveyor}`);
  const batch = page.locator("form", { hasText: "BATCH" });
  const start = batch.getByRole("button", { name: "Review and send" });
  await batch.getByLabel("Recipe").selectOption("cola");
  await batch.getByLabel("Amount").fill("501");
  assert.equal(await start.isDisabled(), true);
  await batch.getByLabel("Amount").fill("12");
  await start.click();
  const review = page.getByRole("region", { name: "Review the command" });
  assert.equal(await review.count(), 1, "one review, of the action that was chosen");
  await review.getByText("cola").waitFor();
  await review.getByText("12 L").waitFor();
  assert.deepEqual(await view.axe(), []);
  await review.getByRole("button", { name: "Confirm BATCH" }).click();
  await page.locator(".last .steps li.ok").nth(2).waitFor(); // acknowledged, not only asked for
  await page.locator("form", { hasText: "HOME" }).getByRole("button", { name: "Review and send" }).click();
  await review.getByRole("button", { name: "Confirm HOME" }).click();
  while (got.length < 2) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(got, [["batch", { recipe: "cola", litres: 12 }], ["home", null]]);
});

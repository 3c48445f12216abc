// On a phone what one touches is as large as a finger needs.
import assert from "node:assert/strict";
import { openAlarms, pump, pumpTD, rows, say } from "./harness/alarms.mjs";
import { phone } from "./harness/browser.mjs";
import { act } from "./harness/stage.mjs";

/** What is smaller than 40 px of all that one touches there; of a checkbox its label counts. */
const small = (page, where) =>
  page.locator(`${where} :is(a, button, input[type=checkbox])`).evaluateAll((all) =>
    all
      .filter((e) => e.checkVisibility())
      .map((e) => [e, (e.matches("input") ? (e.closest("label") ?? e) : e).getBoundingClientRect()])
      .filter(([, box]) => box.width < 40 || box.height < 40)
      .map(([e, box]) => `${e.tagName} ${e.getAttribute("aria-label") ?? e.textContent.trim()}: ${Math.round(box.width)} × ${Math.round(box.height)}`),
  );

act("alarms, accounts and notifications are for fingers on a phone", async (t) => {
  const server = await t.ownServer({ ECHOTWIN_DEMO: "false" }, [pumpTD()]);
  const w = await openAlarms(t, server, { size: phone });
  const { page } = w;
  await say(w, pump, { pressure: 9, temperature: 75, running: true });
  await rows(page).nth(1).waitFor();
  assert.equal(await page.locator(".ar input[type=checkbox]").count(), 2);
  assert.deepEqual(await small(page, ".ar"), []);
  const [wide, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(wide <= screen, `the page is ${wide} px wide on a screen of ${screen}`);

  await page.goto("/app/accounts");
  await page.getByLabel("Show everybody's").waitFor();
  assert.deepEqual(await small(page, "label"), []);
  await page.goto("/app/notify");
  await page.getByLabel("Switched on").waitFor();
  assert.deepEqual(await small(page, "label"), []);
});

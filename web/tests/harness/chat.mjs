// The assistant as a person uses it.
import assert from "node:assert/strict";

export class Chat {
  /** @param {import("playwright-core").Page} page */
  constructor(page) {
    this.page = page;
    this.box = page.getByRole("textbox", { name: /Ask about the line|Hỏi về dây chuyền/ });
    this.log = page.getByRole("log");
    this.answers = page.locator(".answer");
    this.last = this.answers.last();
    this.words = this.last.locator(".md");
    this.stop = page.getByRole("button", { name: /^(Stop|Dừng)$/ });
    this.send = page.getByRole("button", { name: /^(Send|Gửi)$/ });
  }

  async ask(question) {
    await this.box.fill(question);
    await this.box.press("Enter");
  }

  /** Waits until the newest answer shows exactly this text. The blank at its end does not count: it is held back. */
  async shows(text) {
    const shown = (want) => {
      const words = [...document.querySelectorAll(".answer")].at(-1)?.querySelector(".md")?.textContent;
      return words?.trimEnd() === want;
    };
    await this.page.waitForFunction(shown, text.trimEnd()).catch(async (err) => {
      assert.equal(await this.text(), text);
      throw err;
    });
  }

  async text() {
    return (await this.words.textContent()) ?? "";
  }

  /** Waits for how the newest answer stands: done, stopped, failed, answering. */
  async phase(phase) {
    await this.page.locator(`.answer[data-phase="${phase}"]`).last().waitFor();
  }
}

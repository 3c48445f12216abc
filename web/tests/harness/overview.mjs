// The overview as a person sees it.
import { Chat } from "./chat.mjs";

export class Overview {
  /** @param {import("./browser.mjs").Window} window */
  constructor(window) {
    this.window = window;
    this.page = window.page;
    this.chat = new Chat(this.page);
    this.state = this.page.locator(".link b");
    this.lost = this.page.getByRole("alert").filter({ hasText: /Connection lost|Mất kết nối/ });
    this.review = this.page.getByRole("button", { name: /^(Review and send|Xem lại và gửi)$/ });
    this.speed = this.page.getByRole("spinbutton", { name: "SPEED" });
    this.steps = this.page.getByRole("list", { name: /^(Command state|Trạng thái lệnh)$/ });
  }

  /** Waits until the page is connected and says so. */
  async live() {
    await this.state.filter({ hasText: /^(Live|Trực tiếp)$/ }).waitFor();
    // A plant without any reading has no drawing, and says how to send one.
    await this.page.locator(".synoptic, .empty").first().waitFor();
  }

  /** The faceplate of the selected thing. */
  async face(name) {
    const face = this.page.locator(".face").filter({ has: this.page.getByRole("heading", { name }) });
    await face.waitFor();
    return face;
  }

  /** Waits until a box of the drawing shows this text. */
  async shows(thing, property, text) {
    await this.box(thing, property).filter({ hasText: text }).waitFor();
  }

  box(thing, property) {
    return this.page.locator(`.synoptic g[data-bind="${thing}#${property}"]`).first();
  }

  /** Waits until the texts of so many of these elements are others than they were. */
  async changes(selector, count) {
    const texts = (selector) => [...document.querySelectorAll(selector)].map((e) => e.textContent);
    const before = await this.page.evaluate(texts, selector);
    await this.page.waitForFunction(
      ([selector, before, count]) => {
        const now = [...document.querySelectorAll(selector)].map((e) => e.textContent);
        return now.filter((text, i) => text !== before[i]).length >= count;
      },
      [selector, before, count],
    );
  }
}

// Trends as a person sees and moves them, and the history that a test puts under them.
import assert from "node:assert/strict";
import { user } from "./server.mjs";

export const lab = "lab/tank-7";

/** A thing with a number, a switch and a word, each described with its period. */
export const labTD = {
  "@context": ["https://www.w3.org/2019/wot/td/v1", "https://www.w3.org/2022/wot/td/v1.1", { echotwin: "urn:echotwin:td#" }],
  id: `urn:echotwin:${lab}`,
  title: "Test tank",
  titles: { en: "Test tank", vi: "Bồn thử" },
  "echotwin:tag": "TK-7",
  securityDefinitions: { none: { scheme: "nosec" } },
  security: ["none"],
  properties: {
    level: { type: "number", unit: "%", minimum: 0, maximum: 100, readOnly: true, title: "Level", titles: { en: "Level", vi: "Mức" }, "echotwin:period": 30, "echotwin:decimals": 1 },
    heater: { type: "boolean", readOnly: true, title: "Heater", titles: { en: "Heater", vi: "Sưởi" }, "echotwin:period": 30 },
    mode: { type: "string", readOnly: true, title: "Mode", titles: { en: "Mode", vi: "Chế độ" }, "echotwin:period": 30 },
  },
};

/** Sends readings as a script would; resolves when they are on disk. */
export async function send(server, thing, samples) {
  const login = await fetch(`${server.url}/api/login`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(user) });
  const cookie = login.headers.getSetCookie().map((c) => c.split(";")[0]).join("; ");
  for (let i = 0; i < samples.length; i += 500) {
    const res = await fetch(`${server.url}/api/telemetry/${thing}`, { method: "POST", headers: { "Content-Type": "application/json", Origin: server.url, Cookie: cookie }, body: JSON.stringify(samples.slice(i, i + 500)) });
    assert.equal(res.status, 202, await res.text());
  }
}

/** 26 hours of readings every 30 s, ending a minute ago, with one hour missing; the level of an hour is its number. */
export function day(now = Date.now()) {
  const out = [];
  const from = Math.floor((now - 26 * 3_600_000) / 30_000) * 30_000;
  for (let ts = from; ts < now - 60_000; ts += 30_000) {
    const ago = Math.floor((now - ts) / 3_600_000);
    if (ago === 3) continue;
    out.push({ ts, level: 70 - ago, heater: ago % 2 === 0, mode: ago < 12 ? "auto" : "hand" });
  }
  return out;
}

export const penOf = (property) => `pen=${lab}/properties/${property}`;

export class Trends {
  /** @param {import("./browser.mjs").Window} window */
  constructor(window) {
    this.window = window;
    this.page = window.page;
    this.panes = this.page.locator(".pane");
    this.rows = this.page.locator("tbody tr");
  }

  /** Waits until every pane has something to show. */
  async drawn() {
    await this.panes.first().locator("canvas").waitFor();
    await this.page.waitForFunction(() => ![...document.querySelectorAll(".pane")].some((p) => p.querySelector(".note")));
  }

  /** Where a share of the width of a pane is, in the plotting area. */
  async point(share, pane = 0) {
    const box = await this.panes.nth(pane).boundingBox();
    const [left, right] = [44, 14]; // the axis and the padding of a chart
    return { x: box.x + left + share * (box.width - left - right), y: box.y + box.height / 2 };
  }

  async hover(share, pane) {
    const { x, y } = await this.point(share, pane);
    await this.page.mouse.move(x, y);
  }

  async drag(from, to, { shift = false } = {}) {
    const [a, b] = [await this.point(from), await this.point(to)];
    if (shift) await this.page.keyboard.down("Shift");
    await this.page.mouse.move(a.x, a.y);
    await this.page.mouse.down();
    await this.page.mouse.move((a.x + b.x) / 2, b.y, { steps: 3 });
    await this.page.mouse.move(b.x, b.y, { steps: 3 });
    await this.page.mouse.up();
    if (shift) await this.page.keyboard.up("Shift");
  }

  /** Waits until the URL says a time that fits, and returns it: { from, to } in ms, or null when it follows the present. */
  async span(fits = () => true) {
    const read = (href) => {
      const query = new URL(href).searchParams;
      return query.has("from") ? { from: Date.parse(query.get("from")), to: Date.parse(query.get("to")) } : null;
    };
    await this.page.waitForURL((url) => fits(read(url.href)));
    return read(this.page.url());
  }

  async menu() {
    await this.page.getByRole("button", { name: /^(More ranges and comparison|Khoảng khác và so sánh)$/ }).click();
    const menu = this.page.getByRole("dialog", { name: /More ranges|Khoảng khác/ });
    await menu.waitFor();
    return menu;
  }

  /** Waits until a cell of the statistics says this. */
  async cell(row, column, text) {
    await this.rows.nth(row).locator("th, td").nth(column).filter({ hasText: text }).waitFor();
  }

  async download(name) {
    const [file] = await Promise.all([this.page.waitForEvent("download"), this.page.getByRole("button", { name, exact: true }).click()]);
    return file;
  }
}

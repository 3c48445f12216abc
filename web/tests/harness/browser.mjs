// Debian's Chromium, and pages that remember what went wrong on them.
import { mkdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { user } from "./server.mjs";

const results = fileURLToPath(new URL("../../test-results/", import.meta.url));
const axePath = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

/** How long a page may take for what it should do soon. Slow machines run these tests too. */
export const PATIENCE = 30_000;

export async function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

export const desktop = { viewport: { width: 1600, height: 1000 } };
export const phone = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };

/** One person's window: a context of its own, in one language and one theme. */
export class Window {
  /** What the console, the policy and the page itself complained about. @type {string[]} */
  complaints = [];

  /**
   * @param {import("playwright-core").Browser} browser
   * @param {{ lang?: "en" | "vi", theme?: "light" | "dark", size?: object }} options
   */
  static async open(browser, url, { lang = "en", theme = "light", size = desktop } = {}) {
    const w = new Window();
    w.url = url;
    w.context = await browser.newContext({
      ...size,
      baseURL: url,
      locale: lang === "vi" ? "vi-VN" : "en-GB",
      colorScheme: theme,
      timezoneId: "Asia/Ho_Chi_Minh",
    });
    w.context.setDefaultTimeout(PATIENCE);
    await w.context.addInitScript(
      ([lang, theme]) => {
        try {
          localStorage.setItem("echotwin.lang", localStorage.getItem("echotwin.lang") ?? lang);
          localStorage.setItem("echotwin.theme", localStorage.getItem("echotwin.theme") ?? theme);
        } catch {
          // about:blank has no storage
        }
        addEventListener("securitypolicyviolation", (e) =>
          console.error(`policy: ${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber} ${e.sample}`),
        );
      },
      [lang, theme],
    );
    w.page = await w.context.newPage();
    w.page.on("console", (m) => {
      if (m.type() === "error" || m.type() === "warning") w.complaints.push(`${m.type()}: ${m.text()} (${m.location().url})`);
    });
    w.page.on("pageerror", (err) => w.complaints.push(`page: ${err.stack ?? err}`));
    return w;
  }

  /** Signs in without the login page, as most tests are not about it. */
  async signIn() {
    const res = await this.context.request.post("/api/login", { data: user });
    if (!res.ok()) throw new Error(`login: ${res.status()} ${await res.text()}`);
  }

  /** What axe finds on the page as it is now, one line for each place. */
  async axe() {
    // As a script tag it would be against the policy, and rightly so.
    await this.page.evaluate(await axeSource());
    const found = await this.page.evaluate(() =>
      window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }),
    );
    if (found.passes.length === 0) throw new Error("axe looked at nothing");
    return found.violations.flatMap((v) => v.nodes.map((n) => `${v.id} (${v.impact}): ${n.target.join(" ")}: ${n.failureSummary}`));
  }

  async screenshot(name) {
    await mkdir(results, { recursive: true });
    const path = `${results}${name.replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 100)}.png`;
    await this.page.screenshot({ path }).catch(() => {});
    return path;
  }

  /** Chromium sometimes never says that a page which was just leaving is closed; it goes with the browser then. */
  async close() {
    await Promise.race([this.context.close(), sleep(10_000, undefined, { ref: false })]);
  }
}

let source;
async function axeSource() {
  return (source ??= await readFile(axePath, "utf8"));
}

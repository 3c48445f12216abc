// What all tests share: one server with the demo line and a scripted model,
// one browser. Each test opens a window of its own and its own helpers.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Window, launch } from "./browser.mjs";
import { Device, conveyor, conveyorTD } from "./device.mjs";
import { Overview } from "./overview.mjs";
import { Proxy } from "./proxy.mjs";
import { Server } from "./server.mjs";
import { Upstream } from "./upstream.mjs";

let shared;

/** The server, the model and the browser; started by the first test that asks. */
export function stage() {
  return (shared ??= begin());
}

async function begin() {
  const upstream = await Upstream.start();
  const server = await Server.start({ OPENAI_BASE_URL: upstream.url, OPENAI_MODEL: "scripted" });
  const browser = await launch();
  return { upstream, server, browser };
}

after(async () => {
  if (!shared) return;
  const { upstream, server, browser } = await shared;
  await browser.close();
  await server.stop();
  await upstream.stop();
});

/**
 * A test with windows. What it opens and starts is closed behind it; when it
 * fails, every window leaves a screenshot. It also fails when a window's
 * console, policy or page complained about anything that the test did not
 * expect (`expectComplaint`).
 * @param {string} name
 * @param {(t: Act) => Promise<void>} play
 */
export function act(name, play) {
  test(name, { timeout: 180_000 }, async () => {
    const a = new Act(await stage());
    try {
      await play(a);
      a.checkComplaints();
    } catch (err) {
      for (const [i, w] of a.windows.entries()) {
        console.error(`${name}: see ${await w.screenshot(i ? `${name} ${i}` : name)}`);
        if (w.complaints.length > 0) console.error(`  the page said:\n    ${w.complaints.join("\n    ")}`);
      }
      throw err;
    } finally {
      await a.end();
    }
  });
}

export class Act {
  /** @type {Window[]} */ windows = [];
  /** @type {(() => Promise<unknown> | unknown)[]} */ #ends = [];
  /** @type {RegExp[]} */ #expected = [];

  constructor({ upstream, server, browser }) {
    this.upstream = upstream;
    this.server = server;
    this.browser = browser;
  }

  /** Does this when the test is over, the last first. */
  onEnd(end) {
    this.#ends.push(end);
  }

  /** Complaints that this test causes on purpose. */
  expectComplaint(...patterns) {
    this.#expected.push(...patterns);
  }

  /** A window that is not signed in. `url` is another server's, or a proxy's. */
  async window(options = {}) {
    const w = await Window.open(this.browser, options.url ?? this.server.url, options);
    this.windows.push(w);
    return w;
  }

  /** A window with the overview, signed in and live. */
  async overview(options = {}) {
    const w = await this.window(options);
    await w.signIn();
    await w.page.goto(options.path ?? "/app");
    const view = new Overview(w);
    await view.live();
    return view;
  }

  /** A server of its own, for one test. */
  async ownServer(env = {}, things = []) {
    const server = await Server.start(env, things);
    this.onEnd(() => server.stop());
    return server;
  }

  /** A server without the demo line, whose only device is in the test's hands. */
  async quietServer(env = {}) {
    const server = await this.ownServer({ ECHOTWIN_DEMO: "false", OPENAI_BASE_URL: this.upstream.url, ...env }, [conveyorTD]);
    const device = await this.device(server, conveyor);
    return { server, device };
  }

  async device(server, thing) {
    const device = await Device.connect(server.mqtt, thing);
    this.onEnd(() => device.end());
    return device;
  }

  /** A line to the server that the test can break. */
  async line(server = this.server) {
    const line = await Proxy.start(server.addr);
    this.onEnd(() => line.stop());
    // What breaks on purpose, the console is allowed to say.
    this.expectComplaint(/net::ERR_|WebSocket connection to/);
    return line;
  }

  checkComplaints() {
    const all = this.windows.flatMap((w) => w.complaints);
    assert.deepEqual(
      all.filter((c) => !this.#expected.some((e) => e.test(c))),
      [],
      "the console is quiet",
    );
  }

  async end() {
    for (const w of this.windows) await w.close();
    for (const end of this.#ends.reverse()) await end();
  }
}

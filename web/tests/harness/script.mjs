// Somebody's script in Node, beside the client as the server serves it.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { PATIENCE } from "./browser.mjs";
import { user } from "./server.mjs";

// Below web/, so that it finds the package ws, which Node 20 needs.
const scripts = fileURLToPath(new URL("../../test-results/", import.meta.url));

export class Script {
  output = "";

  static async start(t, source, server, token) {
    const s = new Script();
    await mkdir(scripts, { recursive: true });
    s.dir = await mkdtemp(join(scripts, "script-"));
    const client = await fetch(`${server.url}/public/echotwin.js`);
    assert.equal(client.status, 200);
    // As `npm init` leaves a folder: a .js file is no module there.
    await writeFile(join(s.dir, "package.json"), '{"type":"commonjs"}');
    await writeFile(join(s.dir, "echotwin.mjs"), await client.text());
    await writeFile(join(s.dir, "script.mjs"), source);
    s.process = spawn(process.execPath, ["script.mjs"], {
      cwd: s.dir,
      env: { PATH: process.env.PATH, ECHOTWIN_URL: server.url, ECHOTWIN_TOKEN: token ?? (await Script.token(server)) },
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const out of [s.process.stdout, s.process.stderr]) out.on("data", (b) => (s.output += b));
    s.gone = once(s.process, "exit");
    t.onEnd(() => s.stop());
    return s;
  }

  /** A token that may read and command, or more. */
  static async token(server, scope = "command") {
    const login = await fetch(`${server.url}/api/login`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(user) });
    const cookie = login.headers.get("set-cookie").split(";")[0];
    const made = await fetch(`${server.url}/api/tokens`, {
      method: "POST",
      headers: { "Content-Type": "application/json", Cookie: cookie },
      body: JSON.stringify({ name: "script", scopes: [scope] }),
    });
    const { token } = await made.json();
    assert.ok(token, `a token, not ${made.status}`);
    return token;
  }

  /** One figure of /metrics. */
  static async metric(server, name) {
    const text = await (await fetch(`${server.url}/metrics`)).text();
    const line = text.split("\n").find((l) => l.startsWith(`${name} `));
    assert.ok(line, `/metrics has ${name}`);
    return Number(line.slice(name.length));
  }

  async says(re) {
    for (const end = Date.now() + PATIENCE; !re.test(this.output); await new Promise((r) => setTimeout(r, 50))) {
      assert.ok(Date.now() < end && this.process.exitCode === null, `the script says ${re}, not\n${this.output}`);
    }
  }

  /** Waits until it has ended by itself. */
  async ends() {
    const late = setTimeout(() => this.process.kill("SIGKILL"), PATIENCE);
    await this.gone;
    clearTimeout(late);
  }

  /** Ends it, and says the code that it had ended with before, or null. */
  async stop() {
    const code = this.process.exitCode;
    if (code === null && this.process.signalCode === null) {
      this.process.kill("SIGKILL");
      await this.gone;
    }
    await rm(this.dir, { recursive: true, force: true });
    return code;
  }
}

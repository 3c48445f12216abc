// Starts the real binary in a folder of its own and waits until it serves.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** The demo login (S13). */
export const user = { username: "admin", password: "123456" };

export class Server {
  /** Free ports can be taken by somebody else before they are used, so it may take another. */
  static async start(env = {}) {
    for (let tries = 1; ; tries++) {
      try {
        return await Server.#start(env);
      } catch (err) {
        if (tries === 3) throw err;
      }
    }
  }

  static async #start(env) {
    const s = new Server();
    const [port, mqtt] = [await freePort(), await freePort()];
    s.addr = `127.0.0.1:${port}`;
    s.url = `http://${s.addr}`;
    s.mqtt = `mqtt://127.0.0.1:${mqtt}`;
    s.dir = await mkdtemp(join(tmpdir(), "echotwin-browser-"));
    s.output = "";
    s.process = spawn(process.env.ECHOTWIN_BIN, {
      cwd: s.dir, // so that no .env of the checkout is read
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        PATH: process.env.PATH,
        HOME: s.dir,
        HOST: "127.0.0.1",
        PORT: String(port),
        ECHOTWIN_DATA: join(s.dir, "data"),
        ECHOTWIN_MQTT_ADDR: `127.0.0.1:${mqtt}`,
        ECHOTWIN_DEMO: "true",
        ECHOTWIN_GPT_PER_MINUTE: "1000",
        DRAIN: "100ms",
        ...env,
      },
    });
    for (const out of [s.process.stdout, s.process.stderr]) {
      out.on("data", (b) => (s.output = (s.output + b).slice(-20_000)));
    }
    s.gone = once(s.process, "exit");
    try {
      await s.#serving();
    } catch (err) {
      await s.stop();
      throw err;
    }
    return s;
  }

  async #serving() {
    for (const end = Date.now() + 60_000; Date.now() < end; await sleep(50)) {
      if (this.process.exitCode !== null) throw new Error(`the server ended with ${this.process.exitCode}:\n${this.output}`);
      const res = await fetch(`${this.url}/readyz`).catch(() => undefined);
      if (res?.ok) return;
    }
    throw new Error(`the server was not ready within 60 s:\n${this.output}`);
  }

  async stop() {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      this.process.kill("SIGTERM");
      const late = setTimeout(() => this.process.kill("SIGKILL"), 15_000);
      await this.gone;
      clearTimeout(late);
    }
    await rm(this.dir, { recursive: true, force: true });
  }
}

async function freePort() {
  const s = createServer().listen(0, "127.0.0.1");
  await once(s, "listening");
  const { port } = s.address();
  s.close();
  await once(s, "close");
  return port;
}

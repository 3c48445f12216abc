// Starts the real binary in a folder of its own and waits until it serves.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** The demo login (S13). */
export const user = { username: "admin", password: "123456" };

/** @type {Set<Server>} Those that a signal would leave behind. */
const running = new Set();
process.on("exit", () => {
  for (const s of running) {
    s.process?.kill("SIGKILL");
    rmSync(s.dir, { recursive: true, force: true });
  }
});
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

export class Server {
  #env = {};
  /** Resolves when the process has ended. */
  #gone = Promise.resolve();

  /**
   * `things` are the descriptions in its data folder. Free ports can be taken by
   * somebody else before they are used, so it may take others.
   */
  static async start(env = {}, things = []) {
    for (let tries = 1; ; tries++) {
      try {
        return await Server.#start(env, things);
      } catch (err) {
        if (tries === 3) throw err;
      }
    }
  }

  static async #start(env, things) {
    const s = new Server();
    const [port, mqtt] = [await freePort(), await freePort()];
    s.addr = `127.0.0.1:${port}`;
    s.url = `http://${s.addr}`;
    s.mqtt = `mqtt://127.0.0.1:${mqtt}`;
    s.dir = await mkdtemp(join(tmpdir(), "echotwin-browser-"));
    running.add(s);
    await mkdir(join(s.dir, "data", "things"), { recursive: true });
    for (const [i, td] of things.entries()) await writeFile(join(s.dir, "data", "things", `${i}.json`), JSON.stringify(td));
    s.#env = {
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
    };
    try {
      await s.#run();
    } catch (err) {
      await s.stop();
      throw err;
    }
    return s;
  }

  /** Ends it as kill -9 does and starts it again, in the same folder and on the same ports. */
  async restart() {
    this.process.kill("SIGKILL");
    await this.#gone;
    await this.#run();
  }

  async #run() {
    this.output = "";
    this.process = spawn(process.env.ECHOTWIN_BIN, {
      cwd: this.dir, // so that no .env of the checkout is read
      stdio: ["ignore", "pipe", "pipe"],
      env: this.#env,
    });
    for (const out of [this.process.stdout, this.process.stderr]) {
      out.on("data", (b) => (this.output = (this.output + b).slice(-20_000)));
    }
    this.#gone = once(this.process, "exit");
    await this.#serving();
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
      await this.#gone;
      clearTimeout(late);
    }
    await rm(this.dir, { recursive: true, force: true });
    running.delete(this);
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

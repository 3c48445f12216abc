// A TCP proxy that stands between the browser and the server and can break the
// line in the two ways that lines break: with a bang, and in silence.
import { connect, createServer } from "node:net";
import { once } from "node:events";

export class Proxy {
  /** @type {Set<import("node:net").Socket>} */ #sockets = new Set();
  /** @type {"open" | "refusing" | "silent" | "gateway"} */ #state = "open";

  /** @param {string} target host:port */
  static async start(target) {
    const [host, port] = target.split(":");
    const p = new Proxy();
    p.server = createServer((client) => p.#join(client, host, Number(port)));
    p.server.listen(0, "127.0.0.1");
    await once(p.server, "listening");
    p.url = `http://127.0.0.1:${p.server.address().port}`;
    return p;
  }

  #join(client, host, port) {
    if (this.#state === "refusing") return client.resetAndDestroy();
    if (this.#state === "gateway") return this.#answer(client);
    const server = connect(port, host);
    for (const [from, to] of [
      [client, server],
      [server, client],
    ]) {
      this.#sockets.add(from);
      from.setNoDelay(true);
      from.on("error", () => {});
      from.on("close", () => {
        this.#sockets.delete(from);
        // In silence nobody learns that the other side has gone.
        if (this.#state === "silent") return;
        to.destroy();
      });
      from.pipe(to);
      if (this.#state === "silent") from.pause();
    }
  }

  /** Resets every connection, and every new one until restore. */
  kill() {
    this.#state = "refusing";
    for (const s of this.#sockets) s.resetAndDestroy();
  }

  /** Cuts every connection and answers new ones as nginx does while the server behind it is away. Waits until one was answered. */
  async badGateway() {
    this.#state = "gateway";
    const answered = new Promise((resolve) => (this.#answered = resolve));
    this.cut();
    await answered;
  }

  #answered = () => {};
  #answer(client) {
    client.on("error", () => {});
    client.once("data", () => {
      client.end("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
      this.#answered();
    });
  }

  /** Resets every connection once; new ones are let through. */
  cut() {
    for (const s of this.#sockets) s.resetAndDestroy();
  }

  /** Connections stay open and carry nothing any more, new ones too. */
  silence() {
    this.#state = "silent";
    for (const s of this.#sockets) s.unpipe();
    for (const s of this.#sockets) s.pause();
  }

  /** The line works again for new connections. What hung in silence is gone, as behind a router that restarted. */
  restore() {
    this.#state = "open";
    for (const s of this.#sockets) s.destroy();
  }

  async stop() {
    this.#state = "refusing";
    for (const s of this.#sockets) s.destroy();
    this.server.close();
  }
}

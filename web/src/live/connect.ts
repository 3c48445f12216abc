import { Connection, protocol, type Options } from "./connection";
import type { SocketLike } from "./socket";

export interface ConnectOptions extends Pick<Options, "token" | "staleAfter"> {
  /** Where the runtime has none of its own, as in Node 20: `import WebSocket from "ws"`. */
  WebSocket?: new (url: string, protocols?: string) => unknown;
}

/**
 * Connects to a server, such as "https://twin.example.com"; left out, to the one
 * that the page is from. A `?ticket=` in the address is passed on.
 */
export function connect(server: string | URL = location.origin, options: ConnectOptions = {}): Connection {
  const { WebSocket = globalThis.WebSocket, ...rest } = options;
  if (!WebSocket) throw new TypeError('this runtime has no WebSocket; pass one, such as that of the package ws: connect(url, { WebSocket })');
  const url = socketURL(server);
  const connection = new Connection({ ...rest, url: () => url, open: (u) => new WebSocket(u, protocol) as SocketLike });
  connection.start();
  return connection;
}

/** The address of /ws at a server, whose own address may have a path before it. */
export function socketURL(server: string | URL): string {
  const url = new URL(server);
  if (!/^(http|ws)s?:$/.test(url.protocol)) throw new TypeError(`${url.protocol} is no way to a server; want https:// or http://`);
  url.protocol = url.protocol.replace("http", "ws");
  url.hash = "";
  if (!url.pathname.endsWith("/ws")) url.pathname = url.pathname.replace(/\/?$/, "/ws");
  return url.href;
}

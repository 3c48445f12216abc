import type { OpenSocket, SocketLike } from "../socket";

type Message = Record<string, unknown>;

/** One end of a socket, held by the test. */
export class FakeSocket implements SocketLike {
  readyState = 1;
  onmessage: SocketLike["onmessage"] = null;
  onclose: SocketLike["onclose"] = null;
  onerror: SocketLike["onerror"] = null;
  /** What the client has sent. */
  sent: Message[] = [];
  /** When set, nothing goes either way: the wire is cut, and nobody is told. */
  cut = false;
  /** What the server does with each frame. */
  serve: (m: Message) => void = (m) => m.type === "ping" && this.say({ type: "pong", id: m.id });

  constructor(readonly url: string) {}

  send(text: string): void {
    const message = JSON.parse(text) as Message;
    this.sent.push(message);
    if (!this.cut) this.serve(message);
  }
  close(): void {
    this.readyState = 3;
  }

  say(frame: Message): void {
    if (!this.cut) this.onmessage?.({ data: JSON.stringify(frame) });
  }
  end(code: number, reason = ""): void {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }
  /** Frames of a kind that the client has sent. */
  of(type: string): Message[] {
    return this.sent.filter((m) => m.type === type);
  }
}

/** Opens FakeSockets and remembers them. */
export class FakeServer {
  sockets: FakeSocket[] = [];
  open: OpenSocket = (url) => {
    const socket = new FakeSocket(url);
    this.sockets.push(socket);
    return socket;
  };
  get last(): FakeSocket {
    return this.sockets.at(-1)!;
  }
}

export const hello = (epoch = "k3f9", seq = 100) => ({ type: "hello", v: 1, epoch, seq, user: "ana", ping: 25 });

/** The answer to the nth sub of a connection, called s<n>. */
export const snapshot = (seq: number, things: Message, more = false, n = 1) => ({
  type: "snapshot", id: `sub-${n}`, sub: `s${n}`, epoch: "k3f9", seq, matched: Object.keys(things).length, hidden: 0, more, things,
});

export const update = (prev: number, seq: number, things: Message) => ({ type: "update", prev, seq, merged: 1, things });

export const resumed = (seq: number, subs = ["s1"], mode = "delta") => ({ type: "resumed", mode, seq, subs });

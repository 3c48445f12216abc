// A language model's server by script: OpenAI-compatible chat completions over
// real HTTP. A test says what is answered to questions that hold some words,
// and may hold back each word until the page has shown the one before.
import { createServer } from "node:http";
import { once } from "node:events";

/** @typedef {(r: Reply) => Promise<void>} Script */

/** One request of the assistant, and the way to answer it. */
export class Reply {
  /** @type {import("node:http").ServerResponse} */ #res;
  #closed = false;

  constructor(body, res) {
    /** All messages that were sent, as OpenAI names them. */
    this.messages = body.messages;
    this.model = body.model;
    this.tools = (body.tools ?? []).map((t) => t.function.name);
    /** Whether a tool has answered already, so that this is the round after it. */
    this.afterTool = body.messages.at(-1)?.role === "tool";
    this.#res = res;
    /** Resolves when the assistant left, done or not. */
    this.closed = once(res, "close").then(() => void (this.#closed = true));
  }

  get left() {
    return this.#closed;
  }

  #chunk(delta, finish = null) {
    if (this.#closed) return;
    if (!this.#res.headersSent) this.#res.writeHead(200, { "Content-Type": "text/event-stream" });
    const chunk = { id: "chat-1", object: "chat.completion.chunk", created: 1, model: this.model };
    this.#res.write(`data: ${JSON.stringify({ ...chunk, choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`);
  }

  /** One token, or several. */
  say(text) {
    this.#chunk({ content: text });
  }

  call(name, args) {
    const fn = { name, arguments: JSON.stringify(args) };
    this.#chunk({ tool_calls: [{ index: 0, id: `call_${Math.random().toString(36).slice(2)}`, type: "function", function: fn }] });
    this.#end("tool_calls");
  }

  done() {
    this.#end("stop");
  }

  #end(finish) {
    this.#chunk({}, finish);
    if (this.#closed) return;
    const usage = { prompt_tokens: 300, completion_tokens: 112, total_tokens: 412 };
    this.#res.write(`data: ${JSON.stringify({ id: "chat-1", object: "chat.completion.chunk", created: 1, model: this.model, choices: [], usage })}\n\n`);
    this.#res.end("data: [DONE]\n\n");
  }

  /** Ends the connection in the middle of everything. */
  cut() {
    this.#res.destroy();
  }

  fail(status, message) {
    this.#res.writeHead(status, { "Content-Type": "application/json" });
    this.#res.end(JSON.stringify({ error: { message, type: "test" } }));
  }
}

export class Upstream {
  /** @type {Map<string, Script>} */ #scripts = new Map();
  /** Every request so far. @type {Reply[]} */
  requests = [];

  static async start() {
    const u = new Upstream();
    u.server = createServer((req, res) => u.#serve(req, res));
    u.server.listen(0, "127.0.0.1");
    await once(u.server, "listening");
    u.url = `http://127.0.0.1:${u.server.address().port}/v1`;
    return u;
  }

  /** Answers questions that hold `words` by the script. */
  on(words, script) {
    this.#scripts.set(words, script);
  }

  async stop() {
    this.server.close();
    this.server.closeAllConnections();
  }

  async #serve(req, res) {
    let body = "";
    for await (const piece of req) body += piece;
    if (req.method !== "POST" || !req.url.endsWith("/chat/completions")) {
      res.writeHead(404).end("{}");
      return;
    }
    const reply = new Reply(JSON.parse(body), res);
    this.requests.push(reply);
    const question = String(reply.messages.findLast((m) => m.role === "user")?.content ?? "");
    for (const [words, script] of this.#scripts) {
      if (question.includes(words)) return script(reply);
    }
    reply.say("I was not told what to say to this.");
    reply.done();
  }
}

/** A gate that a test opens one step at a time. */
export function gate() {
  let count = 0;
  const waiting = [];
  return {
    /** Lets `n` more steps through. */
    step(n = 1) {
      for (; n > 0; n--) {
        const next = waiting.shift();
        if (next) next();
        else count++;
      }
    },
    /** Waits for one step. */
    pass() {
      if (count > 0) {
        count--;
        return Promise.resolve();
      }
      return new Promise((resolve) => waiting.push(resolve));
    },
  };
}

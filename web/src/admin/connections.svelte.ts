import { ApiError, get, remove } from "../app/api";

/** One subscription of a connection. */
export interface Subscription {
  id: string;
  path: string;
  fields?: string[];
  rate: number;
  things: number;
}

/** An open connection, as GET /api/connections tells it. */
export interface Row {
  id: string;
  /** "" until somebody has signed in. */
  user: string;
  address: string;
  agent: string;
  transport: string;
  since: string;
  closing: boolean;
  /** Of the session that asks. */
  own: boolean;
  subscriptions: Subscription[];
  lag: { seq: number; ms: number; facts: number };
  /** ms since its socket took the last byte; 0 while it takes some. */
  stalled: number;
  bytes: number;
  merged: number;
  missed: number;
}

/** How many are shown on one page. */
export const most = 200;

/** One page of the list, read anew every so often while somebody looks. */
export class Connections {
  rows = $state.raw<Row[]>([]);
  /** There are more behind this page. */
  more = $state(false);
  /** Only of this user; "": of all. */
  user = $state("");
  /** The last of each page before this one. Ids go up, and one goes on to mark its place when it has ended. */
  before = $state.raw<string[]>([]);
  /** When the list was read, ms; 0 before the first answer. */
  readAt = $state(0);
  /** Why the last attempt failed. */
  problem = $state<ApiError | null>(null);
  #asked = 0;

  async read(): Promise<void> {
    const asked = ++this.#asked;
    const query = new URLSearchParams({ limit: String(most + 1) });
    if (this.user) query.set("user", this.user);
    const after = this.before.at(-1);
    if (after) query.set("after", after);
    try {
      const rows = (await get(`/api/connections?${query}`)) as Row[];
      if (asked !== this.#asked) return; // another question was asked meanwhile
      this.rows = rows.slice(0, most);
      this.more = rows.length > most;
      this.readAt = Date.now();
      this.problem = null;
    } catch (err) {
      if (asked !== this.#asked) return;
      if (after && err instanceof ApiError && err.status === 400) return this.first(); // the server has restarted, and its ids are others
      this.problem = err instanceof ApiError ? err : new ApiError(0, { message: String(err) });
    }
  }

  /** The first page, of all or of one user. */
  first(user = this.user): Promise<void> {
    this.user = user;
    this.before = [];
    return this.read();
  }

  next(): Promise<void> {
    const last = this.rows.at(-1);
    if (this.more && last) this.before = [...this.before, last.id];
    return this.read();
  }

  previous(): Promise<void> {
    this.before = this.before.slice(0, -1);
    return this.read();
  }

  /** Closes one; false when it had ended already. */
  async close(row: Row, reason: string, never: boolean): Promise<boolean> {
    const query = new URLSearchParams();
    if (reason.trim()) query.set("reason", reason.trim());
    if (never) query.set("reconnectIn", "never");
    const gone = await remove(`/api/connections/${encodeURIComponent(row.id)}?${query}`).then(
      () => true,
      (err: unknown) => {
        if (err instanceof ApiError && err.status === 404) return false;
        throw err;
      },
    );
    await this.read();
    return gone;
  }
}

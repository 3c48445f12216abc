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

/** How many are shown at once. */
export const most = 200;

/** The list, read anew every so often while somebody looks. */
export class Connections {
  rows = $state.raw<Row[]>([]);
  /** There are more than are shown. */
  more = $state(false);
  /** Only of this user; "": of all. */
  user = $state("");
  /** When the list was read, ms; 0 before the first answer. */
  readAt = $state(0);
  /** Why the last attempt failed. */
  problem = $state<ApiError | null>(null);
  #asked = 0;

  async read(): Promise<void> {
    const asked = ++this.#asked;
    const query = new URLSearchParams({ limit: String(most + 1) });
    if (this.user) query.set("user", this.user);
    try {
      const rows = (await get(`/api/connections?${query}`)) as Row[];
      if (asked !== this.#asked) return; // another question was asked meanwhile
      this.rows = rows.slice(0, most);
      this.more = rows.length > most;
      this.readAt = Date.now();
      this.problem = null;
    } catch (err) {
      if (asked === this.#asked) this.problem = err instanceof ApiError ? err : new ApiError(0, { message: String(err) });
    }
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

import { getPage } from "./api";

/** A list that the server gives page by page, as far as it was read. */
export class Paged<Row> {
  rows = $state.raw<readonly Row[]>([]);
  problem = $state("");
  loading = $state(false);
  /** Where the list goes on; "" at its end. */
  more = $state("");
  #asked = 0; // counts requests, so that the answer to an old one is thrown away

  /** Reads a page. `rows` makes of it what is shown then, with what came while it was read. */
  protected async read(url: string, rows: (page: Row[]) => readonly Row[]): Promise<void> {
    const ask = ++this.#asked;
    this.loading = true;
    try {
      const { list, next } = await getPage<Row>(url);
      if (ask !== this.#asked) return;
      this.rows = rows(list);
      this.more = next;
      this.problem = "";
    } catch (err) {
      if (ask === this.#asked) this.problem = err instanceof Error ? err.message : String(err);
    } finally {
      if (ask === this.#asked) this.loading = false;
    }
  }
}

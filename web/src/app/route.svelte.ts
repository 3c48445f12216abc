const ranges = [1, 5, 10] as const;
export type Minutes = (typeof ranges)[number];

/**
 * What is on the screen, as the URL says it: /app?thing=plant/line1/conveyor-2&range=5.
 * A link shows the same, and Back goes back.
 */
class Route {
  thing = $state("");
  range = $state<Minutes>(5);

  constructor() {
    this.#read();
    addEventListener("popstate", () => this.#read());
  }

  selectThing(id: string): void {
    if (id === this.thing) return;
    this.thing = id;
    this.#write(true);
  }

  selectRange(minutes: Minutes): void {
    this.range = minutes;
    this.#write(false);
  }

  #read(): void {
    const query = new URLSearchParams(location.search);
    this.thing = query.get("thing") ?? "plant/line1/conveyor-2";
    this.range = ranges.find((r) => r === Number(query.get("range"))) ?? 5;
  }

  #write(push: boolean): void {
    const query = new URLSearchParams(location.search);
    query.set("thing", this.thing);
    if (this.range === 5) query.delete("range");
    else query.set("range", String(this.range));
    // A path stays readable: slashes need no escape in a query.
    const url = `${location.pathname}?${query.toString().replaceAll("%2F", "/")}`;
    if (push) history.pushState(null, "", url);
    else history.replaceState(null, "", url);
  }
}

export const route = new Route();
export { ranges };

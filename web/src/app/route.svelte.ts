import { comeBack, leave, toTop } from "./scrolled";
import { compareCode, compareOf, lengthOf, codeOf, momentOf, momentText, type Compare, type Span } from "../trend/range";

const address = () => location.pathname + location.search;

/** The pages that exist, by the last part of their path. */
const pages = ["overview", "things", "thing", "alarms", "history", "commands", "connections", "notify", "accounts"] as const;
export type Page = (typeof pages)[number];
/** "nowhere" is the page of an address that none is at. */
type Shown = Page | "nowhere";

/** Which time the trends of a page show. */
export interface TimeState {
  home: number;
  span: Span | null;
  compare: Compare;
}

const tenMinutes = 600_000;

/**
 * What is on the screen, as the URL says it, such as
 * /app?thing=plant/line1/conveyor-2&range=1h. A link shows the same, and Back
 * goes back.
 */
class Route {
  page = $state<Shown>("overview");
  thing = $state("");
  /** The thing that the page of one thing is about: what follows /app/things/. */
  about = $state("");
  /** Everything that the URL says. A new object when it changed by Back, Forward or a link. */
  query = $state.raw(new URLSearchParams());

  constructor() {
    this.#read();
    addEventListener("popstate", () => {
      this.#read();
      comeBack(address());
    });
  }

  /** A thing is shown on the overview. */
  selectThing(id: string): void {
    if (id === this.thing && this.page === "overview") return;
    if (this.page === "overview") this.set({ thing: id }, true);
    else this.go("overview", { thing: id });
    this.thing = id;
  }

  /** Shows another page, with nothing of the URL of this one but the moment of a replay. */
  go(page: Page, query: Record<string, string | string[]> = {}, about = ""): void {
    const here = new URLSearchParams(location.search);
    const kept = Object.fromEntries([...here].filter(([name]) => name === "at" || name === "speed"));
    leave(address());
    history.pushState(null, "", hrefOf(page, { ...query, ...kept }, about));
    this.#read();
    toTop();
  }

  /** Shows another moment on this page, as the present's own address or a replay's; null is the present. */
  moment(at: number | null): void {
    this.set({ at: at === null ? null : momentText(at), speed: null }, true);
    this.#read();
  }

  /** Changes parts of the URL; null or nothing takes a part away. The page itself has changed already. */
  set(changes: Record<string, string | readonly string[] | null>, push = false): void {
    const query = new URLSearchParams(location.search);
    for (const [name, value] of Object.entries(changes)) {
      query.delete(name);
      for (const one of value === null ? [] : [value].flat()) query.append(name, one);
    }
    const url = location.pathname + text(query);
    if (url === location.pathname + location.search) return;
    if (push) history.pushState(null, "", url);
    else history.replaceState(null, "", url);
  }

  get time(): TimeState {
    const { query } = this;
    const [from, to] = [momentOf(query.get("from")), momentOf(query.get("to"))];
    return { home: lengthOf(query.get("range")) ?? tenMinutes, span: from < to ? { from, to } : null, compare: compareOf(query.get("compare")) };
  }

  setTime({ home, span, compare }: TimeState): void {
    this.set({
      range: home === tenMinutes ? null : codeOf(home),
      from: span && momentText(span.from),
      to: span && momentText(span.to),
      compare: compareCode(compare) || null,
    });
  }

  #read(): void {
    const query = new URLSearchParams(location.search);
    const [, , name, ...rest] = location.pathname.split("/");
    const about = rest.filter(Boolean).map(decoded).join("/");
    this.query = query;
    this.about = name === "things" ? about : "";
    this.page = this.about ? "thing" : !name ? "overview" : (pages.find((p) => p === name && p !== "thing") ?? "nowhere");
    this.thing = query.get("thing") ?? "plant/line1/conveyor-2";
  }
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // no address of ours; then there is no such thing
  }
}

/** Where a page is; that of one thing is below the list of all. */
export function hrefOf(page: Page, query: Record<string, string | string[]> = {}, about = ""): string {
  const all = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) for (const one of [value].flat()) all.append(name, one);
  const path = page === "overview" ? "/app" : page === "thing" ? `/app/things/${about.split("/").map(encodeURIComponent).join("/")}` : `/app/${page}`;
  return path + text(all);
}

/** A path and a time stay readable: slashes and colons need no escape in a query. */
function text(query: URLSearchParams): string {
  const said = query.toString().replaceAll("%2F", "/").replaceAll("%3A", ":");
  return said && `?${said}`;
}

/** For a link inside the application: an ordinary click changes the page without loading it; others are the browser's. */
export function follow(e: MouseEvent, page: Page, query: Record<string, string | string[]> = {}, about = ""): void {
  if (e.button !== 0 || e.ctrlKey || e.metaKey || e.shiftKey || e.altKey) return;
  e.preventDefault();
  route.go(page, query, about);
}

export const route = new Route();

// Makes a drawing live: reads its data attributes once, then writes what
// changed at each paint. The attributes are explained in line.svg.
import { priorityOf, type Reading } from "../model/reading";
import { valueBox } from "./box";

/** What a drawing needs to know of the world. */
export interface Source {
  read(thing: string, property: string): Reading;
  /** Texts in the language in use. */
  title(thing: string): string;
  tag(thing: string): string;
  text(reading: Reading): string;
  unit(reading: Reading): string;
  /** How old the reading is, as text. */
  age(reading: Reading): string;
}

export interface Drawing {
  /** Brings everything in the drawing up to what the source says now. */
  paint(selected: string): void;
}

type Painter = (source: Source, selected: string) => void;
type Kind = (element: SVGElement, thing: string, property: string) => Painter;

/** The kinds of data-as. Without one a group is a value box and a text is the bare value. */
const kinds: Record<string, Kind> = {
  box: (element, thing, property) => {
    const show = valueBox(element);
    return (source) => show(source.read(thing, property), source);
  },
  text: (element, thing, property) => (source) => setText(element, source.text(source.read(thing, property))),
  running: (element, thing, property) => (source) => {
    const { value, stale } = source.read(thing, property);
    element.classList.toggle("stop", value === false && !stale);
    element.classList.toggle("unknown", value === undefined || stale);
  },
  level: (element, thing, property) => level(element, thing, property),
  alarm: (element, thing, property) => (source) => {
    const priority = priorityOf(source.read(thing, property));
    for (const p of [1, 2, 3, 4]) element.classList.toggle(`a${p}`, p === priority);
  },
};

/** Binds a drawing; `select` is called with the id of a thing that was clicked or chosen by key. */
export function bind(root: SVGElement, source: Source, select: (thing: string) => void): Drawing {
  const painters: Painter[] = [];
  for (const element of root.querySelectorAll<SVGElement>("[data-bind]")) {
    const [thing = "", property = ""] = (element.dataset.bind ?? "").split("#");
    const kind = kinds[element.dataset.as ?? (element.localName === "text" ? "text" : "box")];
    if (kind && property) painters.push(kind(element, thing, property));
  }
  for (const element of root.querySelectorAll<SVGElement>("[data-title]")) {
    painters.push((s) => setText(element, s.title(element.dataset.title ?? "")));
  }
  for (const element of root.querySelectorAll<SVGElement>("[data-tag]")) {
    painters.push((s) => setText(element, s.tag(element.dataset.tag ?? "") || (element.textContent ?? "")));
  }
  for (const element of root.querySelectorAll<SVGElement>("[data-thing]")) painters.push(selectable(element, select));
  return { paint: (selected) => painters.forEach((paint) => paint(source, selected)) };
}

/** Every thing that a drawing shows. */
export function thingsIn(root: SVGElement): Set<string> {
  const ids = new Set<string>();
  for (const e of root.querySelectorAll<SVGElement>("[data-thing]")) ids.add(e.dataset.thing ?? "");
  for (const e of root.querySelectorAll<SVGElement>("[data-bind]")) ids.add(e.dataset.bind?.split("#")[0] ?? "");
  return ids;
}

function selectable(element: SVGElement, select: (thing: string) => void): Painter {
  const thing = element.dataset.thing ?? "";
  element.classList.add("thing");
  element.setAttribute("role", "button");
  element.setAttribute("tabindex", "0");
  element.addEventListener("click", () => select(thing));
  element.addEventListener("keydown", (e) => {
    if (e.key !== "Enter" && e.key !== " ") return;
    e.preventDefault(); // Space would scroll
    select(thing);
  });
  // Its name is what stands in it: tag, title and values.
  return (_source, selected) => {
    setAttribute(element, "aria-pressed", String(thing === selected));
    element.classList.toggle("sel", thing === selected);
  };
}

/** A rect as drawn is full; its value between minimum and maximum says how much of it is. */
function level(element: SVGElement, thing: string, property: string): Painter {
  const y = Number(element.getAttribute("y"));
  const full = Number(element.getAttribute("height"));
  return (source) => {
    const { value, property: p } = source.read(thing, property);
    const low = p.minimum ?? 0;
    const high = p.maximum ?? 100;
    const part = typeof value === "number" ? Math.min(1, Math.max(0, (value - low) / (high - low))) : 0;
    setAttribute(element, "height", (full * part).toFixed(1));
    setAttribute(element, "y", (y + full * (1 - part)).toFixed(1));
  };
}

export function setText(element: Element, text: string): void {
  const node = element.firstChild;
  if (!node) element.append(text);
  else if (node.nodeValue !== text) node.nodeValue = text; // a new node each time would be garbage at 4 Hz
}

export function setAttribute(element: Element, name: string, value: string): void {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

import { priorityOf, type Reading } from "../model/reading";
import { shapes } from "../ui/priority";
import { setText, type Source } from "./bind";

const ns = "http://www.w3.org/2000/svg";

/**
 * Builds a value box into a group: its tag above, a frame, the value with its
 * unit at the right, and above the right corner the age of an old value or the
 * priority of an abnormal one. Gives the function that shows a reading in it.
 */
export function valueBox(group: SVGElement): (reading: Reading, source: Source) => void {
  const width = Number(group.dataset.width) || 76;
  const tag = make("text", { class: "t", y: "-4" });
  const frame = make("rect", { class: "b", width: String(width), height: "20", rx: "3" });
  const text = make("text", { class: "vu", x: String(width - 6), y: "14.5", "text-anchor": "end" });
  const value = make("tspan", { class: "v" });
  const unit = make("tspan", { class: "u", dx: "3" });
  const age = make("text", { class: "age", x: String(width), y: "-4", "text-anchor": "end" });
  const sign = make("svg", { class: "pri", x: String(width - 15), y: "-17", width: "14", height: "14", viewBox: "0 0 16 16" });
  const shape = make("path", {});
  const digit = make("text", { x: "8" });
  text.append(value, unit);
  sign.append(shape, digit);
  group.classList.add("tv");
  group.append(tag, frame, text, age, sign);

  let shown: number | undefined;
  return (reading, source) => {
    setText(tag, reading.property.tag || source.title(reading.thing));
    setText(value, source.text(reading));
    setText(unit, reading.value === undefined ? "" : source.unit(reading));
    setText(age, reading.stale ? source.age(reading) : "");
    group.classList.toggle("stale", reading.stale || reading.value === undefined);
    const priority = priorityOf(reading);
    if (priority === shown) return;
    for (const p of [1, 2, 3, 4]) group.classList.toggle(`a${p}`, p === priority);
    sign.toggleAttribute("hidden", priority === 0);
    if (priority !== 0) {
      shape.setAttribute("d", shapes[priority].path);
      shape.setAttribute("class", `p${priority}f`);
      digit.setAttribute("y", String(shapes[priority].y));
      setText(digit, String(priority));
    }
    shown = priority;
  };
}

function make(name: string, attributes: Record<string, string>): SVGElement {
  const element = document.createElementNS(ns, name) as SVGElement;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

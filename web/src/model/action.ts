// What the dashboard reads out of an action of a Thing Description: the inputs
// that a person can give it on the screen, from its JSON Schema.
import { decimalsOf, locale } from "../i18n";
import type { Json } from "../live";
import { both, number, object, text, titles, type Members, type Titles } from "./members";
import { asWritten } from "./units";

/** One value that an action takes. */
export interface Input {
  /** Its member of the input; "" when the input is this value itself. */
  name: string;
  titles: Titles;
  /** choice: one of `choices`; json: something that has members of its own. */
  kind: "number" | "integer" | "boolean" | "choice" | "text" | "json";
  unit: string;
  minimum?: number;
  maximum?: number;
  step?: number;
  maxLength?: number;
  choices: readonly Json[];
  required: boolean;
  /** What it is when nobody says otherwise. */
  initial?: Json;
}

/** A number with both limits: it is set on a scale. */
export type Ranged = Input & { minimum: number; maximum: number; step: number };

export interface Action {
  name: string;
  titles: Titles;
  /** What it takes; none: it takes nothing. */
  inputs: readonly Input[];
  /** Its only input, when that is a number between two limits. */
  ranged: Ranged | null;
  /** Of its only input, "" when there are several. */
  unit: string;
  /** The property in which its effect is seen, "" when the description names none. */
  feedback: string;
  risk: "low" | "confirm" | "high";
  /** What the conditions that must hold are called, in their order; "" when only their text says it. */
  interlocks: Titles[];
}

export function readAction(name: string, o: Members): Action {
  const inputs = readInputs(o.input);
  const only = inputs.length === 1 ? inputs[0]! : undefined;
  return {
    name,
    titles: titles(o, name),
    inputs,
    ranged: only && isRanged(only) ? { ...only, step: only.step ?? stepOf(only) } : null,
    unit: only?.unit ?? "",
    feedback: text(o["echotwin:feedback"]) || text(object(o["echotwin:feedback"]).property),
    risk: o["echotwin:risk"] === "confirm" || o["echotwin:risk"] === "high" ? o["echotwin:risk"] : "low",
    interlocks: Array.isArray(o["echotwin:interlocks"]) ? o["echotwin:interlocks"].map((lock) => messages(object(lock))) : [],
  };
}

/** Whole numbers where there are many of them between the limits, else hundredths of the way, such as 0.01 from 0 to 1. */
function stepOf({ kind, minimum = 0, maximum = 0 }: Input): number {
  const way = maximum - minimum;
  return kind === "integer" || way >= 20 || way <= 0 ? 1 : Number(`1e${Math.floor(Math.log10(way / 100))}`);
}

/** The value on the scale that is next to it. */
export function onStep({ step }: Ranged, value: number): number {
  return Number((Math.round(value / step) * step).toFixed(stepDecimals(step)));
}

/** So many decimals tell the step of a scale. */
export function stepDecimals(step: number): number {
  return Math.min(20, Math.max(decimalsOf(step), -Math.floor(Math.log10(step))));
}

function isRanged(input: Input): input is Ranged {
  return (input.kind === "number" || input.kind === "integer") && input.minimum !== undefined && input.maximum !== undefined;
}

function readInputs(schema: unknown): Input[] {
  const o = object(schema);
  if (Object.keys(o).length === 0) return [];
  const members = Object.entries(object(o.properties));
  if (members.length === 0) return [readInput("", o, true)];
  const required = new Set(Array.isArray(o.required) ? o.required : members.length === 1 ? [members[0]![0]] : []);
  return members.map(([name, s]) => readInput(name, object(s), required.has(name)));
}

function readInput(name: string, s: Members, required: boolean): Input {
  const choices = Array.isArray(s.enum) ? (s.enum as Json[]) : "const" in s ? [s.const as Json] : [];
  const minimum = number(s.minimum);
  const maximum = number(s.maximum);
  return {
    name,
    titles: titles(s, name),
    kind: choices.length > 0 ? "choice" : kindOf(text(s.type) || (minimum === undefined && maximum === undefined ? "" : "number")),
    unit: asWritten(text(s.unit)),
    minimum,
    maximum,
    step: number(s.multipleOf),
    maxLength: number(s.maxLength),
    choices,
    required,
    initial: (s.default ?? s.const) as Json | undefined,
  };
}

function kindOf(type: string): Input["kind"] {
  switch (type) {
    case "number":
    case "integer":
    case "boolean":
      return type;
    case "string":
      return "text";
    default:
      return "json";
  }
}

function messages(lock: Members): Titles {
  return both(object(lock.messages), text(lock.message));
}

/**
 * What a person typed, as the value that it means. Undefined: it means none,
 * or not one that the action takes.
 */
export function inputValue(input: Input, typed: string): Json | undefined {
  const said = typed.trim();
  switch (input.kind) {
    case "choice":
      return input.choices.find((choice) => JSON.stringify(choice) === said);
    case "boolean":
      return said === "true" ? true : said === "false" ? false : undefined;
    case "number":
    case "integer": {
      const n = Number(locale.lang === "vi" ? said.replace(",", ".") : said); // 1,5 is what the keyboard of a phone offers there
      const wrong = said === "" || !Number.isFinite(n) || (input.kind === "integer" && !Number.isInteger(n));
      return wrong || n < (input.minimum ?? -Infinity) || n > (input.maximum ?? Infinity) ? undefined : n;
    }
    case "text":
      return said === "" || [...typed].length > (input.maxLength ?? Infinity) ? undefined : typed; // what is cut in silence is not what was meant
    case "json":
      try {
        return JSON.parse(said) as Json;
      } catch {
        return undefined;
      }
  }
}

/** How a value is typed, the other way round. */
export function typedValue(input: Input, value: Json | undefined): string {
  if (value === undefined) return "";
  return input.kind === "text" && typeof value === "string" ? value : JSON.stringify(value);
}

/** The whole input out of its values, those left out left out. */
export function wholeInput(action: Action, values: ReadonlyMap<string, Json>): Json {
  if (action.inputs.length === 0) return null;
  const only = action.inputs[0]!;
  return only.name === "" ? (values.get("") ?? null) : Object.fromEntries(values);
}

/** The values of an input, with what the description says of each, if it does. */
export function valuesOf(action: Action | undefined, input: Json): { name: string; value: Json; input?: Input }[] {
  const members: [string, Json][] =
    typeof input === "object" && input !== null && !Array.isArray(input) && action?.inputs[0]?.name !== "" ? Object.entries(input) : input === null ? [] : [["", input]];
  return members.map(([name, value]) => ({ name, value, input: action?.inputs.find((i) => i.name === name) }));
}

import { unescaped } from "./json";

/** What GET /api/models/{id}/uses says. */
export interface Use {
  model: string;
  title?: string;
  problem?: string;
  placeholders: Placeholder[];
  /** JSON pointers to what a thing may leave out. */
  optional: string[];
  things: string[];
  hidden: number;
  models: string[];
  source?: string;
}

export interface Placeholder {
  name: string;
  at: string[];
  type: "string" | "number" | "boolean";
  default?: unknown;
}

/** The name of a model, of its id. */
export function nameOf(model: { id: string }): string {
  return model.id.replace(/^urn:echotwin:model:/, "");
}

/** The description of a thing that is made of a model, of what somebody filled in. */
export function instanceOf(id: string, use: Use, given: Readonly<Record<string, string | boolean>>, without: Readonly<Record<string, boolean>>): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const p of use.placeholders) {
    const v = given[p.name];
    if (v === undefined || v === "") {
      if (p.type === "boolean" && p.default === undefined) values[p.name] = false;
      continue;
    }
    values[p.name] = p.type === "number" && typeof v === "string" ? numberOf(v) : v;
  }
  const out: Record<string, unknown> = { id, "echotwin:model": use.model, "echotwin:values": values };
  for (const pointer of use.optional.filter((p) => without[p])) {
    const [, sort = "", name = ""] = pointer.split("/");
    const of = (out[sort] ??= {}) as Record<string, unknown>;
    of[unescaped(name)] = null;
  }
  return out;
}

/** A number as people write it; what is none stays a text, and the server says so. */
function numberOf(text: string): number | string {
  const plain = text.trim().replace(",", ".");
  return plain !== "" && Number.isFinite(Number(plain)) ? Number(plain) : text;
}

import type { Alarm } from "../alarms/alarm";

type Step = Alarm["step"];

/** A channel, as the API has it. */
export interface Channel {
  id: string;
  name: string;
  kind: "webhook" | "email";
  enabled: boolean;
  url?: string;
  addresses?: string[];
  things?: string[];
  priority: 1 | 2 | 3 | 4;
  steps: Step[];
  perMinute: number;
  locale: "en" | "vi";
  off?: { at: string; why: string };
  /** Only in the answer that made it. */
  secret?: string;
}

/** A message on its way, or what became of it. */
export interface Delivery {
  id: string;
  kind: "alarm" | "alarms" | "lost" | "test";
  status: "waiting" | "sending" | "delivered" | "failed" | "dropped";
  created: string;
  attempts: number;
  count: number;
  next?: string;
  code?: number;
  error?: string;
  thing?: string;
  step?: Step;
  mailboxes?: Record<string, string>;
}

/** What people call a channel: its name, or where it leads. */
export function titleOf(c: Pick<Channel, "name" | "url" | "addresses">): string {
  return c.name || c.url || (c.addresses ?? []).join(", ");
}

/** What a form says, as the API takes it. */
export function draftOf(form: FormData): Record<string, unknown> {
  const list = (name: string) => String(form.get(name) ?? "").split(/[\s,;]+/).filter(Boolean);
  const email = form.get("kind") === "email";
  const things = list("things");
  return {
    kind: form.get("kind"),
    name: form.get("name"),
    ...(email ? { addresses: list("addresses") } : { url: String(form.get("url") ?? "").trim() }),
    ...(things.length ? { things } : {}),
    priority: Number(form.get("priority")),
    perMinute: Number(form.get("perMinute")),
    locale: form.get("locale"),
    steps: form.getAll("steps"),
    enabled: form.has("enabled"),
    ...(form.has("newSecret") ? { secret: "new" } : {}),
  };
}

/** Why an attempt failed: what was said of it, or what of its mailboxes. */
export function whyOf(d: Delivery): string {
  return d.error || Object.entries(d.mailboxes ?? {}).filter(([, why]) => why).map(([to, why]) => `${to}: ${why}`).join("; ");
}

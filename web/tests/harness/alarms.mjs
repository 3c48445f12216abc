// Pumps whose readings raise alarms, in the test's hands.
import assert from "node:assert/strict";

export const pump = "plant/line1/pump-9";

const context = ["https://www.w3.org/2019/wot/td/v1", "https://www.w3.org/2022/wot/td/v1.1", { echotwin: "urn:echotwin:td#" }];

/** A description with limits, an event that is an alarm, and one that is expected while the pump stands. */
export function pumpTD(thing = pump, tag = "P-09") {
  return {
    "@context": context,
    id: `urn:echotwin:${thing}`,
    title: "Feed pump",
    titles: { en: "Feed pump", vi: "Bơm cấp" },
    "echotwin:tag": tag,
    securityDefinitions: { none: { scheme: "nosec" } },
    security: ["none"],
    "echotwin:alarms": { events: { jam: { priority: 1 } } },
    events: { jam: { title: "Jam", titles: { en: "Jam", vi: "Kẹt" } } },
    properties: {
      pressure: {
        title: "Pressure", titles: { en: "Pressure", vi: "Áp suất" }, type: "number", unit: "bar", "echotwin:decimals": 1,
        "echotwin:alarms": { high: 8, highHigh: 10, hysteresis: 0.5 },
      },
      temperature: { title: "Temperature", titles: { en: "Temperature", vi: "Nhiệt độ" }, type: "number", unit: "Cel", "echotwin:alarms": { high: 70, priority: 3 } },
      flow: { title: "Flow", titles: { en: "Flow", vi: "Lưu lượng" }, type: "number", unit: "m3/h", "echotwin:alarms": { low: 2, priority: 4, suppress: "running=false" } },
      running: { title: "Running", titles: { en: "Running", vi: "Đang chạy" }, type: "boolean" },
    },
  };
}

/** The page of the alarms, signed in and read. What `first` does to the plant is there before the page is. */
export async function openAlarms(t, server, { first, ...options } = {}) {
  const w = await t.window({ url: server.url, ...options });
  await w.signIn();
  await first?.(w);
  await w.page.goto(options.path ?? "/app/alarms");
  await w.page.locator(".alarms .seg .num").first().waitFor();
  return w;
}

/** Stores readings by HTTP. */
export async function say(w, thing, values) {
  const res = await w.context.request.post(`/api/telemetry/${thing}`, { data: values });
  assert.equal(res.status(), 202, await res.text());
}

/** The rows that are shown, each as the text of its alarm. */
export const rows = (page) => page.locator("[data-alarm]");
export const row = (page, text) => rows(page).filter({ has: page.getByRole("button", { name: text, exact: true }) });

/** The alarms that the server has, by what it is asked. */
export async function standing(w, query = "") {
  return (await w.context.request.get(`/api/alarms${query}`)).json();
}

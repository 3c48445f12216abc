// A device of the tests: somebody else's MQTT client, and the description of
// what it speaks for.
import mqtt from "mqtt";

export const conveyor = "plant/line1/conveyor-2";

/** A Thing Description with one of everything that the overview shows of a conveyor. */
export const conveyorTD = {
  "@context": [
    "https://www.w3.org/2019/wot/td/v1",
    "https://www.w3.org/2022/wot/td/v1.1",
    { echotwin: "urn:echotwin:td#" },
  ],
  id: `urn:echotwin:${conveyor}`,
  title: "Transfer conveyor",
  titles: { en: "Transfer conveyor", vi: "Băng tải chuyển" },
  "echotwin:tag": "CV-02",
  securityDefinitions: { none: { scheme: "nosec" } },
  security: ["none"],
  properties: {
    speed: { title: "Speed feedback", type: "number", unit: "%", minimum: 0, maximum: 110, readOnly: true, "echotwin:tag": "ST-202" },
    temperature: {
      title: "Bearing temperature",
      type: "number",
      unit: "°C",
      minimum: 0,
      maximum: 120,
      readOnly: true,
      "echotwin:tag": "TT-202",
      "echotwin:decimals": 1,
      "echotwin:high": 75,
      "echotwin:priority": 2,
    },
    running: { title: "Running", type: "boolean", readOnly: true },
  },
  actions: {
    setSpeed: {
      title: "SPEED",
      titles: { en: "SPEED", vi: "SPEED" },
      "echotwin:feedback": "speed",
      input: {
        type: "object",
        required: ["speed"],
        properties: { speed: { type: "number", minimum: 20, maximum: 100, unit: "percent" } },
      },
    },
  },
};

export class Device {
  /** @param {string} url of the MQTT door */
  static async connect(url, thing) {
    const d = new Device();
    d.thing = thing;
    d.client = await mqtt.connectAsync(url, { clientId: `test-${thing.replaceAll("/", "-")}`, reconnectPeriod: 0 });
    d.client.on("error", () => {}); // the server may be killed under it
    return d;
  }

  /** Resolves when the server has it on disk (PUBACK). */
  async say(values) {
    await this.client.publishAsync(`telemetry/${this.thing}`, JSON.stringify(values), { qos: 1 });
  }

  /** Answers commands with what `act` makes of their input: { ok, output?, error? }. */
  async obey(act) {
    this.client.on("message", async (topic, payload) => {
      const [, , , , action, cmd] = topic.split("/");
      const result = await act(action, JSON.parse(payload.toString()));
      if (result) await this.client.publishAsync(`result/${cmd}`, JSON.stringify(result), { qos: 1 });
    });
    await this.client.subscribeAsync(`command/${this.thing}/+/+`, { qos: 1 });
  }

  async end() {
    await this.client.endAsync();
  }
}

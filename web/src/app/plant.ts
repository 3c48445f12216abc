// Which signals the overview shows. Names only: every number, unit and title
// comes from the Thing Descriptions.
const line = "plant/line1";

export interface Signal {
  thing: string;
  property: string;
  /** Its title needs the thing's tag before it: "CV-02 bearing temperature". */
  tagged?: boolean;
}

const throughput: Signal = { thing: `${line}/line`, property: "throughput" };
const flow: Signal = { thing: `${line}/valve`, property: "flow" };
const bearing: Signal = { thing: `${line}/conveyor-2`, property: "temperature", tagged: true };

export const kpis: readonly Signal[] = [
  throughput,
  { thing: `${line}/line`, property: "oee" },
  flow,
  bearing,
  { thing: `${line}/air`, property: "pressure" },
  { thing: `${line}/power`, property: "power" },
];

export const trends: readonly Signal[] = [
  bearing,
  { thing: `${line}/conveyor-2`, property: "vibration", tagged: true },
  flow,
  throughput,
];

/** The thing whose title names the line. */
export const lineThing = `${line}/line`;

/** Whether the overview's own drawing and tiles show the thing. */
export function onOverview(thing: string): boolean {
  return thing.startsWith(`${line}/`) && known.has(thing.slice(line.length + 1));
}
const known = new Set(
  "line tank pump valve depalletiser rinser filler capper inspection labeller packer conveyor-1 conveyor-2 conveyor-3 air power".split(" "),
);

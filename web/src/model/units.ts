import units from "../../../realtime/units.json";

/**
 * Units as descriptions name them and as people write them: UCUM codes, names
 * of QUDT, and a few words in use, the same as in the server's own messages. What
 * is not there is shown as it came; units that people write as their code says
 * (kW, bar, V) need no line.
 */
const written: Readonly<Record<string, string>> = units;

/** A unit as people write it: °C for Cel, for qudt's unit:DEG_C, and for the unit's whole address. */
export function asWritten(said: string): string {
  const ucum = said.replace(/^(ucum|om2?):/i, "");
  const qudt = /^(?:https?:\/\/qudt\.org\/vocab\/unit[/#]|qudt-unit:|unit:|qudt:)(.+)$/.exec(said)?.[1];
  if (qudt !== undefined) return Object.hasOwn(written, qudt) ? written[qudt]! : qudt;
  return Object.hasOwn(written, said) && !onlyQudt(said) ? written[said]! : Object.hasOwn(written, ucum) && !onlyQudt(ucum) ? written[ucum]! : ucum;
}

/** Names of QUDT that without their prefix mean something else, or nothing: bare, they are shown as they came. */
function onlyQudt(name: string): boolean {
  return name === "MIN" || name === "DAY" || name === "M" || name === "PH" || name === "GM";
}

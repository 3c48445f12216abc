/**
 * Units as descriptions name them and as people write them: UCUM codes, names
 * of QUDT, and a few words in use. What is not here is shown as it came; units
 * that people write as their code says (kW, bar, V) need no line.
 */
const written: Readonly<Record<string, string>> = {
  // UCUM
  Cel: "°C", "[degF]": "°F", "[degR]": "°R", "%": "%", "[ppm]": "ppm", "[ppb]": "ppb", "[pH]": "pH", deg: "°", "1": "", "{count}": "",
  "m/s2": "m/s²", "m.s-2": "m/s²", "m.s-1": "m/s", "mm.s-1": "mm/s", "km.h-1": "km/h", "m3": "m³", "m2": "m²", "cm3": "cm³", "mm2": "mm²",
  "m3/h": "m³/h", "m3.h-1": "m³/h", "m3/s": "m³/s", "m3.s-1": "m³/s", "L/min": "L/min", "l/min": "L/min", "l/h": "L/h", l: "L", ml: "mL", "kg/m3": "kg/m³", "kg.m-3": "kg/m³", "kg/h": "kg/h",
  "N.m": "N·m", "kN.m": "kN·m", "kW.h": "kWh", "W.h": "Wh", "MW.h": "MWh", "V.A": "VA", "kV.A": "kVA", "A.h": "Ah", Ohm: "Ω", kOhm: "kΩ", MOhm: "MΩ", um: "µm", us: "µs", uA: "µA", "uS/cm": "µS/cm", "ug/m3": "µg/m³",
  "[psi]": "psi", "[in_i]": "in", "[ft_i]": "ft", "[gal_us]": "gal", "[hp_I]": "hp", "m[H2O]": "mH₂O", "mm[Hg]": "mmHg", "dB[SPL]": "dB", "{rpm}": "rpm", "{rev}/min": "rpm", "/min": "/min", "min-1": "/min", "/h": "/h", "h-1": "/h", "s-1": "/s", "B[SPL]": "B",
  // QUDT
  DEG_C: "°C", DEG_F: "°F", K: "K", PERCENT: "%", PPM: "ppm", PPB: "ppb", PH: "pH", UNITLESS: "", DEG: "°", RAD: "rad", M: "m", MilliM: "mm", CentiM: "cm", KiloM: "km", MicroM: "µm", M2: "m²", M3: "m³", L: "L", MilliL: "mL",
  "M-PER-SEC": "m/s", "MilliM-PER-SEC": "mm/s", "KiloM-PER-HR": "km/h", "M-PER-SEC2": "m/s²", "M3-PER-HR": "m³/h", "M3-PER-SEC": "m³/s", "L-PER-MIN": "L/min", "L-PER-HR": "L/h", "KiloGM-PER-HR": "kg/h", "KiloGM-PER-M3": "kg/m³",
  PA: "Pa", KiloPA: "kPa", HectoPA: "hPa", MegaPA: "MPa", BAR: "bar", MilliBAR: "mbar", PSI: "psi", ATM: "atm", V: "V", MilliV: "mV", KiloV: "kV", A: "A", MilliA: "mA", OHM: "Ω", W: "W", KiloW: "kW", MegaW: "MW", "V-A": "VA", "KiloV-A": "kVA",
  J: "J", KiloJ: "kJ", MegaJ: "MJ", "W-HR": "Wh", "KiloW-HR": "kWh", "MegaW-HR": "MWh", "A-HR": "Ah", N: "N", KiloN: "kN", "N-M": "N·m", GM: "g", KiloGM: "kg", TONNE: "t", SEC: "s", MilliSEC: "ms", MIN: "min", HR: "h", DAY: "d", HZ: "Hz", KiloHZ: "kHz", "REV-PER-MIN": "rpm", "PER-MIN": "/min", "PER-HR": "/h", LUX: "lx", DeciB: "dB",
  // Words in use
  percent: "%", "degree celsius": "°C", celsius: "°C", "degree fahrenheit": "°F",
};

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

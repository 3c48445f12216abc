import { describe, expect, it } from "vitest";
import { en } from "./en";
import { age, axisTime, date, exact, moment, number, period, plain } from "./format";
import { vi } from "./vi";

const places = (s: string) => [...s.matchAll(/\{\w+\}/g)].map(String).sort();

describe("the two languages", () => {
  it("have the same keys", () => {
    expect(Object.keys(vi).sort()).toEqual(Object.keys(en).sort());
  });
  it.each(Object.entries(en))("fill the same places in %s", (key, text) => {
    expect(places(vi[key as keyof typeof en])).toEqual(places(text));
  });
  it("leave nothing empty", () => {
    for (const text of [...Object.values(en), ...Object.values(vi)]) expect(text.trim()).not.toBe("");
  });
});

describe("numbers", () => {
  it.each([
    [11899, 0, "11\u202f899", "11\u202f899"],
    [1234567.891, 2, "1\u202f234\u202f567.89", "1\u202f234\u202f567,89"],
    [81.44, 1, "81.4", "81,4"],
    [-1.26, 1, "−1.3", "−1,3"],
    [-0.01, 1, "0.0", "0,0"],
    [NaN, 1, "–", "–"],
  ])("%d with %d decimals", (value, decimals, inEnglish, inVietnamese) => {
    expect(number(value, decimals, "en")).toBe(inEnglish);
    expect(number(value, decimals, "vi")).toBe(inVietnamese);
  });
  it.each([
    [60, "60"],
    [60.4, "60.4"],
    [0.123456, "0.123"],
    [12345.678, "12\u202f345.7"],
    [0, "0"],
    [0.05432, "0.0543"],
    [-0.0054321, "−0.00543"],
    [1.5e-9, "1.5×10⁻⁹"], // 0.000 would say that nothing flows
    [-1e-4, "−1×10⁻⁴"],
    [1e9, "1\u202f000\u202f000\u202f000"],
    [1.2345e21, "1.23×10²¹"],
  ])("plain %d", (value, want) => expect(plain(value, "en")).toBe(want));
  it("are written with a power of ten in both languages", () => expect(plain(1.5e-9, "vi")).toBe("1,5×10⁻⁹"));
  it.each([
    [60, "60"],
    [0.25, "0.25"],
    [1234.5678, "1\u202f234.5678"],
    [-0.000001, "−0.000001"],
    [1.25e-7, "1.25×10⁻⁷"],
    [1.23456e21, "1.23456×10²¹"],
  ])("exact %d", (value, want) => expect(exact(value, "en")).toBe(want));
  it.each([
    [14.2, "14 s", "14 s"],
    [180, "3 min", "3 phút"],
    [7300, "2 h", "2 giờ"],
    [-1, "0 s", "0 s"],
  ])("age %d", (seconds, inEnglish, inVietnamese) => {
    expect(age(seconds, "en")).toBe(inEnglish);
    expect(age(seconds, "vi")).toBe(inVietnamese);
  });
});

describe("times", () => {
  const at = new Date(2024, 10, 6, 8, 5, 9).getTime();
  const day = 86_400_000;
  it("have the day as each language writes it", () => {
    expect([date(at, "en"), date(at, "vi")]).toEqual(["6 Nov 2024", "06/11/2024"]);
    const now = Date.now();
    expect(date(now, "vi")).toMatch(/^\d\d\/\d\d$/);
  });
  it.each([
    [1000, "08:05:09", "08:05:09"],
    [60_000, "08:05", "08:05"],
    [day, "6 Nov", "06/11"],
    [30 * day, "Nov 2024", "11/2024"],
  ])("on an axis with steps of %d ms", (step, en, vi) => expect([axisTime(at, step, "en"), axisTime(at, step, "vi")]).toEqual([en, vi]));
  it("at midnight are the day", () => expect(axisTime(new Date(2024, 10, 6).getTime(), 3_600_000, "en")).toBe("6 Nov"));
  it("are as exact as the chart that shows them", () => {
    expect(moment(at, 600_000, "en")).toBe("6 Nov 2024 08:05:09");
    expect(moment(at, 10 * day, "vi")).toBe("06/11/2024 08:05");
    expect(moment(Date.now(), 600_000, "en")).toMatch(/^\d\d:\d\d:\d\d$/);
  });
  it("say a period with its day once where it is one", () => {
    expect(period(at, at + 600_000, "en")).toBe("6 Nov 2024 08:05:09 – 08:15:09");
    expect(period(at, at + day, "vi")).toBe("06/11/2024 08:05 – 07/11/2024 08:05");
  });
});

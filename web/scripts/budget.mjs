// Fails when the first load of the overview is heavier than the design allows.
// Counted is what app.html itself names: its script, that script's static
// imports (Vite writes them as modulepreload) and its style sheets.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const dist = new URL("../dist/", import.meta.url);
const page = readFileSync(new URL("app.html", dist), "utf8");
const budgets = [
  { what: "scripts", limit: 90_000, names: /(?:src|href)="\/(public\/[^"]+\.js)"/g },
  { what: "styles", limit: 20_000, names: /href="\/(public\/[^"]+\.css)"/g },
];

let over = false;
for (const { what, limit, names } of budgets) {
  let sum = 0;
  for (const [, name] of page.matchAll(names)) {
    sum += gzipSync(readFileSync(new URL(name, dist)), { level: 9 }).length;
  }
  if (sum === 0) throw new Error(`app.html names no ${what}: the budget counts nothing`);
  console.log(`${what.padEnd(8)} ${String(sum).padStart(6)} of ${limit} bytes gzipped`);
  over ||= sum > limit;
}
// The live client for others is a file of its own, which no page of ours loads.
const client = gzipSync(readFileSync(new URL("public/echotwin.js", dist)), { level: 9 }).length;
console.log(`client   ${String(client).padStart(6)} of 8000 bytes gzipped`);
if (page.includes("echotwin.js")) throw new Error("app.html loads the live client a second time");
over ||= client > 8000;
if (over) process.exit(1);

// Runs the browser tests: npm run test:browser [-- words of a file's name]
//
// It builds nothing. It needs the binary (ECHOTWIN_BIN, or ../bin/echotwin) with
// the pages in it, and Chromium (CHROMIUM, or /usr/bin/chromium), which it
// installs by apt-get where it may.
import { spawnSync } from "node:child_process";
import { setMaxListeners } from "node:events";
import { existsSync, readdirSync, rmSync, statSync } from "node:fs";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { fileURLToPath } from "node:url";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

function need(ok, ...lines) {
  if (ok) return;
  console.error(lines.join("\n"));
  process.exit(1);
}

const bin = process.env.ECHOTWIN_BIN ?? here("../../bin/echotwin");
need(existsSync(here("../dist/app.html")), "web/dist holds no pages. Build them first: make build");
need(existsSync(bin), `There is no binary at ${bin}.`, "Build it first (make build), or say where it is: ECHOTWIN_BIN=…");

const chromium = process.env.CHROMIUM ?? "/usr/bin/chromium";
if (!existsSync(chromium) && !process.env.CHROMIUM && process.getuid?.() === 0 && existsSync("/usr/bin/apt-get")) {
  console.log("Chromium is missing; installing Debian's.");
  spawnSync("sh", ["-c", "apt-get update -q && apt-get install -qy --no-install-recommends chromium"], { stdio: "inherit" });
}
need(
  existsSync(chromium),
  `There is no Chromium at ${chromium}.`,
  "Install it (Debian, Ubuntu: apt-get install chromium), or say where one is: CHROMIUM=/path/to/chrome npm run test:browser",
);

const wanted = process.argv.slice(2);
const files = readdirSync(here("."))
  .filter((f) => f.endsWith(".test.mjs"))
  .filter((f) => wanted.length === 0 || wanted.some((w) => f.includes(w)));
need(files.length > 0, `No file of web/tests has ${wanted.join(" or ")} in its name.`);

rmSync(here("../test-results"), { recursive: true, force: true });

// Two files at a time, each in a process with a server and a browser of its own.
// The long ones begin, so that none of them is left alone at the end. What a
// file prints comes in one piece.
const size = (f) => statSync(here(f)).size;
process.env.ECHOTWIN_BIN = bin;
process.env.CHROMIUM = chromium;
const stop = new AbortController();
setMaxListeners(files.length + 1, stop.signal);
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => stop.abort());
const tests = run({
  files: files.sort((a, b) => size(b) - size(a)).map(here),
  concurrency: 2,
  signal: stop.signal,
});
tests.on("test:fail", () => (process.exitCode = 1));
tests.compose(new spec()).pipe(process.stdout);
process.on("exit", (code) => {
  if (code !== 0 && existsSync(here("../test-results"))) console.error("Screenshots of what failed are in web/test-results.");
});

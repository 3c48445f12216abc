// @vitest-environment jsdom
import { expect, test } from "vitest";
import { markdown, safeURL } from "./markdown";

function render(text: string, step = 1): HTMLElement {
  const root = document.createElement("div");
  const m = markdown(root);
  for (let i = 0; i < text.length; i += step) m.write(text.slice(i, i + step));
  m.end();
  return root;
}

test.each([
  ["plain", "Most likely **bearing friction**.", "<p>Most likely <strong>bearing friction</strong>.</p>"],
  ["list", "- up *38 %*\n- flat\n", "<ul><li>up <em>38 %</em></li><li>flat</li></ul>"],
  ["code", "`speed` < 3", "<p><code>speed</code> &lt; 3</p>"],
  ["heading", "# Report\n\ntext", '<h3 class="h1">Report</h3><p>text</p>'],
  ["brackets that are no link", "see [1] and a[0] now", "<p>see <span>[1]</span> and a<span>[0]</span> now</p>"],
  [
    "link",
    "[manual](https://example.com/a?b=1)",
    '<p><a href="https://example.com/a?b=1" rel="noopener noreferrer nofollow" target="_blank" title="https://example.com/a?b=1">manual</a></p>',
  ],
  ["task", "- [x] grease", '<ul><li><span class="box">☑ </span> grease</li></ul>'],
])("%s, letter by letter and whole", (_, text, want) => {
  expect(render(text).innerHTML).toBe(want);
  expect(render(text, 1e6).innerHTML).toBe(want);
});

test("a table keeps its head and rows", () => {
  const root = render("| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n\nafter");
  expect(root.querySelectorAll("thead th")).toHaveLength(2);
  expect(root.querySelectorAll("tbody td")).toHaveLength(4);
});

const hostile = [
  "<script>alert(1)</script>",
  "<img src=x onerror=alert(1)>",
  "![x](https://evil.example/?q=secret)",
  "![x](javascript:alert(1))",
  "[x](javascript:alert(1))",
  "[x]( \tjAvAsCrIpT:alert(1))",
  "[x](java\tscript:alert(1))",
  "[x](data:text/html,<script>alert(1)</script>)",
  "[x](vbscript:alert(1))",
  "[x](/api/logout)",
  "[x](//evil.example)",
  "[x](file:///etc/passwd)",
  '[x](https://a.example/" onclick="alert(1))',
  "```\" onload=alert(1)\ncode\n```",
  "<a href=javascript:alert(1)>x</a>",
  "<style>*{display:none}</style>",
  "<iframe src=//evil.example>",
  "<svg onload=alert(1)>",
  "<form action=/api/logout><input type=submit>",
  "99999999999999999999. item",
  "$$\n<script>alert(1)</script>\n$$",
  "| <b onclick=x> | b |\n|---|---|\n| ![i](https://e.example) | 2 |",
];

const allowed = new Set(
  "P STRONG EM S CODE PRE UL OL LI A SPAN H3 BLOCKQUOTE BR HR DIV TABLE THEAD TBODY TR TH TD".split(" "),
);
const attributes = new Set(["class", "href", "rel", "target", "title", "start", "tabindex"]);

function check(root: HTMLElement): void {
  for (const e of root.querySelectorAll<HTMLElement>("*")) {
    expect(allowed, e.outerHTML).toContain(e.tagName);
    for (const a of e.attributes) expect(attributes, e.outerHTML).toContain(a.name);
    if (e instanceof HTMLAnchorElement) {
      expect(e.protocol, e.outerHTML).toMatch(/^https?:$/);
      expect(e.rel).toContain("noopener");
    }
  }
}

test.each(hostile)("%s does no harm", (text) => {
  for (const step of [1, 2, 7, 1e6]) check(render(text, step));
});

test("an image becomes a link, and nothing is loaded", () => {
  const root = render("![plan](https://e.example/plan.png)");
  expect(root.querySelector("img")).toBeNull();
  expect(root.querySelector("a")!.href).toBe("https://e.example/plan.png");
  expect(root.textContent).toBe("plan");
});

test.each([
  ["quotes", "> ".repeat(60) + "bottom"],
  ["lists", Array.from({ length: 40 }, (_, i) => " ".repeat(2 * i) + "- l").join("\n") + " bottom"],
  ["emphasis", "*a **b _c __d ~~e ".repeat(20) + "bottom"],
  ["brackets", "[".repeat(5000) + "bottom"],
])("deep %s end in plain words, not in silence", (_, text) => {
  for (const step of [1, 3, 1e6]) {
    const root = render(text + "\n\nand after", step);
    check(root);
    expect(root.textContent).toContain("bottom");
    expect(root.textContent).toContain("and after");
  }
});

test("whatever comes, in whatever pieces, nothing throws and nothing gets through", () => {
  const bits = ["\n", "\n\n", "  ", "*", "**", "_", "`", "```", "[", "](", ")", "!", "![", "<", ">", "> ", "- ", "1. ", "# ", "|", "|-|", "$", "$$", "~~", "\\", "http://", "https://a.b", "javascript:", "<br>", "[x] ", "word", "ệ", "🔧", "\t", "&lt;"];
  let seed = 7;
  const random = (n: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return (seed >> 8) % n;
  };
  for (let run = 0; run < 1500; run++) {
    let text = "";
    for (let i = random(40); i >= 0; i--) text += bits[random(bits.length)]!;
    check(render(text, 1 + random(9)));
  }
});

test("where the parser gives up, every letter is there once", () => {
  const text = "head\n\n" + "> ".repeat(40) + "x\n" + "tail one\n\ntail **two**";
  for (const step of [1, 2, 5, 1e6]) expect(render(text, step).textContent).toBe(text);
});

test.each([
  ["https://example.com", "https://example.com/"],
  [" http://a.b/c ", "http://a.b/c"],
  ["javascript:alert(1)", ""],
  ["/relative", ""],
  ["", ""],
])("safeURL(%j)", (value, want) => expect(safeURL(value)).toBe(want));

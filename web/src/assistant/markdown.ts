/**
 * Shows Markdown while it streams in, and lets nothing through but text and a
 * handful of elements: what a model wrote may repeat what a device or a manual
 * said. Nothing here parses HTML, so Trusted Types has nothing to object to.
 * Images are not loaded, as their address could carry the conversation away;
 * links lead to http(s) only, and nothing is fetched before somebody clicks.
 */

import * as smd from "streaming-markdown";

export interface Markdown {
  /** Adds the next piece of the text. */
  write(piece: string): void;
  /** Shows what was held back because more could have changed its meaning. */
  end(): void;
}

/** The parser itself breaks at 24. */
const DEEPEST = 16;

export function markdown(root: HTMLElement): Markdown {
  const parser = smd.parser(new Renderer(root).hooks());
  let all = "";
  let plain: HTMLElement | undefined;
  const attempt = (parse: () => void) => {
    try {
      parse();
    } catch {
      // Nested too deep, or the parser fell over. The reader gets the words as they came.
      plain = root.ownerDocument.createElement("p");
      plain.className = "plain";
      plain.textContent = all;
      root.replaceChildren(plain);
    }
  };
  return {
    write(piece) {
      all += piece;
      if (plain) plain.append(piece);
      else attempt(() => smd.parser_write(parser, piece));
    },
    end() {
      if (!plain) attempt(() => smd.parser_end(parser));
    },
  };
}

class Renderer {
  #nodes: HTMLElement[];
  #doc: Document;

  constructor(root: HTMLElement) {
    this.#nodes = [root];
    this.#doc = root.ownerDocument;
  }

  hooks(): smd.Renderer<null> {
    return {
      data: null,
      add_token: (_, token) => this.#open(token),
      end_token: () => this.#close(),
      add_text: (_, text) => this.#top.append(text),
      set_attr: (_, attr, value) => this.#set(attr, value),
    };
  }

  get #top(): HTMLElement {
    return this.#nodes.at(-1)!;
  }

  #element(tag: string, className = ""): HTMLElement {
    const e = this.#doc.createElement(tag);
    if (className) e.className = className;
    return e;
  }

  #open(token: smd.Token): void {
    if (token === smd.DOCUMENT) return;
    if (this.#nodes.length > DEEPEST) throw new Error("nested too deep");
    let parent = this.#top;
    let e: HTMLElement;
    switch (token) {
      case smd.CODE_BLOCK:
      case smd.CODE_FENCE:
        parent = parent.appendChild(this.#scroller("pre"));
        e = this.#element("code");
        break;
      case smd.TABLE:
        parent = parent.appendChild(this.#scroller("div"));
        e = this.#element("table");
        break;
      case smd.TABLE_ROW: {
        const part = parent.children.length === 0 ? "thead" : "tbody";
        parent = (parent.children[1] as HTMLElement | undefined) ?? parent.appendChild(this.#element(part));
        e = this.#element("tr");
        break;
      }
      case smd.TABLE_CELL:
        e = this.#element(parent.parentElement?.tagName === "THEAD" ? "th" : "td");
        break;
      case smd.CHECKBOX:
        e = this.#element("span", "box");
        e.append("☐ ");
        break;
      case smd.LINK:
      case smd.RAW_URL:
      case smd.IMAGE:
        // Becomes a link when an address comes that may be one.
        e = this.#element("span", token === smd.LINK ? "bracket" : token === smd.IMAGE ? "image" : "");
        break;
      default:
        e = this.#element(...(plainElements.get(token) ?? (["span"] as [string])));
    }
    parent.append(e);
    this.#nodes.push(e);
  }

  #scroller(tag: string): HTMLElement {
    const e = this.#element(tag, "scroll");
    e.tabIndex = 0; // so that the keyboard can scroll it
    return e;
  }

  #close(): void {
    if (this.#nodes.length === 1) return;
    const e = this.#nodes.pop()!;
    // "[…]" that no address followed was no link but, say, an index or a source.
    if (e.className === "bracket") {
      e.prepend("[");
      e.append("]");
      e.removeAttribute("class");
    }
  }

  #set(attr: smd.Attr, value: string): void {
    const e = this.#top;
    switch (attr) {
      case smd.CHECKED:
        e.textContent = "☑ ";
        break;
      case smd.START: {
        const n = Number(value);
        if (Number.isSafeInteger(n)) e.setAttribute("start", String(n));
        break;
      }
      case smd.HREF:
      case smd.SRC: {
        const href = safeURL(value);
        if (href !== "") this.#link(e, href);
      }
      // LANG is a class name of the author's choice: not taken.
    }
  }

  /** Puts a link in the place of the span that waited for its address. */
  #link(span: HTMLElement, href: string): void {
    const a = this.#doc.createElement("a");
    a.href = href;
    a.rel = "noopener noreferrer nofollow";
    a.target = "_blank";
    a.title = href; // its text is the author's choice, its address is not
    a.append(...span.childNodes);
    if (a.textContent === "") a.append(href);
    span.replaceWith(a);
    this.#nodes[this.#nodes.length - 1] = a;
  }
}

/** Headings are all of one level: the page's outline is not the model's to make. */
const heading = (n: number): [string, string] => ["h3", `h${n}`];

const plainElements = new Map<smd.Token, [tag: string, className?: string]>([
  [smd.PARAGRAPH, ["p"]],
  [smd.HEADING_1, heading(1)],
  [smd.HEADING_2, heading(2)],
  [smd.HEADING_3, heading(3)],
  [smd.HEADING_4, heading(4)],
  [smd.HEADING_5, heading(5)],
  [smd.HEADING_6, heading(6)],
  [smd.CODE_INLINE, ["code"]],
  [smd.EQUATION_BLOCK, ["code"]],
  [smd.EQUATION_INLINE, ["code"]],
  [smd.ITALIC_AST, ["em"]],
  [smd.ITALIC_UND, ["em"]],
  [smd.STRONG_AST, ["strong"]],
  [smd.STRONG_UND, ["strong"]],
  [smd.STRIKE, ["s"]],
  [smd.BLOCKQUOTE, ["blockquote"]],
  [smd.LINE_BREAK, ["br"]],
  [smd.RULE, ["hr"]],
  [smd.LIST_UNORDERED, ["ul"]],
  [smd.LIST_ORDERED, ["ol"]],
  [smd.LIST_ITEM, ["li"]],
]);

/** The address if a link may lead there, else "". Relative ones are none: they would be orders to our own server. */
export function safeURL(value: string): string {
  try {
    const url = new URL(value.trim());
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : "";
  } catch {
    return "";
  }
}

// Bottles that move as fast as the belt they stand on.

interface Belt {
  thing: string;
  property: string;
  /** Where it ends. */
  x2: number;
  /** px/s for 100 %. */
  speed: number;
}

/** A row of bottles on belts, without drawing: positions, furthest first. */
export class Row {
  positions: number[] = [];

  constructor(
    readonly from: number,
    readonly to: number,
    /** From bottle to bottle as they are set down. */
    readonly pitch: number,
    /** The least from bottle to bottle: they queue before a slower belt. */
    readonly gap: number,
    readonly most: number,
  ) {
    for (let x = to - pitch; x >= from && this.positions.length < most; x -= pitch) this.positions.push(x);
  }

  /** Moves by dt seconds; gives how many left at the end and how many were set down. */
  step(dt: number, speedAt: (x: number) => number): { left: number; added: number } {
    let ahead = Infinity;
    this.positions = this.positions.map((x) => (ahead = Math.max(x, Math.min(x + speedAt(x) * dt, ahead - this.gap))));
    let left = 0;
    while (this.positions.length > 0 && this.positions[0]! > this.to) {
      this.positions.shift();
      left++;
    }
    let added = 0;
    const last = this.positions.at(-1) ?? this.from + this.pitch;
    if (last - this.pitch >= this.from && this.positions.length < this.most) {
      this.positions.push(Math.min(last - this.pitch, this.from + this.pitch));
      added++;
    }
    return { left, added };
  }
}

/** 30 frames a second look the same as 60 at this speed and cost half. */
const frameEvery = 33;

/**
 * Draws a Row into the element with data-flow. It runs only while it can be
 * seen, and stands still for who asked for less motion.
 */
export class Flow {
  #belts: Belt[];
  #row: Row;
  #bottles: SVGElement[] = [];
  #spare: SVGElement[] = [];
  #y: string;
  #handle = 0;
  #last = 0;
  #speed: (thing: string, property: string) => number;
  #observer: IntersectionObserver;

  /** `speed` gives percent; 0 for what stands or is not known. */
  constructor(element: SVGElement, speed: (thing: string, property: string) => number) {
    const { from, to, pitch, gap, flow, y } = element.dataset;
    this.#speed = speed;
    this.#y = y ?? "0";
    this.#row = new Row(Number(from), Number(to), Number(pitch), Number(gap), Number(flow));
    this.#belts = [...element.querySelectorAll<SVGElement>("[data-belt]")].map((e) => {
      const [thing = "", property = ""] = (e.dataset.belt ?? "").split("#");
      return { thing, property, x2: Number(e.dataset.x2), speed: Number(e.dataset.speed) / 100 };
    });
    const template = element.querySelector<SVGElement>("[data-bottle]");
    for (let i = 0; template && i < this.#row.most; i++) this.#spare.push(template.cloneNode(true) as SVGElement);
    template?.remove();
    for (const bottle of this.#spare) element.append(bottle);
    for (const bottle of this.#spare) bottle.setAttribute("display", "none");
    for (let i = 0; i < this.#row.positions.length; i++) this.#bottles.push(this.#spare.pop()!);
    this.#draw();
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.#observer = new IntersectionObserver(([e]) => (e?.isIntersecting && !still ? this.#start() : this.#stop()));
    this.#observer.observe(element.ownerSVGElement ?? element);
  }

  end(): void {
    this.#observer.disconnect();
    this.#stop();
  }

  #start(): void {
    this.#stop();
    this.#last = performance.now();
    const frame = (now: number) => {
      this.#handle = requestAnimationFrame(frame);
      if (now - this.#last < frameEvery) return;
      const dt = Math.min(0.2, (now - this.#last) / 1000); // after a pause they go on, not jump
      this.#last = now;
      if (this.#step(dt)) this.#draw();
    };
    this.#handle = requestAnimationFrame(frame);
  }

  #stop(): void {
    cancelAnimationFrame(this.#handle);
  }

  #step(dt: number): boolean {
    const speeds = this.#belts.map((b) => this.#speed(b.thing, b.property) * b.speed);
    if (speeds.every((v) => v === 0)) return false;
    const at = (x: number) => speeds[this.#belts.findIndex((b) => x < b.x2)] ?? speeds.at(-1) ?? 0;
    const { left, added } = this.#row.step(dt, at);
    for (let i = 0; i < left; i++) {
      const gone = this.#bottles.shift()!;
      gone.setAttribute("display", "none");
      this.#spare.push(gone);
    }
    for (let i = 0; i < added; i++) this.#bottles.push(this.#spare.pop()!);
    return true;
  }

  #draw(): void {
    this.#row.positions.forEach((x, i) => {
      const bottle = this.#bottles[i]!;
      bottle.setAttribute("transform", `translate(${x.toFixed(1)} ${this.#y})`);
      if (bottle.hasAttribute("display")) bottle.removeAttribute("display");
      for (const part of bottle.children as HTMLCollectionOf<SVGElement>) {
        const on = x > Number(part.dataset.after ?? -Infinity);
        if (on === part.hasAttribute("display")) on ? part.removeAttribute("display") : part.setAttribute("display", "none");
      }
    });
  }
}

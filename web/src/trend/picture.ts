// A picture of trends to keep: title, range, legend and the charts as they are
// on the screen, on the card's own background.

export interface Panel {
  canvas: HTMLCanvasElement;
  /** Above it: the pens that it shows, with their colours. */
  legend: { colour: string; dash: number[]; text: string }[];
}

const edge = 16;
const row = 20;

/** Draws it as large as the screen's charts are, at their resolution. */
export function picture(title: string, lines: string[], panels: Panel[], colour: (name: string) => string): HTMLCanvasElement {
  const px = devicePixelRatio;
  const widest = Math.max(...panels.map((p) => p.canvas.width / px));
  const columns = panels.length > 1 && widest < 420 ? 2 : 1;
  const out = document.createElement("canvas");
  const c = out.getContext("2d")!;
  const rows: { panel: Panel; x: number; y: number; legend: { x: number; y: number }[] }[] = [];
  const head = edge + 22 + lines.length * row;
  let y = head;
  for (let i = 0; i < panels.length; i += columns) {
    let tallest = 0;
    for (const [k, panel] of panels.slice(i, i + columns).entries()) {
      const x = edge + k * (widest + edge);
      const legend = flow(c, panel, widest);
      rows.push({ panel, x, y, legend });
      tallest = Math.max(tallest, (legend.at(-1)?.y ?? 0) + row + panel.canvas.height / px);
    }
    y += tallest + 10;
  }
  out.width = Math.round((columns * widest + (columns + 1) * edge) * px);
  out.height = Math.round((y + edge) * px);
  c.scale(px, px);
  c.fillStyle = colour("--card");
  c.fillRect(0, 0, out.width / px, out.height / px);
  c.textBaseline = "top";
  c.fillStyle = colour("--tx");
  c.font = '650 15px "Inter", sans-serif';
  c.fillText(title, edge, edge);
  c.font = textFont;
  c.fillStyle = colour("--mu");
  lines.forEach((line, i) => c.fillText(line, edge, edge + 22 + i * row));
  for (const { panel, x, y, legend } of rows) {
    panel.legend.forEach((l, i) => {
      const at = legend[i]!;
      c.strokeStyle = colour(l.colour);
      c.lineWidth = 2;
      c.setLineDash(l.dash);
      c.beginPath();
      c.moveTo(x + at.x, y + at.y + 7);
      c.lineTo(x + at.x + 18, y + at.y + 7);
      c.stroke();
      c.setLineDash([]);
      c.fillStyle = colour("--tx");
      c.fillText(l.text, x + at.x + 24, y + at.y);
    });
    const top = y + (legend.at(-1)?.y ?? 0) + row;
    c.drawImage(panel.canvas, x, top, panel.canvas.width / px, panel.canvas.height / px);
  }
  return out;
}

const textFont = '500 12px "Inter", sans-serif';

/** Where the parts of a legend stand, in as many lines as they need. */
function flow(c: CanvasRenderingContext2D, panel: Panel, width: number): { x: number; y: number }[] {
  c.font = textFont;
  let x = 0;
  let y = 0;
  return panel.legend.map((l) => {
    const needs = 24 + c.measureText(l.text).width + 16;
    if (x > 0 && x + needs > width) {
      x = 0;
      y += row;
    }
    const at = { x, y };
    x += needs;
    return at;
  });
}

/** Gives a file to the browser's downloads. */
export function save(name: string, content: Blob): void {
  const url = URL.createObjectURL(content);
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // the download has begun by then
}

/** A name for a file: echotwin-20261126T080000.png */
export function fileName(at: number, kind: string): string {
  return `echotwin-${new Date(at).toISOString().slice(0, 19).replace(/[-:]/g, "")}.${kind}`;
}

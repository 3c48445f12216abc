/** Colour + shape + number: each alone is enough to tell the priorities apart. */
export const shapes = {
  1: { path: "M1.5 1.5h13v13h-13z", y: 11.3 },
  2: { path: "M8 1l7.3 13.5H.7z", y: 13 },
  3: { path: "M8 15 .7 1.5h14.6z", y: 9 },
  4: { path: "M8 .8 15.2 8 8 15.2.8 8z", y: 11.3 },
} as const;

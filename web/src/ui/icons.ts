/** Line icons on a 20 by 20 grid, drawn with the text's colour. */
export const icons = {
  overview: "M3 3h6v8H3zM11 3h6v5h-6zM11 10h6v7h-6zM3 13h6v4H3z",
  assistant: "M3.5 4.5h13v9h-7L6 16.5v-3H3.5zM7 8h6M7 10.5h4",
  docs: "m7 6-4 4 4 4M13 6l4 4-4 4M11.5 4l-3 12",
  moon: "M16 11.5A6.5 6.5 0 0 1 8.5 4a6.5 6.5 0 1 0 7.5 7.5Z",
  sun: "M10 6.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7ZM10 2v1.5M10 16.5V18M2 10h1.5M16.5 10H18M4.3 4.3l1.1 1.1M14.6 14.6l1.1 1.1M15.7 4.3l-1.1 1.1M5.4 14.6l-1.1 1.1",
  cut: "M2 2l16 16M4.2 8.2A9 9 0 0 1 7 6.5m3-.6a9 9 0 0 1 5.8 2.3M6.7 11a5.4 5.4 0 0 1 1.8-1.1m3.6.5c.5.2.9.5 1.2.8M10 14.1v.9",
  chevron: "m5 7.5 5 5 5-5",
  expand: "M3.5 7.5v-4h4M12.5 3.5h4v4M16.5 12.5v4h-4M7.5 16.5h-4v-4",
  download: "M10 3v9.5M6.2 9 10 12.7 13.8 9M3.5 16.5h13",
  tick: "m4 10.6 4 4 8-9.2",
  cross: "m5 5 10 10M15 5 5 15",
  warn: "M10 3.5v8M10 15.5v.1",
  out: "M8 3.5H3.5v13H8M12.5 6.5 16 10l-3.5 3.5M16 10H7.5",
} as const;

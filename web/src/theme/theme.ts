/** The theme in use; public/theme.js chose it before the first paint. */
export function theme(): "light" | "dark" {
  return document.documentElement.dataset.theme === "dark" ? "dark" : "light";
}

/** Changes between light and dark and keeps the choice. */
export function switchTheme(): void {
  const next = theme() === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem("echotwin.theme", next);
  } catch {
    // The choice then lasts as long as the page.
  }
  dispatchEvent(new Event(changed));
}

/** Event on window for what paints by itself (charts). */
export const changed = "echotwin:theme";

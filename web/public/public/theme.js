// Runs before the first paint, so that a dark room stays dark: a module would come too late.
(() => {
  let theme = null;
  try {
    theme = localStorage.getItem("echotwin.theme");
  } catch {
    // Storage may be forbidden; the system's preference then decides.
  }
  if (theme !== "light" && theme !== "dark") {
    theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  }
  document.documentElement.dataset.theme = theme;
})();

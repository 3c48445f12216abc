const key = "echotwin.drawer";

/** Whether the assistant is open. On a wide screen it is until somebody closes it; elsewhere it covers the line, so it is not. */
class DrawerState {
  open = $state(wide() && stored() !== "closed");

  set(open: boolean): void {
    this.open = open;
    if (!wide()) return;
    try {
      localStorage.setItem(key, open ? "open" : "closed");
    } catch {
      // The choice then lasts as long as the page.
    }
  }
}

function wide(): boolean {
  return matchMedia("(min-width: 1281px)").matches;
}
function stored(): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

export const drawer = new DrawerState();

/** Who is signed in, as /api/me says it. */
export interface Me {
  username: string;
  /** viewer, operator, engineer or admin; "" when the server has none. */
  role: string;
  /** Whether the server lets commands of this user through; it checks by itself. */
  mayCommand: boolean;
}

/** Null: nobody is signed in. */
export function readMe(answer: unknown): Me | null {
  const { loggedIn, user } = (answer ?? {}) as { loggedIn?: boolean; user?: { username?: string; role?: string; scope?: string } };
  if (!loggedIn || !user?.username) return null;
  return { username: user.username, role: user.role ?? "", mayCommand: user.scope === "command" || user.scope === "admin" };
}

/** LN for "Lan Nguyễn", AD for "admin". */
export function initials(name: string): string {
  const words = name.split(/[\s._-]+/).filter(Boolean);
  const letters = words.length > 1 ? words[0]!.charAt(0) + words.at(-1)!.charAt(0) : name.slice(0, 2);
  return letters.toUpperCase();
}

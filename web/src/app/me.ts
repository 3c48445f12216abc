/** What somebody can be allowed, in the words of GET /api/me. */
export type Permission =
  | "readThings" | "readHistory" | "readCommands" | "readAlarms" | "ask" | "issueTickets"
  | "commandThings" | "writeProperties" | "ackAlarms" | "shelveAlarms" | "report"
  | "editThings" | "editAlarms" | "ownAccount"
  | "manageUsers" | "manageTokens" | "manageDevices" | "manageConnections" | "manageNotify" | "readBackup" | "readMetrics" | "profile";

/** Who is signed in, as /api/me says it. */
export interface Me {
  username: string;
  /** viewer, operator, engineer or admin; "" when the server has none. */
  role: string;
  /** Patterns of the things that they have to do with; empty for every thing. */
  things: readonly string[];
  /** They sign in at a provider and have no password here. */
  oidc: boolean;
  may: ReadonlySet<string>;
  /** What they may not, with the least role that may. */
  needs: Readonly<Record<string, string>>;
  /** Whether the server lets commands of this user through; it checks by itself. */
  mayCommand: boolean;
}

interface Answer {
  loggedIn?: boolean;
  user?: { username?: string; role?: string; things?: string[]; oidc?: boolean };
  may?: string[];
  needs?: Record<string, string>;
}

/** Null: nobody is signed in. */
export function readMe(answer: unknown): Me | null {
  const { loggedIn, user, may, needs } = (answer ?? {}) as Answer;
  if (!loggedIn || !user?.username) return null;
  const all = new Set(may);
  return { username: user.username, role: user.role ?? "", things: user.things ?? [], oidc: user.oidc ?? false, may: all, needs: needs ?? {}, mayCommand: all.has("commandThings") };
}

/** LN for "Lan Nguyễn", AD for "admin". */
export function initials(name: string): string {
  const words = name.split(/[\s._-]+/).filter(Boolean);
  const letters = words.length > 1 ? words[0]!.charAt(0) + words.at(-1)!.charAt(0) : name.slice(0, 2);
  return letters.toUpperCase();
}

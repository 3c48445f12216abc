import { t, type Key } from "../i18n";
import { get, onForbidden, toLogin } from "./api";
import { readMe, type Me, type Permission } from "./me";

const askEvery = 30_000;

/** Who is signed in, and what they may. */
class Account {
  /** Null until it is known. */
  me = $state.raw<Me | null>(null);
  #asked = 0;

  /** Asks anew: a role may be another than when the page was opened. */
  async read(): Promise<void> {
    this.#asked = Date.now();
    const answer = await get("/api/me").catch(() => null);
    if (!answer) return; // what was known stays, and the server checks by itself
    const me = readMe(answer);
    if (!me) return toLogin();
    if (JSON.stringify(plain(me)) !== JSON.stringify(plain(this.me))) this.me = me;
  }

  /** Asks now and then while somebody looks, when they come back, and when the server says that they may not. */
  follow(): () => void {
    const look = () => {
      if (!document.hidden && Date.now() - this.#asked >= askEvery) void this.read();
    };
    const timer = setInterval(look, askEvery);
    document.addEventListener("visibilitychange", look);
    const stop = onForbidden(() => {
      if (Date.now() - this.#asked > 1000) void this.read();
    });
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", look);
      stop();
    };
  }
}

const plain = (me: Me | null) => me && { ...me, may: [...me.may] };

export const account = new Account();

const roles: Record<string, Key> = { viewer: "roleViewer", operator: "roleOperator", engineer: "roleEngineer", admin: "roleAdmin" };

/** The name of a role, as people read it. */
export function roleName(role: string): string {
  const key = roles[role];
  return key ? t(key) : role;
}

/** Whether the user may: for disabling what they may not. The server checks by itself. */
export function may(permission: Permission): boolean {
  return account.me?.may.has(permission) ?? false;
}

/** Why they may not, to be shown beside what is disabled; "" when they may. */
export function whyNot(permission: Permission): string {
  const { me } = account;
  if (!me || me.may.has(permission)) return "";
  const needed = me.needs[permission];
  return needed && needed !== me.role ? t("needsRole", { role: roleName(needed), mine: roleName(me.role) }) : t("needsAll");
}

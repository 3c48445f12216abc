import { t, type Key } from "../i18n";
import type { Me, Permission } from "./me";

/** Who is signed in; null until that is known. App sets it. */
class Account {
  me = $state.raw<Me | null>(null);
}
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

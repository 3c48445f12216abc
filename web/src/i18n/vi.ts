import type { en } from "./en";

export const vi: Record<keyof typeof en, string> = {
  overview: "Tổng quan",
  signIn: "Đăng nhập",
};

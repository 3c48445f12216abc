export const en = {
  overview: "Overview",
  signIn: "Sign in",
} as const;

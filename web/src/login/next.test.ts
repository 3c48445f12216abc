import { expect, it } from "vitest";
import { nextPath, problemKey } from "./next";

it.each([
  ["", "/app"],
  ["?next=/app?thing=plant/line1/pump", "/app?thing=plant/line1/pump"],
  ["?next=%2Fdocs", "/docs"],
  ["?next=https://evil.example", "/app"],
  ["?next=//evil.example", "/app"],
  ["?next=/%5Cevil.example", "/app"],
  ["?next=/%09/evil.example", "/app"],
  ["?next=javascript:alert(1)", "/app"],
])("after signing in with %s goes to %s", (search, want) => expect(nextPath(search)).toBe(want));

it.each([
  ["", undefined],
  ["?problem=role", "oidcRole"],
  ["?next=/docs&problem=name", "oidcName"],
  ["?problem=", "oidcFailed"],
  ["?problem=toString", "oidcFailed"],
  ["?problem=<b>", "oidcFailed"],
])("%s is said as %s", (search, want) => expect(problemKey(search)).toBe(want));

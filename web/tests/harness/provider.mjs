// An OpenID Connect provider by script, over real HTTP. It signs everybody in at
// once as the claims say.
import { createHash, generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";

export class Provider {
  /** Of the ID token, besides those that belong there. */
  claims = { sub: "1", preferred_username: "lan", groups: ["shift"] };
  #keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
  #codes = new Map();

  static async start() {
    const p = new Provider();
    p.http = createServer((req, res) => void p.#answer(req, res)).listen(0, "127.0.0.1");
    await once(p.http, "listening");
    p.url = `http://127.0.0.1:${p.http.address().port}`;
    return p;
  }

  async stop() {
    this.http.closeAllConnections();
    this.http.close();
  }

  async #answer(req, res) {
    const url = new URL(req.url, this.url);
    const json = (value, status = 200) => res.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(value));
    switch (url.pathname) {
      case "/.well-known/openid-configuration":
        return json({
          issuer: this.url, authorization_endpoint: `${this.url}/authorize`, token_endpoint: `${this.url}/token`, jwks_uri: `${this.url}/keys`,
          end_session_endpoint: `${this.url}/end`, id_token_signing_alg_values_supported: ["ES256"],
        });
      case "/keys":
        return json({ keys: [{ ...this.#keys.publicKey.export({ format: "jwk" }), kid: "1", alg: "ES256", use: "sig" }] });
      case "/authorize": {
        const code = randomUUID();
        this.#codes.set(code, url.searchParams);
        const back = new URL(url.searchParams.get("redirect_uri"));
        back.search = String(new URLSearchParams({ code, state: url.searchParams.get("state") }));
        return res.writeHead(302, { Location: String(back) }).end();
      }
      case "/token": {
        let body = "";
        for await (const part of req) body += part;
        const form = new URLSearchParams(body);
        const asked = this.#codes.get(form.get("code"));
        this.#codes.delete(form.get("code"));
        const challenge = createHash("sha256").update(form.get("code_verifier") ?? "").digest("base64url");
        if (asked?.get("code_challenge") !== challenge) return json({ error: "invalid_grant" }, 400);
        return json({ access_token: "x", token_type: "Bearer", id_token: this.#token(asked.get("nonce")) });
      }
      case "/end":
        return res.writeHead(302, { Location: url.searchParams.get("post_logout_redirect_uri") }).end();
    }
    json({ error: "not_found" }, 404);
  }

  #token(nonce) {
    const now = Math.floor(Date.now() / 1000);
    const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const text = `${part({ alg: "ES256", kid: "1" })}.${part({ iss: this.url, aud: "echotwin", iat: now, exp: now + 3600, nonce, ...this.claims })}`;
    return `${text}.${sign("sha256", Buffer.from(text), { key: this.#keys.privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
  }
}

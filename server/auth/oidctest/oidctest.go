// Package oidctest is a scripted OpenID Connect provider on a real socket, for
// tests only. It signs everybody in at once as the claims say, and does wrong
// what a test asks it to.
package oidctest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"time"
)

// The client that the provider knows.
const (
	ClientID     = "echotwin"
	ClientSecret = "a secret of the tests"
)

// A Provider is one. Its exported fields are changed by Set.
type Provider struct {
	*httptest.Server

	Claims   map[string]any // of the ID token, over those that belong there; nil takes one away
	UserInfo map[string]any // what /userinfo tells; nil: there is no such door
	Deny     string         // an error with which the browser is sent back
	Broken   int            // the status that /token answers instead; 0 for none
	Unsigned bool           // the ID token says "alg":"none"
	OtherKey bool           // it is signed with a key that /keys does not have
	Keyless  bool           // /keys answers 502
	Sloppy   bool           // codes may be used twice, and the verifier is not looked at

	mu    sync.Mutex
	key   *ecdsa.PrivateKey
	kid   string
	codes map[string]url.Values // what was asked, by code
	asked int                   // for the keys
}

// Start is a provider that runs until Close.
func Start() *Provider {
	p := &Provider{codes: map[string]url.Values{}}
	p.Rotate()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /keys", p.keys)
	mux.HandleFunc("GET /userinfo", p.userInfo)
	p.Server = httptest.NewServer(mux)
	return p
}

// Set changes the provider while it runs.
func (p *Provider) Set(f func(p *Provider)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p)
}

// Rotate signs with a new key from now on; /keys does not have the old one any more.
func (p *Provider) Rotate() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	p.Set(func(p *Provider) { p.key, p.kid = key, rand.Text() })
}

// Asked is how often the keys were asked for.
func (p *Provider) Asked() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // who asked may have left
}

func (p *Provider) discovery(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := map[string]any{
		"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
		"end_session_endpoint": p.URL + "/end?from=here", "id_token_signing_alg_values_supported": []string{"ES256"}, "response_types_supported": []string{"code"},
	}
	if p.UserInfo != nil {
		d["userinfo_endpoint"] = p.URL + "/userinfo"
	}
	answer(w, http.StatusOK, d)
}

func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	back, err := url.Parse(q.Get("redirect_uri"))
	if err != nil || q.Get("client_id") != ClientID || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" {
		http.Error(w, "not a request of the code flow with PKCE", http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	out := url.Values{"state": {q.Get("state")}}
	if p.Deny != "" {
		out.Set("error", p.Deny)
	} else {
		code := rand.Text()
		p.codes[code] = q
		out.Set("code", code)
	}
	back.RawQuery = out.Encode()
	http.Redirect(w, r, back.String(), http.StatusFound)
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.Broken != 0 {
		answer(w, p.Broken, map[string]string{"error": "server_error"})
		return
	}
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.FormValue("client_id"), r.FormValue("client_secret")
	}
	if s, err := url.QueryUnescape(secret); err != nil || id != ClientID || s != ClientSecret {
		answer(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
		return
	}
	code := r.FormValue("code")
	q, ok := p.codes[code]
	sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	verified := base64.RawURLEncoding.EncodeToString(sum[:]) == q.Get("code_challenge")
	if !p.Sloppy {
		delete(p.codes, code)
	}
	if !ok || !verified && !p.Sloppy || r.FormValue("redirect_uri") != q.Get("redirect_uri") {
		answer(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant", "error_description": "the code is used up, or is somebody else's"})
		return
	}
	answer(w, http.StatusOK, map[string]any{
		"access_token": "access", "token_type": "Bearer", "expires_in": 300, "id_token": p.idToken(q.Get("nonce")),
	})
}

func (p *Provider) idToken(nonce string) string {
	now := time.Now()
	c := map[string]any{
		"iss": p.URL, "sub": "subject-1", "aud": ClientID, "nonce": nonce,
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), // long, for slow machines
	}
	maps.Copy(c, p.Claims)
	return p.sign(c)
}

// LogoutToken is what the provider posts when somebody has signed out there, with
// claims over those that belong there; nil takes one away.
func (p *Provider) LogoutToken(claims map[string]any) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	c := map[string]any{
		"iss": p.URL, "sub": "subject-1", "aud": ClientID, "jti": rand.Text(), "iat": now.Unix(), "exp": now.Add(2 * time.Minute).Unix(),
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	}
	maps.Copy(c, claims)
	return p.sign(c)
}

// sign is called under mu.
func (p *Provider) sign(c map[string]any) string {
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	head, key := map[string]string{"alg": "ES256", "kid": p.kid, "typ": "JWT"}, p.key
	if p.Unsigned {
		return part(map[string]string{"alg": "none"}) + "." + part(c) + "."
	}
	if p.OtherKey {
		var err error
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			panic(err)
		}
	}
	text := part(head) + "." + part(c)
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		panic(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

func part(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func (p *Provider) keys(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	if p.Keyless {
		answer(w, http.StatusBadGateway, map[string]string{"error": "bad gateway"})
		return
	}
	point, err := p.key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		panic(err)
	}
	answer(w, http.StatusOK, map[string]any{"keys": []any{map[string]string{
		"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": p.kid,
		"x": base64.RawURLEncoding.EncodeToString(point[1:33]), "y": base64.RawURLEncoding.EncodeToString(point[33:]),
	}}})
}

func (p *Provider) userInfo(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer access" || p.UserInfo == nil {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	answer(w, http.StatusOK, p.UserInfo)
}

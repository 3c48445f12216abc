package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// OIDCConfig is how people sign in with an account of an OpenID Connect provider.
type OIDCConfig struct {
	Issuer       string // where its /.well-known/openid-configuration is
	ClientID     string
	ClientSecret string // may be empty: PKCE is used in any case
	Name         string // of the provider, as people know it
	Scopes       []string

	// RoleClaim names the claim that lists somebody's groups; a dot leads into an
	// object, as in realm_access.roles. It is looked for in the ID token and then
	// at the provider's userinfo.
	RoleClaim string
	// Roles are the roles of groups, as "group=role". Of several the strongest counts.
	Roles []string
	// DefaultRole is that of who is in none of the groups; "" refuses them.
	DefaultRole Role

	// Logout has the provider end its session, too, when somebody signs out.
	Logout bool
	// Backchannel lets the provider end sessions here: see LoggedOut.
	Backchannel bool
	// Session is how long somebody who signed in there stays signed in at most, so
	// that an account which is closed there ends here; zero for as long as others.
	Session time.Duration
}

// unverified is what a token that could not be verified means: nothing is wrong
// with one while the provider's keys cannot be fetched. The library says that in
// words only.
func unverified(err error) error {
	if strings.HasPrefix(err.Error(), "failed to verify signature: fetching keys ") {
		return ErrUnreachable
	}
	return ErrUntrusted
}

// What can be wrong with a sign-in at the provider. Each is a word for people;
// what exactly it was is in the error that wraps it.
var (
	ErrUnreachable = errors.New("the sign-in provider cannot be reached")
	ErrUntrusted   = errors.New("what the sign-in provider answered is not in order")
	ErrNoRole      = errors.New("none of their groups has a role here")
	ErrNameTaken   = errors.New("another user has that name")
)

const (
	providerTime   = 10 * time.Second // for one answer of the provider
	providerAnswer = 1 << 20          // bytes of it
	providerAtOnce = 16               // sign-ins that wait for it
	providerPause  = 2 * time.Second  // before one that cannot be reached is asked again

	maxSubject = 255         // bytes of what a provider calls people and sessions
	minSession = time.Minute // or people would be sent to the provider all the time
)

// OIDC signs people in with accounts of one provider, which need not be there
// when it is made.
type OIDC struct {
	auth   *Auth
	cfg    OIDCConfig
	roles  map[string]Role
	client *http.Client
	slots  chan struct{}

	badLogouts *throttle // by address
	logouts    once      // by jti

	mu       sync.Mutex
	provider *oidc.Provider // nil until it has answered
	failed   time.Time
	why      error
}

// NewOIDC checks the configuration. It asks the provider nothing.
func NewOIDC(a *Auth, c OIDCConfig) (*OIDC, error) {
	u, err := url.Parse(c.Issuer)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("ECHOTWIN_OIDC_ISSUER: %q is no address of a provider, such as https://login.example.com/realms/plant", c.Issuer)
	}
	if c.ClientID == "" {
		return nil, errors.New("ECHOTWIN_OIDC_CLIENT_ID is needed with ECHOTWIN_OIDC_ISSUER: the name under which the provider knows this server")
	}
	o := &OIDC{auth: a, cfg: c, roles: map[string]Role{}, slots: make(chan struct{}, providerAtOnce), badLogouts: newThrottle(20)}
	for _, pair := range c.Roles {
		i := strings.LastIndex(pair, "=")
		if i < 1 || checkRole(Role(pair[i+1:])) != nil {
			return nil, fmt.Errorf("ECHOTWIN_OIDC_ROLES: %q is not group=role with one of the roles viewer, operator, engineer, admin", pair)
		}
		o.roles[pair[:i]] = Role(pair[i+1:])
	}
	if c.DefaultRole != "" && checkRole(c.DefaultRole) != nil {
		return nil, fmt.Errorf("ECHOTWIN_OIDC_DEFAULT_ROLE: %q is none of viewer, operator, engineer, admin", c.DefaultRole)
	}
	if c.Session != 0 && c.Session < minSession {
		return nil, fmt.Errorf("ECHOTWIN_OIDC_SESSION: %s is less than the minute that a session needs; 0 is for as long as other sessions", c.Session)
	}
	if len(o.roles) == 0 && c.DefaultRole == "" {
		return nil, errors.New("ECHOTWIN_OIDC_ROLES or ECHOTWIN_OIDC_DEFAULT_ROLE is needed with ECHOTWIN_OIDC_ISSUER: otherwise nobody has a role and everybody is refused")
	}
	o.cfg.Name = cmp.Or(c.Name, u.Hostname())
	o.cfg.RoleClaim = cmp.Or(c.RoleClaim, "groups")
	if !slices.Contains(c.Scopes, oidc.ScopeOpenID) {
		o.cfg.Scopes = append([]string{oidc.ScopeOpenID}, c.Scopes...)
	}
	o.client = &http.Client{Timeout: providerTime, Transport: limited{http.DefaultTransport}}
	return o, nil
}

// limited bounds what is read of each answer.
type limited struct{ http.RoundTripper }

func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := l.RoundTripper.RoundTrip(r)
	if err == nil {
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(res.Body, providerAnswer), res.Body}
	}
	return res, err
}

// Name is the provider's, as people know it.
func (o *OIDC) Name() string { return o.cfg.Name }

// A Journey is what a browser has to bring back from the provider. It is kept in
// a cookie that nobody else can read, so that whoever comes back is who left.
type Journey struct {
	State    string `json:"s"`
	Nonce    string `json:"n"`
	Verifier string `json:"v"` // of PKCE
	Callback string `json:"c"` // where the provider sends the browser
	Next     string `json:"p"` // where to go after that
}

// Begin is where the browser goes to sign in, and what it has to bring back.
func (o *OIDC) Begin(ctx context.Context, callback, next string) (string, Journey, error) {
	p, err := o.discover(ctx)
	if err != nil {
		return "", Journey{}, err
	}
	j := Journey{State: random(), Nonce: random(), Verifier: oauth2.GenerateVerifier(), Callback: callback, Next: next}
	return o.oauth2(p, callback).AuthCodeURL(j.State, oidc.Nonce(j.Nonce), oauth2.S256ChallengeOption(j.Verifier)), j, nil
}

func (o *OIDC) oauth2(p *oidc.Provider, callback string) *oauth2.Config {
	return &oauth2.Config{ClientID: o.cfg.ClientID, ClientSecret: o.cfg.ClientSecret, Endpoint: p.Endpoint(), RedirectURL: callback, Scopes: o.cfg.Scopes}
}

// discover asks the provider where its doors are, once it answers.
func (o *OIDC) discover(ctx context.Context) (*oidc.Provider, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.provider != nil {
		return o.provider, nil
	}
	if o.why != nil && time.Since(o.failed) < providerPause {
		return nil, o.why
	}
	// What one browser does not wait for, the next one needs.
	p, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), o.client), o.cfg.Issuer)
	if err != nil {
		o.failed, o.why = time.Now(), fmt.Errorf("%w: %w", ErrUnreachable, err)
		return nil, o.why
	}
	o.provider, o.why = p, nil
	return p, nil
}

// Finish makes of the code that the browser brought back the user whom the
// provider means. At the first sign-in the user is made; at each one the role
// becomes what the groups say.
func (o *OIDC) Finish(ctx context.Context, j Journey, code string) (Arrival, error) {
	select {
	case o.slots <- struct{}{}:
		defer func() { <-o.slots }()
	default:
		return Arrival{}, ErrBusy
	}
	p, err := o.discover(ctx)
	if err != nil {
		return Arrival{}, err
	}
	ctx = oidc.ClientContext(ctx, o.client)
	token, err := o.oauth2(p, j.Callback).Exchange(ctx, code, oauth2.VerifierOption(j.Verifier))
	if err != nil {
		var refused *oauth2.RetrieveError
		if errors.As(err, &refused) && refused.Response.StatusCode < 500 {
			return Arrival{}, fmt.Errorf("%w: the code: %s %s", ErrUntrusted, refused.ErrorCode, refused.ErrorDescription)
		}
		return Arrival{}, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := p.Verifier(&oidc.Config{ClientID: o.cfg.ClientID}).Verify(ctx, raw)
	if err != nil {
		return Arrival{}, fmt.Errorf("%w: the ID token: %w", unverified(err), err)
	}
	if id.Nonce != j.Nonce {
		return Arrival{}, fmt.Errorf("%w: the ID token is of another sign-in", ErrUntrusted)
	}
	c := claims{}
	if err := id.Claims(&c); err != nil {
		return Arrival{}, fmt.Errorf("%w: the ID token: %w", ErrUntrusted, err)
	}
	if azp, ok := c["azp"].(string); ok && azp != o.cfg.ClientID {
		return Arrival{}, fmt.Errorf("%w: the ID token was given to %q", ErrUntrusted, azp)
	}
	if id.Subject == "" || len(id.Subject) > maxSubject {
		return Arrival{}, fmt.Errorf("%w: the ID token names nobody", ErrUntrusted)
	}
	if _, ok := c.at(o.cfg.RoleClaim); !ok && p.UserInfoEndpoint() != "" {
		if err := o.userInfo(ctx, p, token, id.Subject, c); err != nil {
			return Arrival{}, err
		}
	}
	u, err := o.user(ctx, id.Subject, c)
	sid, _ := c["sid"].(string)
	if len(sid) > maxSubject {
		return Arrival{}, fmt.Errorf("%w: the ID token names its session in more than %d bytes", ErrUntrusted, maxSubject)
	}
	return Arrival{User: u, sid: sid}, err
}

// An Arrival is somebody whom the provider has signed in.
type Arrival struct {
	User User
	sid  string // what it calls its session; "" when it does not say
}

// StartSession is that of Auth for somebody who comes from the provider.
func (o *OIDC) StartSession(ctx context.Context, who Arrival, address, agent string) (string, error) {
	s := session{User: who.User.Username, Era: who.User.Era, Address: address, Agent: cleanAgent(agent), SID: who.sid}
	if o.cfg.Session > 0 {
		s.Until = time.Now().Add(o.cfg.Session)
	}
	return o.auth.startSession(ctx, s)
}

// userInfo adds what the provider tells of somebody besides.
func (o *OIDC) userInfo(ctx context.Context, p *oidc.Provider, token *oauth2.Token, subject string, c claims) error {
	info, err := p.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return fmt.Errorf("%w: userinfo: %w", ErrUnreachable, err)
	}
	if info.Subject != subject {
		return fmt.Errorf("%w: userinfo is of somebody else", ErrUntrusted)
	}
	more := claims{}
	if err := info.Claims(&more); err != nil {
		return fmt.Errorf("%w: userinfo: %w", ErrUntrusted, err)
	}
	for name, v := range more {
		if _, ok := c[name]; !ok {
			c[name] = v
		}
	}
	return nil
}

// SignOut is where the browser goes so that the provider ends its session, too;
// "" when that is not wanted, or not to be had.
func (o *OIDC) SignOut(ctx context.Context, back string) string {
	if !o.cfg.Logout {
		return ""
	}
	p, err := o.discover(ctx)
	if err != nil {
		return ""
	}
	var doors struct {
		End string `json:"end_session_endpoint"`
	}
	if p.Claims(&doors) != nil {
		return ""
	}
	u, err := url.Parse(doors.End)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	q := u.Query()
	q.Set("client_id", o.cfg.ClientID)
	q.Set("post_logout_redirect_uri", back)
	u.RawQuery = q.Encode()
	return u.String()
}

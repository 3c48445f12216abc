package server

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
)

// openRoutes need no credentials. Every other route answers 401 without.
var openRoutes = []string{
	"GET /", "GET /login.html", "GET /public/*", "GET /docs", "GET /docs/streams", "GET /openapi.json", "GET /asyncapi.json",
	"GET /health", "GET /livez", "GET /readyz",
	"GET /metrics", // in development; see TestP10Metrics
	"POST /api/login", "POST /api/logout", "GET /api/oidc/login", "GET /api/oidc/callback", "POST /api/oidc/backchannel-logout", "GET /api/me", "POST /api/token",
	"GET /ws", // an anonymous one has to send auth first
}

func TestEveryRouteNeedsCredentialsButThese(t *testing.T) {
	s := newSite(t)
	seen := map[string]bool{}
	for _, r := range s.echo.Routes() {
		if r.Method == echo.RouteNotFound || strings.HasPrefix(r.Method, "echo") {
			continue
		}
		name := r.Method + " " + r.Path
		if seen[name] {
			t.Errorf("%s is registered twice", name)
		}
		seen[name] = true
		open := slices.Contains(openRoutes, strings.Replace(name, "HEAD ", "GET ", 1))
		path := strings.NewReplacer("/*", "/x", ":id", "x", ":name", "x").Replace(r.Path)
		a := s.do(r.Method, path, "")
		if (a.StatusCode == 401) == open {
			t.Errorf("%s without credentials: got %d %s", name, a.StatusCode, a.body)
		}
		if a.StatusCode == 401 && a.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: a 401 without WWW-Authenticate", name)
		}
		// Credentials that are wrong are never taken for none.
		if a := s.do(r.Method, path, "", "Authorization: Bearer et_wrong"); !open && a.StatusCode != 401 {
			t.Errorf("%s with a wrong token: got %d", name, a.StatusCode)
		}
	}
	for _, name := range openRoutes {
		if !seen[name] {
			t.Errorf("%s does not exist", name)
		}
	}
}

func TestF6LogoutRevokes(t *testing.T) {
	s := newSite(t)
	s.login()
	cookie := s.cookie()
	thief := newClient()
	s.do("POST", "/api/logout", "").want(t, 200, "")
	s.client = thief
	if got := strings.TrimSpace(s.get("/api/me", "Cookie: "+cookie).body); got != `{"loggedIn":false}` {
		t.Errorf("the old cookie gives %s", got)
	}
	s.get("/api/tokens", "Cookie: "+cookie).want(t, 401, "unauthorized")
}

// cookie is the client's, as it is sent.
func (s *site) cookie() string {
	s.Helper()
	r, _ := http.NewRequest("GET", s.url, nil)
	for _, c := range s.client.Jar.Cookies(r.URL) {
		return c.String()
	}
	s.Fatal("no cookie")
	return ""
}

func TestF6TheCookieCannotBeRead(t *testing.T) {
	s := newSite(t)
	s.login()
	_, value, _ := strings.Cut(s.cookie(), "=")
	for text := value; len(text) > 8; {
		b, err := decodeBase64(text)
		if err != nil {
			break
		}
		if strings.Contains(string(b), "admin") {
			t.Fatalf("the cookie says %q", b)
		}
		parts := strings.Split(string(b), "|")
		text = parts[min(1, len(parts)-1)]
	}
}

func TestAForgedOrForeignCookieIsNoSession(t *testing.T) {
	s := newSite(t)
	s.login()
	good := s.cookie()
	other := newSite(t, func(d *Deps) { d.SessionSecret = "another-secret-0123456789-abcdefgh" })
	other.login()
	s.client = newClient()
	for _, cookie := range []string{good[:len(good)-3], good + "x", "session=", "session=x", other.cookie(), "session=" + strings.Repeat("A", 8000)} {
		if got := strings.TrimSpace(s.get("/api/me", "Cookie: "+cookie).body); got != `{"loggedIn":false}` {
			t.Errorf("%.40s gives %s", cookie, got)
		}
	}
	if got := s.get("/api/me", "Cookie: "+good).json(t)["loggedIn"]; got != true {
		t.Errorf("the good one gives %v", got)
	}
}

// A login must not make a session that somebody else planted valid.
func TestLoginMakesANewSession(t *testing.T) {
	s := newSite(t)
	s.login()
	first := s.cookie()
	s.login()
	if second := s.cookie(); first == second {
		t.Error("the session is the same")
	}
	s.client = newClient()
	if got := s.get("/api/me", "Cookie: "+first).json(t)["loggedIn"]; got != false {
		t.Error("the session before the login still lives")
	}
}

func TestWritesMustComeFromOurPages(t *testing.T) {
	s := newSite(t, func(d *Deps) { d.Origins = []string{"https://Panel.example.com/"} })
	s.login()
	for i, tt := range []struct {
		headers []string
		ok      bool
	}{
		{nil, true}, // a script
		{[]string{"Sec-Fetch-Site: same-origin"}, true},
		{[]string{"Sec-Fetch-Site: none"}, true},
		{[]string{"Origin: " + s.url}, true},
		{[]string{"Sec-Fetch-Site: cross-site", "Origin: https://evil.example"}, false},
		{[]string{"Sec-Fetch-Site: same-site", "Origin: http://other.localhost"}, false},
		{[]string{"Sec-Fetch-Site: cross-site"}, false},
		{[]string{"Origin: https://evil.example"}, false},
		{[]string{"Origin: null"}, false},
		{[]string{"Origin: " + s.url + ".evil.example"}, false},
		{[]string{"Sec-Fetch-Site: cross-site", "Origin: https://panel.example.com"}, true},
		{[]string{"Origin: https://panel.example.com"}, true},
		{[]string{"Origin: http://panel.example.com"}, false},
	} {
		for _, r := range [][2]string{{"POST", "/api/tickets"}, {"POST", "/api/logout"}, {"DELETE", "/api/tokens/x"}, {"POST", "/api/login"}} {
			// Each from an address of its own, so that refused logins are not counted together.
			from := fmt.Sprintf("X-Forwarded-For: 203.0.113.%d", i)
			a := s.do(r[0], r[1], `{"username":"nobody","password":"x"}`, append(tt.headers, from)...)
			if (a.StatusCode == 403) == tt.ok {
				t.Errorf("%s %s with %v: got %d %s", r[0], r[1], tt.headers, a.StatusCode, a.body)
			}
			if r[1] == "/api/logout" && tt.ok {
				s.login()
			}
		}
	}
}

func TestReadsMayComeFromAnywhere(t *testing.T) {
	s := newSite(t)
	s.get("/api/me", "Sec-Fetch-Site: cross-site", "Origin: https://evil.example").want(t, 200, "")
}

func TestF10LoginIsThrottled(t *testing.T) {
	s := newSite(t)
	for range 5 {
		s.do("POST", "/api/login", `{"username":"admin","password":"wrong"}`).want(t, 401, "unauthorized")
	}
	a := s.do("POST", "/api/login", `{"username":"admin","password":"123456"}`)
	a.want(t, 429, "too_many")
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	a = s.do("POST", "/api/login", `{"username":"admin","password":"123456"}`, "X-Forwarded-For: 203.0.113.5")
	a.want(t, 200, "") // the right user, from elsewhere
}

func TestBodiesAreBounded(t *testing.T) {
	s := newSite(t)
	big := `{"username":"` + strings.Repeat("a", 1<<20) + `"}`
	s.do("POST", "/api/login", big).want(t, 413, "too_large")
	s.do("POST", "/api/login", strings.Repeat("[", 10000)).want(t, 400, "malformed")
}

func TestAPanicIsAnswered(t *testing.T) {
	s := newSite(t)
	s.echo.GET("/boom", func(echo.Context) error { panic("secret detail") })
	a := s.get("/boom")
	a.want(t, 500, "internal")
	if strings.Contains(a.body, "secret") {
		t.Errorf("got %s", a.body)
	}
	s.get("/health").want(t, 200, "")
}

func TestAnAnswerThatBreaksIsCut(t *testing.T) {
	s := newSite(t)
	s.echo.GET("/half", func(c echo.Context) error {
		_, _ = c.Response().Write([]byte(strings.Repeat("half an answer ", 1000)))
		panic("in the middle")
	})
	r, err := s.client.Get(s.url + "/half")
	if err == nil {
		defer r.Body.Close()
		buf := make([]byte, 1<<20)
		n := 0
		for err == nil {
			var k int
			k, err = r.Body.Read(buf[n:])
			n += k
		}
		if err.Error() == "EOF" {
			t.Error("half an answer looks whole")
		}
	}
}

func TestRememberedCookiesAreBounded(t *testing.T) {
	var o opened
	for i := range maxOpened + 10 {
		o.put(fmt.Sprint(i), "id")
	}
	if len(o.m) > maxOpened {
		t.Errorf("%d are remembered", len(o.m))
	}
	if _, ok := o.get(fmt.Sprint(maxOpened + 9)); !ok {
		t.Error("the newest is not")
	}
}

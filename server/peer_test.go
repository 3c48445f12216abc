package server

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestF9ForwardedHeaders(t *testing.T) {
	for _, tt := range []struct {
		name    string
		trusted []string
		remote  string
		headers []string // pairs
		want    visit
	}{
		{"nothing between", nil, "203.0.113.5:4000", nil, visit{addr: "203.0.113.5", host: "plant.example"}},
		{"a stranger claims https", nil, "203.0.113.5:4000",
			[]string{"X-Forwarded-Proto", "https", "X-Forwarded-Port", "443", "X-Forwarded-For", "127.0.0.1", "X-Forwarded-Host", "evil.example"},
			visit{addr: "203.0.113.5", host: "plant.example"}},
		{"nginx on this machine", nil, "127.0.0.1:4000",
			[]string{"X-Forwarded-Proto", "https", "X-Forwarded-For", "203.0.113.5"}, visit{addr: "203.0.113.5", host: "plant.example", https: true}},
		{"nginx in the next container", nil, "172.18.0.2:4000",
			[]string{"X-Forwarded-Proto", "https"}, visit{addr: "172.18.0.2", host: "plant.example", https: true}},
		{"the port alone", nil, "127.0.0.1:4000",
			[]string{"X-Forwarded-Port", "443"}, visit{addr: "127.0.0.1", host: "plant.example", https: true}},
		{"the seed's nginx, whose port is a constant", nil, "127.0.0.1:4000",
			[]string{"X-Forwarded-Proto", "http", "X-Forwarded-Port", "443"}, visit{addr: "127.0.0.1", host: "plant.example"}},
		{"a websocket", nil, "127.0.0.1:4000", []string{"X-Forwarded-Proto", "wss"}, visit{addr: "127.0.0.1", host: "plant.example", https: true}},
		{"two proxies, and lies before them", nil, "10.0.0.1:4000",
			[]string{"X-Forwarded-For", "1.1.1.1, 203.0.113.5, 10.0.0.9", "X-Forwarded-Proto", "https, http"},
			visit{addr: "203.0.113.5", host: "plant.example", https: true}},
		{"a list in two headers", nil, "10.0.0.1:4000",
			[]string{"X-Forwarded-For", "1.1.1.1", "X-Forwarded-For", "203.0.113.5"}, visit{addr: "203.0.113.5", host: "plant.example"}},
		{"rubbish in the list", nil, "10.0.0.1:4000",
			[]string{"X-Forwarded-For", "203.0.113.5, <script>"}, visit{addr: "10.0.0.1", host: "plant.example"}},
		{"the host of the outer name", nil, "127.0.0.1:4000",
			[]string{"X-Forwarded-Host", "outer.example"}, visit{addr: "127.0.0.1", host: "outer.example"}},
		{"IPv6 counts by its network", nil, "[2001:db8:1:2:3:4:5:6]:4000", nil, visit{addr: "2001:db8:1:2::/64", host: "plant.example"}},
		{"this machine is no network", nil, "[::1]:4000", nil, visit{addr: "::1", host: "plant.example"}},
		{"IPv4 in IPv6", nil, "[::ffff:127.0.0.1]:4000", []string{"X-Forwarded-Proto", "https"}, visit{addr: "127.0.0.1", host: "plant.example", https: true}},
		{"nobody is trusted", []string{}, "127.0.0.1:4000", []string{"X-Forwarded-Proto", "https"}, visit{addr: "127.0.0.1", host: "plant.example"}},
		{"a network", []string{"198.51.100.0/24"}, "198.51.100.7:4000", []string{"X-Forwarded-Proto", "https"}, visit{addr: "198.51.100.7", host: "plant.example", https: true}},
		{"an address", []string{"198.51.100.7"}, "198.51.100.8:4000", []string{"X-Forwarded-Proto", "https"}, visit{addr: "198.51.100.8", host: "plant.example"}},
	} {
		p, err := parseProxies(tt.trusted)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("GET", "http://plant.example/", nil)
		r.RemoteAddr = tt.remote
		for i := 0; i < len(tt.headers); i += 2 {
			r.Header.Add(tt.headers[i], tt.headers[i+1])
		}
		if got := *p.meet(r); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
	if _, err := parseProxies([]string{"everybody"}); err == nil {
		t.Error("a word that means nothing was accepted")
	}
}

func TestLocalMeansThisMachineWithoutAProxy(t *testing.T) {
	for _, tt := range []struct {
		remote, host, header string
		want                 bool
	}{
		{"127.0.0.1:1", "localhost:3000", "", true},
		{"[::1]:1", "[::1]:3000", "", true},
		{"127.0.0.1:1", "127.0.0.1:3000", "", true},
		{"127.0.0.1:1", "plant.example", "", false}, // a name that an attacker's DNS points here
		{"127.0.0.1:1", "localhost", "X-Forwarded-For", false},
		{"127.0.0.1:1", "localhost", "X-Forwarded-Proto", false},
		{"127.0.0.1:1", "localhost", "Forwarded", false},
		{"192.168.1.9:1", "localhost", "", false},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr, r.Host = tt.remote, tt.host
		if tt.header != "" {
			r.Header.Set(tt.header, "x")
		}
		p, _ := parseProxies(nil)
		if got := p.meet(r).local; got != tt.want {
			t.Errorf("%+v: got %v", tt, got)
		}
	}
}

func TestS3RedirectToHTTPS(t *testing.T) {
	plain := newSite(t)
	off := newSite(t, func(d *Deps) { d.NoHTTPSRedirect = true })
	for _, tt := range []struct {
		site             *site
		host, path       string
		proto, port, loc string // loc "" means no redirect
	}{
		{plain, "plant.example", "/app", "", "", "https://plant.example/app"},
		{plain, "plant.example", "/app?x=1&y=a%2Fb", "", "", "https://plant.example/app?x=1&y=a%2Fb"},
		{plain, "plant.example:3000", "/", "", "", "https://plant.example/"},
		{plain, "Plant.Example.", "/", "", "", "https://plant.example/"},
		{plain, "plant.example", "/no/such/page", "", "", "https://plant.example/no/such/page"},
		{plain, "plant.example", "//evil.example/x", "", "", "https://plant.example//evil.example/x"},
		{plain, "plant.example", "/api/me", "http", "", "https://plant.example/api/me"},
		{plain, "plant.example", "/api/me", "http", "80", "https://plant.example/api/me"},
		{plain, "plant.example", "/api/me", "https", "", ""},
		{plain, "plant.example", "/api/me", "", "443", ""},
		{plain, "plant.example", "/api/me", "", "80", "https://plant.example/api/me"},
		{plain, "localhost", "/api/me", "", "", ""},
		{plain, "localhost:3000", "/api/me", "", "", ""},
		{plain, "127.0.0.1:3000", "/api/me", "", "", ""},
		{plain, "[::1]:3000", "/api/me", "", "", ""},
		{plain, "192.168.1.20:3000", "/api/me", "", "", ""}, // no real host name
		{plain, "echotwin:3000", "/api/me", "", "", ""},     // as Prometheus and containers call it
		{plain, "raspberrypi.local:3000", "/api/me", "", "", ""},
		{plain, "localhost.evil.example", "/", "", "", "https://localhost.evil.example/"},
		{plain, "127.0.0.1.evil.example", "/", "", "", "https://127.0.0.1.evil.example/"},
		{plain, "plant.example", "/.well-known/acme-challenge/token", "", "", ""},
		{plain, "plant.example", "/.well-known/acme-challenge", "", "", ""},
		{plain, "plant.example", "/.well-known/acme-challenges", "", "", "https://plant.example/.well-known/acme-challenges"},
		{plain, "plant.example", "/x/.well-known/acme-challenge/token", "", "", "https://plant.example/x/.well-known/acme-challenge/token"},
		{off, "plant.example", "/api/me", "", "", ""},
		{off, "plant.example", "/api/me", "http", "80", ""},
	} {
		headers := []string{"Host: " + tt.host}
		if tt.proto != "" {
			headers = append(headers, "X-Forwarded-Proto: "+tt.proto)
		}
		if tt.port != "" {
			headers = append(headers, "X-Forwarded-Port: "+tt.port)
		}
		tt.site.T = t
		for _, method := range []string{"GET", "POST"} {
			a := tt.site.do(method, tt.path, "", headers...)
			switch {
			case tt.loc == "" && a.StatusCode == http.StatusPermanentRedirect:
				t.Errorf("%s %+v: sent to %s", method, tt, a.Header.Get("Location"))
			case tt.loc != "" && (a.StatusCode != http.StatusPermanentRedirect || a.Header.Get("Location") != tt.loc):
				t.Errorf("%s %+v: got %d %q", method, tt, a.StatusCode, a.Header.Get("Location"))
			}
		}
	}
}

// A host that is no name must not become part of a Location.
func TestS3OddHosts(t *testing.T) {
	for _, host := range []string{"", ":", "a b.c", "evil.example\\@plant.example", "evil.example/x", "a.b?c", "a.b#c", "user@a.b", "ex\u00e4mple.de"} {
		if realName(host) {
			t.Errorf("%q passes for a host name", host)
		}
	}
}

func TestS4HSTS(t *testing.T) {
	for _, production := range []bool{false, true} {
		s := newSite(t, func(d *Deps) { d.Production = production })
		want := ""
		if production {
			want = "max-age=31536000; includeSubDomains; preload"
		}
		for _, path := range []string{"/health", "/login.html", "/nope", "/api/tokens"} {
			if got := s.get(path, "X-Forwarded-Proto: https").Header.Get("Strict-Transport-Security"); got != want {
				t.Errorf("production %v: %s has %q", production, path, got)
			}
		}
	}
}

func TestS11Health(t *testing.T) {
	s := newSite(t)
	for _, tt := range []struct {
		headers        []string
		host, protocol string
	}{
		{[]string{"Host: localhost:3000"}, "localhost:3000", "http"},
		{[]string{"Host: plant.example", "X-Forwarded-Proto: https"}, "plant.example", "https"},
		{[]string{"Host: 10.0.0.3", "X-Forwarded-Proto: https", "X-Forwarded-Host: plant.example"}, "plant.example", "https"},
	} {
		a := s.get("/health", tt.headers...)
		a.want(t, 200, "")
		if m := a.json(t); m["status"] != "ok" || m["host"] != tt.host || m["protocol"] != tt.protocol {
			t.Errorf("%v: got %s", tt.headers, a.body)
		}
	}
}

func TestF8LoginSaysWhyItWillNotStick(t *testing.T) {
	for _, tt := range []struct {
		production bool
		headers    []string
		warned     bool
	}{
		{true, nil, true},
		{true, []string{"X-Forwarded-Proto: https"}, false},
		{false, nil, false},
	} {
		s := newSite(t, func(d *Deps) { d.Production = tt.production })
		password := map[bool]string{false: "123456", true: productionPassword(true)}[tt.production]
		a := s.do("POST", "/api/login", `{"username":"admin","password":"`+password+`"}`, tt.headers...)
		a.want(t, 200, "")
		if _, warned := a.json(t)["warning"]; warned != tt.warned {
			t.Errorf("%+v: got %s", tt, a.body)
		}
	}
}

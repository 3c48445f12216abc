package server

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"echotwin/server/auth"
)

// proxies are whose X-Forwarded-… headers are believed. From anybody else they
// are what an attacker would like us to believe.
type proxies struct {
	loopback, private bool
	nets              []netip.Prefix
}

func parseProxies(names []string) (proxies, error) {
	if names == nil {
		return proxies{loopback: true, private: true}, nil
	}
	var p proxies
	for _, n := range names {
		switch n = strings.TrimSpace(n); n {
		case "loopback":
			p.loopback = true
		case "private":
			p.private = true
		case "", "none":
		default:
			net, err := netip.ParsePrefix(n)
			if err != nil {
				a, err := netip.ParseAddr(n)
				if err != nil {
					return p, fmt.Errorf("trusted proxy %q: want loopback, private, an address or a network such as 203.0.113.0/24", n)
				}
				net = netip.PrefixFrom(a, a.BitLen())
			}
			p.nets = append(p.nets, net)
		}
	}
	return p, nil
}

func (p proxies) trust(a netip.Addr) bool {
	return p.loopback && a.IsLoopback() ||
		p.private && (a.IsPrivate() || a.IsLinkLocalUnicast()) ||
		slices.ContainsFunc(p.nets, func(n netip.Prefix) bool { return n.Contains(a) })
}

// A visit is what is known about one request.
type visit struct {
	addr  string // the client's address, of IPv6 its /64: one household has as many as it likes
	host  string // as the client named it, with port
	https bool
	local bool // from this machine, and not through a proxy

	asked bool // identity was looked up
	who   *auth.Identity
	err   error
}

const visitKey = "visit"

// meet finds out who is at the other end of the proxies.
func (s *Server) meet(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Set(visitKey, s.proxies.meet(c.Request()))
		return next(c)
	}
}

func visitOf(c echo.Context) *visit {
	v, _ := c.Get(visitKey).(*visit)
	if v == nil {
		return &visit{} // a panic before meet
	}
	return v
}

func (p proxies) meet(r *http.Request) *visit {
	ap, _ := netip.ParseAddrPort(r.RemoteAddr)
	peer := ap.Addr().Unmap()
	v := &visit{host: r.Host, https: r.TLS != nil}
	v.local = peer.IsLoopback() && !forwarded(r.Header) && localName(r.Host)
	if p.trust(peer) {
		peer = p.client(peer, r.Header.Values("X-Forwarded-For"))
		if h := first(r.Header.Get("X-Forwarded-Host")); h != "" {
			v.host = h
		}
		switch proto := first(r.Header.Get("X-Forwarded-Proto")); {
		case proto != "":
			v.https = strings.EqualFold(proto, "https") || strings.EqualFold(proto, "wss")
		case first(r.Header.Get("X-Forwarded-Port")) == "443":
			v.https = true
		}
	}
	v.addr = household(peer)
	return v
}

// client is the last address that no trusted proxy added by itself: what stands
// left of it can be anything.
func (p proxies) client(peer netip.Addr, lists []string) netip.Addr {
	var hops []string
	for _, l := range lists {
		hops = append(hops, strings.Split(l, ",")...)
	}
	for _, h := range slices.Backward(hops) {
		a, err := netip.ParseAddr(strings.TrimSpace(h))
		if err != nil {
			return peer
		}
		peer = a.Unmap()
		if !p.trust(peer) {
			return peer
		}
	}
	return peer
}

// addressOf is an address of text, as a visit's is.
func addressOf(text string) string {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return ""
	}
	return household(a.Unmap())
}

func household(a netip.Addr) string {
	if a.Is6() && !a.IsLoopback() {
		if net, err := a.WithZone("").Prefix(64); err == nil {
			return net.String()
		}
	}
	return a.String()
}

// forwarded says whether a proxy left its mark.
func forwarded(h http.Header) bool {
	for _, k := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "Forwarded", "X-Real-Ip", "Via"} {
		if len(h[k]) > 0 {
			return true
		}
	}
	return false
}

// first is the entry of the outermost proxy.
func first(list string) string {
	f, _, _ := strings.Cut(list, ",")
	return strings.TrimSpace(f)
}

// hostname is a host without its port and brackets, in lower case.
func hostname(hostport string) string {
	h := hostport
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		h = host
	}
	return strings.TrimSuffix(strings.ToLower(strings.Trim(h, "[]")), ".")
}

// localName says whether a host means this machine.
func localName(hostport string) bool {
	h := hostname(hostport)
	if h == "localhost" || strings.HasSuffix(h, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(h)
	return err == nil && a.IsLoopback()
}

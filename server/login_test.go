package server

import "testing"

// The login page names the demo login where there is one; the body of /api/me
// stays the original's.
func TestMeTellsOfTheDemoLogin(t *testing.T) {
	for _, demo := range []bool{true, false} {
		s := newSite(t, func(d *Deps) { d.DemoLogin = demo })
		if got := s.get("/api/me").Header.Get("Echotwin-Demo-Login") == "1"; got != demo {
			t.Errorf("with DemoLogin %v the header says %v", demo, got)
		}
	}
}

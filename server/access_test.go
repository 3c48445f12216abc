package server

import (
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"

	"echotwin/server/auth"
)

func TestTheTableOfAccessIsTheCode(t *testing.T) {
	b, err := os.ReadFile("../docs/access.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range auth.Permissions() {
		rule, _ := auth.RuleOf(p)
		also := ""
		switch {
		case rule.Ticket:
			also = "a ticket "
		case rule.Device:
			also = "a device "
		case rule.Person:
			also = "a session, or a token with the scope admin and for all things "
		case rule.Whole:
			also = "for all things "
		}
		row := fmt.Sprintf("| `%s` | %s | %s | %s|\n", p, rule.Role, rule.Scope, also)
		if !strings.Contains(string(b), row) {
			t.Errorf("docs/access.md lacks %s", row)
		}
	}
}

// Whatever is sent as a credential, it is nobody's, and nothing breaks.
func FuzzCredentials(f *testing.F) {
	for _, s := range []string{"", "Bearer ", "Bearer et_x", "Bearer ed_x", "Basic !!", "Basic ZWRfeDo=", "Basic Omx4", "bearer\tet_", "Digest x", "e30.x", strings.Repeat("A", 9000)} {
		f.Add(s)
	}
	a := &Server{Deps: Deps{Auth: newAuth(f, auth.Config{Secret: "for-tests-only-0123456789-abcdefgh"})}}
	f.Fuzz(func(t *testing.T, s string) {
		for _, try := range []func() (*auth.Identity, error){
			func() (*auth.Identity, error) { return a.Auth.Token(t.Context(), s) },
			func() (*auth.Identity, error) { return a.Auth.Ticket(t.Context(), s) },
			func() (*auth.Identity, error) { return a.Auth.DeviceToken(t.Context(), s, s) },
			func() (*auth.Identity, error) { return a.Auth.Device(t.Context(), s, s, s) },
			func() (*auth.Identity, error) { return a.Auth.Session(t.Context(), s) },
		} {
			if who, err := try(); err == nil || who != nil {
				t.Fatalf("%q is %v", s, who)
			}
		}
	})
}

// No expression tells of a thing that the token does not cover.
func TestHostileQueriesTellNothing(t *testing.T) {
	p := newPast(t)
	p.say(`{"speed":60.4}`)
	p.do("POST", "/api/telemetry/office/lamp", `{"power":7}`).want(t, 202, "")
	p.kept()
	header := "Authorization: Bearer " + p.token(`{"name":"x","scopes":["read"],"things":["office/**"]}`)
	for _, q := range []string{
		`echotwin_value{thing=~".*"}`, `{__name__=~".+"}`, `{thing!=""}`, `echotwin_value or echotwin_value{thing="plant/pump"}`,
		`label_replace(echotwin_value, "x", "$1", "thing", "(.*)")`, `count_values("v", echotwin_value)`, `topk(9, echotwin_value)`,
		`max_over_time(echotwin_value[1h:1s])`, `echotwin_value{thing="plant/pump"} offset -1s`, `sum by (thing, property) (echotwin_value)`,
		`max_over_time(echotwin_value[10y:1ms])`, `max_over_time(max_over_time(echotwin_value[1y:1s])[1y:1s])`, `sum_over_time(echotwin_value[100y])`,
		`{thing=~"(.*)*(.*)*(.*)*x"}`, `{thing=~"((a{1000}){1000}){1000}"}`, `label_replace(echotwin_value, "x", "$1$1$1$1", "thing", "((((.*)*)*)*)*")`,
		`absent(echotwin_value{thing="plant/pump"})`, `{thing=~"(a+)+$"}`, `((((((((((1))))))))))`, strings.Repeat("-", 5000) + "1", strings.Repeat("(", 20000), "\xff\x00", `{`, ``,
	} {
		a := p.get(prometheusPrefix+"query?timeout=5s&query="+url.QueryEscape(q), header)
		// What takes too long, or too much memory, is refused, and no fault of ours.
		tooMuch := a.StatusCode == 503 && strings.Contains(a.body, `"errorType":"timeout"`)
		told := strings.Contains(a.body, "60.4") || strings.Contains(a.body, `"thing":"plant/pump"`) && !strings.HasPrefix(q, "absent")
		if told || a.StatusCode >= 500 && !tooMuch {
			t.Errorf("%.60q: got %d %.300s", q, a.StatusCode, a.body)
		}
	}
	p.get("/health").want(t, 200, "")
}

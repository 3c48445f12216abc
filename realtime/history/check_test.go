package history

import (
	"strings"
	"testing"
)

func TestCheckQuery(t *testing.T) {
	for q, want := range map[string]string{
		`echotwin_value{property="speed"} > 80`:                    "",
		`avg by (thing) (rate(echotwin_value[5m])) > 1 and on() x`: "",
		`1 + 1`:                        "always there",
		`echotwin_value[5m]`:           "range vector",
		`"x"`:                          "string",
		`sum(`:                         "parse error",
		``:                             "parse error",
		strings.Repeat("(", 1000):      "parse error",
		strings.Repeat("-", 999) + "x": "",
	} {
		err := CheckQuery(q)
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: got %v, want %q", q, err, want)
		}
	}
}

// FuzzCheckQuery: whatever is sent as an expression is read or refused.
func FuzzCheckQuery(f *testing.F) {
	for _, q := range []string{`a > 1`, `sum by (thing) (rate(a[5m] offset 1h)) / 2 >= bool 3`, `a{b=~"c|d"} unless on(x) group_left(y) e`, `((((`, `topk(3, a @ 5)`, "a\x00", `{__name__="x"}`} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, q string) {
		if err := CheckQuery(q); err != nil && err.Error() == "" {
			t.Errorf("%q is refused without a word", q)
		}
	})
}

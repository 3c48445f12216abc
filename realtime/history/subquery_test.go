package history

import (
	"strings"
	"testing"
	"time"
)

// A subquery that would need more memory than there is is refused by its steps, in
// whatever it hides; what people ask for is not.
func TestSubqueriesAreBounded(t *testing.T) {
	for q, ok := range map[string]bool{
		`max_over_time(echotwin_value[30d:1m])`:                                     true,
		`max_over_time(echotwin_value[1y:])`:                                        true,
		`max_over_time(rate(echotwin_value[5m])[1h:1s])`:                            true,
		`max_over_time(echotwin_value[1000000s:1s])`:                                true,
		`max_over_time(echotwin_value[1000001s:1s])`:                                false,
		`max_over_time(echotwin_value[10y:1ms])`:                                    false,
		`max_over_time(echotwin_value[290y:1ms])`:                                   false,
		`max_over_time(echotwin_value[10y:])`:                                       false,
		`sum(1 + -(max_over_time((echotwin_value)[10y:1ms] offset 1h) > 2))`:        false,
		`max_over_time(max_over_time(echotwin_value[10s:1s])[290y:1w])`:             false, // the inner one is asked for every second of it
		`max_over_time(max_over_time(max_over_time(x[1s:1ms])[1h:1s])[1h:1s])`:      false,
		`max_over_time(max_over_time(max_over_time(x[1m:1s])[1h:1s])[1h:1m])`:       true,
		`label_replace(max_over_time(x[10y:1ms] @ end()), "a", "b", "c", "d")`:      false,
		`quantile_over_time(scalar(max_over_time(x[10y:1ms])), echotwin_value[1h])`: false,
	} {
		_, err := queries.ParseExpr(q)
		if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "at most 1000000 are allowed") {
			t.Errorf("%s: %v", q, err)
		}
	}
	// Of a query over a span of time that counts, too.
	e, err := queries.ParseExpr(`max_over_time(echotwin_value[1h:1s])`)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkSubqueries(e, 10*24*time.Hour); err != nil {
		t.Error(err)
	}
	if err := checkSubqueries(e, 365*24*time.Hour); err == nil {
		t.Error("31 million steps are taken")
	}
}

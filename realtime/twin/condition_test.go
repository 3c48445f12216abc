package twin

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"echotwin/realtime"
)

// plain values of a thing, and one of another.
var known = map[string]string{
	":temperature": "81.5", ":speed": "0", ":mode": `"running"`, ":on": "true", ":text": `"80"`, ":list": "[1]", ":none": "null",
	"plant/line1/guard:closed": "true", ":tên": "1",
}

func look(thing, property string) (json.RawMessage, bool) {
	v, ok := known[thing+":"+property]
	return json.RawMessage(v), ok
}

func TestConditions(t *testing.T) {
	const yes, no, maybe = "yes", "no", "maybe"
	for text, want := range map[string]string{
		"temperature>80":                     yes,
		"temperature > 81.5":                 no,
		"temperature>=81.5":                  yes,
		"temperature<1e3":                    yes,
		"temperature<=81.5":                  yes,
		"temperature=81.5":                   yes,
		"temperature==81.5":                  yes,
		"temperature!=81.5":                  no,
		"speed>=-0.0":                        yes,
		"speed>-1":                           yes,
		`mode="running"`:                     yes,
		"mode=running":                       yes,
		"mode!=stopped":                      yes,
		"on=true":                            yes,
		"on!=true":                           no,
		"on=false":                           no,
		"plant/line1/guard:closed=true":      yes,
		`mode="running" and speed>=10`:       no,
		`mode="running" AND speed<10`:        yes,
		"speed>10 or on=true and mode=other": no,
		"(speed>10 or on=true) and mode!=x":  yes,
		"((on=true))":                        yes,
		// What is missing or of another type decides nothing by itself.
		"missing=1":             maybe,
		"missing!=1":            maybe,
		"text=80":               maybe,
		"on=1":                  maybe,
		"mode=true":             maybe,
		"list=1":                maybe,
		"none=1":                maybe,
		"missing=1 and speed>5": no,
		"missing=1 and speed=0": maybe,
		"missing=1 or speed=0":  yes,
		"missing=1 or speed>5":  maybe,
	} {
		c, err := ParseCondition(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		holds, isKnown := c.Holds(look)
		got := map[[2]bool]string{{true, true}: yes, {false, true}: no, {false, false}: maybe}[[2]bool{holds, isKnown}]
		if got != want || c.String() != text {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
	c, _ := ParseCondition("a=1 and b/c:d=2 or a>3")
	if want := []Reference{{"", "a"}, {"b/c", "d"}}; !slices.Equal(c.References(), want) {
		t.Errorf("got %v, want %v", c.References(), want)
	}
}

func TestConditionsThatAreWrong(t *testing.T) {
	for text, want := range map[string]string{
		"":                                     "at character 1, the end: want a property",
		"speed":                                "at character 6, the end: want one of",
		"speed>":                               "at character 7, the end: want a number",
		"speed>fast":                           `at character 7, "fast": > compares with a number only`,
		"speed<true":                           "compares with a number only",
		"speed=1 and":                          "at character 12, the end: want a property",
		"speed=1 speed=2":                      `at character 9, "speed": want and, or, or the end`,
		"(speed=1":                             "want )",
		"speed=1)":                             "want and, or, or the end",
		"speed ~ 1":                            `at character 7, "~"`,
		"and=1":                                "want a property",
		"a:b:c=1":                              "want a property",
		"a/:b=1":                               "want a property",
		"80<speed":                             "compares with a number only",
		`mode="run`:                            "no JSON string",
		`mode="\x"`:                            "no JSON string",
		"speed>1e999":                          "compares with a number only",
		"speed>NaN":                            "compares with a number only",
		"tốc độ>1":                             "at character 1",
		"a=1" + strings.Repeat(" and a=1", 16): "at most 16 comparisons",
		strings.Repeat("(", 501):               "at most 500 bytes",
		strings.Repeat("(", 500):               "want a property",
		"a=\xff":                               "UTF-8",
	} {
		_, err := ParseCondition(text)
		var p *realtime.Problem
		if !errors.As(err, &p) || !strings.Contains(p.Message, want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

// Nothing that anybody writes panics, and what is read means the same when it is
// read again.
func FuzzCondition(f *testing.F) {
	for _, s := range []string{"temperature>80", `mode="a\"b" and (x=1 or y!=z)`, "((", "a/b:c<=-1e-3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseCondition(text)
		if err != nil {
			var p *realtime.Problem
			if !errors.As(err, &p) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if holds, isKnown := c.Holds(look); holds && !isKnown {
			t.Errorf("%q holds and nobody knows", text)
		}
		if n := len(c.References()); n == 0 || n > maxComparisons {
			t.Errorf("%q looks at %d values", text, n)
		}
		again, err := ParseCondition("(" + text + ")")
		if err == nil && fmt.Sprint(again.Holds(look)) != fmt.Sprint(c.Holds(look)) {
			t.Errorf("%q changes its mind in brackets", text)
		}
	})
}

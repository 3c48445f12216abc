package twin

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"echotwin/realtime"
)

// outline writes a tree in one line.
func outline(list []*Node) string {
	var parts []string
	for _, n := range list {
		s := n.Path
		if len(n.Children) > 0 {
			s += "(" + outline(n.Children) + ")"
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, " ")
}

func TestThingsAreOneTree(t *testing.T) {
	twins := New(Config{})
	for _, d := range []string{
		`{"id":"plant/line1","title":"L","links":[{"rel":"contains","href":"depot/robot"},{"rel":"contains","href":"/api/things/plant/line1/a"},{"rel":"contains","href":"no/where"}]}`,
		`{"id":"plant/line1/a","title":"A","links":[{"rel":"feeds","href":"urn:echotwin:plant/line1/b"},{"rel":"contains","href":"plant/line1"}]}`,
		`{"id":"plant/line1/b","title":"B","links":[{"rel":"contains","href":"https://x.example/api/things/depot/robot"},{"rel":"icon","href":"x.png"}]}`,
		`{"id":"depot/robot","title":"R"}`,
	} {
		if err := twins.Describe([]byte(d)); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := outline(twins.Tree(nil)), "plant(plant/line1(depot/robot plant/line1/a plant/line1/b))"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := outline(twins.Tree(func(id string) bool { return id == "depot/robot" })), "depot(depot/robot)"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	err := twins.Describe([]byte(`{"id":"x","title":"X","links":[{"rel":"contains","href":"../y"}]}`))
	if err == nil || problem(t, err).At != "/links/0/href" {
		t.Errorf("got %v", err)
	}
}

// stands says whether n is top, or somewhere below it.
func stands(n, top *Node) bool {
	return n == top || slices.ContainsFunc(top.Children, func(c *Node) bool { return stands(n, c) })
}

// What Under says is what the tree shows, whatever is linked to what, and follows
// the links.
func TestUnderIsWhatTheTreeShows(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	ids := []string{"a", "a/b", "a/b/c", "a/d", "e/f", "e/g", "h", "h/i/j"}
	twins := New(Config{})
	for round := range 200 {
		id := ids[r.IntN(len(ids))]
		links := ""
		for range r.IntN(3) {
			if to := ids[r.IntN(len(ids))]; to != id {
				links += fmt.Sprintf(`{"rel":"contains","href":%q},`, to)
			}
		}
		if err := twins.Describe(fmt.Appendf(nil, `{"id":%q,"title":"x","links":[%s]}`, id, strings.TrimSuffix(links, ","))); err != nil {
			t.Fatal(err)
		}
		hidden := ids[r.IntN(len(ids))]
		match := func(id string) bool { return id != hidden }
		var all []*Node // with what stands below each
		var walk func(list []*Node)
		walk = func(list []*Node) {
			for _, n := range list {
				all = append(all, n)
				walk(n.Children)
			}
		}
		walk(twins.Tree(match))
		for _, top := range all {
			under := twins.Under(top.Path, match)
			for _, n := range all {
				if got, want := under(n.Path), stands(n, top); got != want {
					t.Fatalf("round %d: %s under %s is %v, and in %s it is %v", round, n.Path, top.Path, got, outline(twins.Tree(match)), want)
				}
			}
		}
	}
	if under := twins.Under("a", nil); !under("a/was/here") || under("z") || under("none") {
		t.Error("what is not there stands where its id says")
	}
}

// Whoever follows the tree is told what things contain: all of it at the start,
// then what is new, and that a thing which is gone contains nothing.
func TestWhatThingsContainIsTold(t *testing.T) {
	twins := New(Config{})
	td := func(id, links string) {
		t.Helper()
		if err := twins.Describe(fmt.Appendf(nil, `{"id":%q,"title":"x","links":[%s]}`, id, links)); err != nil {
			t.Fatal(err)
		}
	}
	td("a", `{"rel":"contains","href":"b"},{"rel":"feeds","href":"c"}`)
	var told []realtime.Linked
	twins.OnChange(func(u realtime.Update) { told = append(told, u.Linked...) })
	td("a", `{"rel":"contains","href":"b"}`)
	td("a", `{"rel":"contains","href":"b"},{"rel":"contains","href":"c"}`)
	td("d", `{"rel":"contains","href":"c"}`)
	twins.Undescribe("d")
	td("a", ``)
	if got, want := fmt.Sprint(told), "[{a [b]} {a [b c]} {d [c]} {d []} {a []}]"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if len(twins.linking) > 0 {
		t.Errorf("%v are left", twins.linking)
	}
}

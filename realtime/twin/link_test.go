package twin

import (
	"strings"
	"testing"
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

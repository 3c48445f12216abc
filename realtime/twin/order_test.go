package twin

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// A property is found whatever the order in which its thing sends, and one that
// has gone is not found again.
func TestPropertiesInAnyOrder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	twins := New(Config{})
	th := &thing{props: map[string]*property{}, place: &place{}}
	for range 3000 {
		for k := rnd.IntN(12); k < 12; k += 1 + rnd.IntN(3) {
			name := fmt.Sprint("p", k)
			if rnd.IntN(20) == 0 {
				name = fmt.Sprint("p", rnd.IntN(12))
			}
			if p := twins.property(th, name); p.name != name || th.props[name] != p {
				t.Fatalf("%s is %s, which is not the thing's", name, p.name)
			}
		}
		if rnd.IntN(30) == 0 { // as describe and Undescribe do
			delete(th.props, fmt.Sprint("p", rnd.IntN(12)))
			th.order = nil
		}
		if len(th.order) > 12 {
			t.Fatalf("12 properties have %d places", len(th.order))
		}
	}
}

package twin

import (
	"fmt"
	"strings"
	"testing"

	"echotwin/realtime"
)

// BenchmarkAModelOfFiveThousand changes a model that as many things are made of as
// one may have. An operation is one change, until all of them are told.
func BenchmarkAModelOfFiveThousand(b *testing.B) {
	store := newShelf()
	store.put(modelKey+"pump", pumpTM)
	for i := range maxInstances {
		id := fmt.Sprintf("plant/line%d/p%d", i/100, i)
		store.put(id, fmt.Sprintf(`{"id":%q,%s}`, URN(id), strings.Replace(values, `"N":7`, fmt.Sprintf(`"N":%d`, i), 1)))
	}
	d := directory(store)
	if err := d.Load(b.Context(), nil); err != nil {
		b.Fatal(err)
	}
	told := 0
	d.cfg.Twins.OnChange(func(u realtime.Update) { told += len(u.Described) })
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		told = 0
		if err := d.PatchModel(b.Context(), "pump", fmt.Appendf(nil, `{"description":"change %d"}`, i), Match{}, anyone); err != nil {
			b.Fatal(err)
		}
		if told != maxInstances {
			b.Fatalf("%d were told", told)
		}
	}
}

func (s *shelf) put(key, value string) {
	s.n++
	s.m[key], s.rev[key] = []byte(value), s.n
}

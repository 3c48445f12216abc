package twin

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"echotwin/realtime"
)

// A source brings models and things in one list or apart, in any order.
func TestFixedModels(t *testing.T) {
	d := directory(newShelf())
	list := `[`
	for i := range 20 {
		list += strings.Replace(fmt.Sprintf(`{"id":"plant/p%d",`, i)+values+`},`, `"N":7`, fmt.Sprintf(`"N":%d`, i), 1)
	}
	list = strings.TrimSuffix(list, ",") + `]`
	keys, err := d.Fix("the file pumps.json", []byte(list))
	if err != nil || len(keys) != 20 {
		t.Fatalf("%v %v", keys, err)
	}
	if d.cfg.Twins.description("plant/p3") != nil {
		t.Error("made of nothing")
	}
	if _, err := d.Fix("the file pump.json", []byte(pumpTM)); err != nil {
		t.Fatal(err)
	}
	if got := at2(t, served(t, d, "plant/p19"), "/title"); got != `"Pump 19"` {
		t.Errorf("got %s", got)
	}
	if err := d.PatchModel(t.Context(), "pump", []byte(`{"title":"x"}`), Match{}, anyone); code(err) != realtime.CodeConflict || !strings.Contains(err.Error(), "the file pump.json") {
		t.Errorf("got %v", err)
	}
	// A file that breaks leaves what there is; one that is gone, too, while things are made of it.
	if _, err := d.Fix("the file pump.json", []byte(`{"@type":"tm:ThingModel","id":"pump","properties":7}`)); err == nil {
		t.Error("nonsense was taken")
	}
	if err := d.Unfix(t.Context(), "the file pump.json", Key{Model: true, Name: "pump"}); err != nil {
		t.Fatal(err)
	}
	if got := at2(t, served(t, d, "plant/p19"), "/title"); got != `"Pump 19"` {
		t.Errorf("got %s", got)
	}
	for _, tt := range []struct{ list, at string }{
		{`[{"id":"a","title":"A"},{"id":"a","title":"A"}]`, "/1/id"},
		{`[{"id":"a","title":"A"},7]`, "/1"},
		{`[{"id":"plant/p1","title":"A"}]`, "/0/id"},
	} {
		_, err := d.Fix("the file other.json", []byte(tt.list))
		var p *realtime.Problem
		if !errors.As(err, &p) || p.At != tt.at {
			t.Errorf("%s: got %+v", tt.list, p)
		}
	}
	if d.cfg.Twins.description("a") != nil {
		t.Error("half of a wrong list was taken")
	}
}

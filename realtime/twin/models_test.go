package twin

import (
	"fmt"
	"strings"
	"testing"

	"echotwin/realtime"
)

func TestAModelChangesWhatIsMadeOfIt(t *testing.T) {
	store := newShelf()
	d := directory(store)
	putModel(t, d, "pump", pumpTM)
	for i := range 20 {
		put(t, d, fmt.Sprintf("plant/p%d", i), strings.Replace(`{`+values+`}`, `"N":7`, fmt.Sprintf(`"N":%d`, i), 1))
	}
	tag, _ := d.cfg.Twins.Tag("plant/p3")
	if err := d.PatchModel(t.Context(), "pump", []byte(`{"description":"Pumps {{UNIT}}"}`), Match{}, anyone); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if got := at2(t, served(t, d, fmt.Sprintf("plant/p%d", i)), "/description"); got != `"Pumps 1/min"` {
			t.Fatalf("p%d: got %s", i, got)
		}
	}
	if now, _ := d.cfg.Twins.Tag("plant/p3"); now == tag {
		t.Error("the tag is that of before")
	}
	// Who read it before must not write over what it is now.
	if _, err := d.Put(t.Context(), "plant/p3", []byte(`{`+values+`}`), Match{Tags: []string{tag}}); code(err) != realtime.CodeChanged {
		t.Errorf("got %v", err)
	}
	// What would not fit changes nothing.
	err := d.PatchModel(t.Context(), "pump", []byte(`{"description":"{{NEW}}"}`), Match{}, anyone)
	if err == nil || !strings.Contains(err.Error(), "plant/p0 would not fit") || code(err) != realtime.CodeInvalid {
		t.Errorf("got %v", err)
	}
	if m, _ := d.Model("pump"); strings.Contains(string(m.Doc), "NEW") {
		t.Error("it was changed all the same")
	}
	// With a default it does.
	if err := d.PatchModel(t.Context(), "pump", []byte(`{"description":"{{NEW}}","echotwin:defaults":{"NEW":"x"}}`), Match{}, anyone); err != nil {
		t.Error(err)
	}
	// And what asks for less than it did leaves values that nobody needs.
	if err := d.PatchModel(t.Context(), "pump", []byte(`{"title":"Pump"}`), Match{}, anyone); err != nil {
		t.Error(err)
	}
	err = d.RemoveModel(t.Context(), "pump", Match{}, func(id string) bool { return id == "plant/p1" })
	if code(err) != realtime.CodeConflict || !strings.Contains(err.Error(), "plant/p1 and 19 more") {
		t.Errorf("got %v", err)
	}
	if _, err := d.PutModel(t.Context(), "pump", []byte(pumpTM), Match{}, func(id string) bool { return id != "plant/p1" }); code(err) != realtime.CodeForbidden {
		t.Errorf("got %v", err)
	}
	for i := range 20 {
		if err := d.Remove(t.Context(), fmt.Sprintf("plant/p%d", i), Match{}, true); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.RemoveModel(t.Context(), "pump", Match{}, anyone); err != nil {
		t.Error(err)
	}
	if len(d.Models()) != 0 || len(d.made)+len(d.count) != 0 || len(store.m) != 0 {
		t.Errorf("left: %v %v %v", d.models, d.made, store.m)
	}
}

// What one node writes the other shows, and after a restart it is there again,
// whatever comes first.
func TestModelsOnTwoNodesAndAfterARestart(t *testing.T) {
	store := newShelf()
	one, two := directory(store), directory(store)
	putModel(t, one, "pump", pumpTM)
	put(t, one, "plant/p7", `{`+values+`}`)
	store.heard(two)
	if got := at2(t, served(t, two, "plant/p7"), "/title"); got != `"Pump 7"` {
		t.Errorf("got %s", got)
	}
	if err := two.PatchModel(t.Context(), "pump", []byte(`{"title":"P {{N}}"}`), Match{}, anyone); err != nil {
		t.Fatal(err)
	}
	store.heard(one)
	if got := at2(t, served(t, one, "plant/p7"), "/title"); got != `"P 7"` {
		t.Errorf("got %s", got)
	}
	three := directory(store)
	if err := three.Load(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	a, _ := one.cfg.Twins.Tag("plant/p7")
	if b, _ := three.cfg.Twins.Tag("plant/p7"); a != b || b == "" {
		t.Errorf("after a restart %q, before %q", b, a)
	}
}

// Of a thing and a change of its model at the same moment on two nodes, one is
// refused when they do not fit each other.
func TestAModelAndAThingAtOnce(t *testing.T) {
	store := newShelf()
	one, two := directory(store), directory(store)
	putModel(t, one, "pump", pumpTM)
	store.heard(two)
	// The other node changes the model between the thing being written and looked at again.
	store.after = func(key string) {
		store.after = nil
		if err := two.PatchModel(t.Context(), "pump", []byte(`{"title":"{{OTHER}}"}`), Match{}, anyone); err == nil {
			t.Error("the model was changed although a thing does not fit")
		}
	}
	put(t, one, "plant/p7", `{`+values+`}`)

	if err := one.Remove(t.Context(), "plant/p7", Match{}, true); err != nil {
		t.Fatal(err)
	}
	store.after = func(key string) {
		store.after = nil
		if _, err := two.Put(t.Context(), "plant/p8", []byte(`{`+values+`}`), Match{}); err == nil {
			t.Error("a thing was made that does not fit the model")
		}
	}
	if err := one.PatchModel(t.Context(), "pump", []byte(`{"title":"{{OTHER}}"}`), Match{}, anyone); err != nil {
		t.Error(err)
	}
	if _, ok := store.m["plant/p8"]; ok {
		t.Error("what was refused is in the store")
	}
}

// Who takes back a thing that fits its model no more takes back its own, and not
// what another node has put in its place meanwhile.
func TestWhoTakesBackTakesItsOwn(t *testing.T) {
	store := newShelf()
	one := directory(store)
	putModel(t, one, "pump", pumpTM)
	const other = `{"id":"urn:echotwin:plant/p8","title":"another"}`
	raw := func(key, value string) {
		_, rev, err := store.GetRevision(t.Context(), key)
		if err == nil {
			_, err = store.Update(t.Context(), key, []byte(value), rev)
		}
		if err != nil {
			t.Error(err)
		}
	}
	store.after = func(string) {
		store.after = nil
		raw(modelKey+"pump", strings.Replace(string(store.m[modelKey+"pump"]), "{{", "{{OTHER_", 1))
		raw("plant/p8", other)
	}
	if _, err := one.Put(t.Context(), "plant/p8", []byte(`{`+values+`}`), Match{}); err == nil {
		t.Error("a thing was made that does not fit the model")
	}
	if got := string(store.m["plant/p8"]); got != other {
		t.Errorf("the store has %q", got)
	}
}

// A model that one node removes and another makes anew at the same moment stays.
func TestAModelRemovedAndMadeAtOnce(t *testing.T) {
	store := newShelf()
	one, two := directory(store), directory(store)
	putModel(t, one, "pump", pumpTM)
	store.heard(two)
	store.after = func(string) {
		store.after = nil
		putModel(t, two, "pump", strings.Replace(pumpTM, "1.2.0", "1.3.0", 1))
	}
	if err := one.RemoveModel(t.Context(), "pump", Match{}, anyone); err != nil {
		t.Error(err)
	}
	store.heard(one)
	for i, d := range []*Directory{one, two} {
		if m, ok := d.Model("pump"); !ok || !strings.Contains(string(m.Doc), "1.3.0") {
			t.Errorf("node %d has %s", i+1, m.Doc)
		}
	}
}

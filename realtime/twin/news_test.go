package twin

import (
	"reflect"
	"testing"
	"testing/quick"

	"echotwin/realtime"
)

// What came, went or looks different is told once, with the difference when
// somebody wants it.
func TestDescriptionsAreTold(t *testing.T) {
	p := &plant{t: t}
	tw, l := p.node(conveyor)
	told := func(want ...string) {
		t.Helper()
		l.mu.Lock()
		defer l.mu.Unlock()
		if !reflect.DeepEqual(l.looks, want) && len(l.looks)+len(want) > 0 {
			t.Errorf("got  %q\nwant %q", l.looks, want)
		}
		l.looks = nil
	}
	told("created " + conveyorID)
	tw.OnChange(l.hear)
	told() // what was there is no news to who begins
	p.say(reading("a/b", noon, `{"x":1}`), reading("a/b", noon, `{"x":2}`))
	told("created a/b")
	p.say(reading("a/b", noon, `{"x":3}`))
	told()
	p.say(reading("a/b", noon, `{"x":"text","y":1}`))
	told("updated a/b")
	p.say(reading(conveyorID, noon, `{"speed":60}`))
	told()
	if err := tw.Describe([]byte(`{"id":"a/b","title":"B","properties":{"x":{"type":"string"}}}`)); err != nil {
		t.Fatal(err)
	}
	told("updated a/b")
	defer tw.WantDiffs()()
	if err := tw.Describe([]byte(`{"id":"a/b","title":"C","properties":{"x":{"type":"string","unit":"m"}}}`)); err != nil {
		t.Fatal(err)
	}
	told(`updated a/b {"properties":{"x":{"unit":"m"}},"title":"C"}`)
	tw.Undescribe("a/b")
	l.mu.Lock()
	if len(l.looks) != 1 || l.looks[0][:len("updated a/b {")] != "updated a/b {" {
		t.Errorf("got %q", l.looks)
	}
	l.looks = nil
	l.mu.Unlock()
	if err := tw.Describe([]byte(`{"id":"a/new","title":"N"}`)); err != nil {
		t.Fatal(err)
	}
	tw.Undescribe("a/new")
	told("created a/new", "deleted a/new")
}

// A difference, as a merge patch, makes of the one the other.
func TestDifferenceIsAMergePatch(t *testing.T) {
	type doc struct {
		A, B map[string]int8
		C    []int8
		D    *bool
	}
	err := quick.Check(func(a, b doc) bool {
		was, is := asDoc(t, a), asDoc(t, b)
		got, ok := mergePatch(was, difference(was, is), 0)
		want, _ := mergePatch(map[string]any{}, is, 0) // null members of a document cannot be told by a patch
		back, _ := mergePatch(map[string]any{}, got, 0)
		return ok && reflect.DeepEqual(back, want)
	}, nil)
	if err != nil {
		t.Error(err)
	}
}

func asDoc(t *testing.T, v any) map[string]any {
	b, err := realtime.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := decode(b)
	if err != nil {
		t.Fatal(err)
	}
	return doc.(map[string]any)
}

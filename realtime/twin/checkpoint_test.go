package twin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"echotwin/realtime"
)

// history is a random but repeatable log over a few things: readings of every
// type in and out of order, right and wrong, events, presence and commands.
func history(rnd *rand.Rand, bundles int) []realtime.Bundle {
	things := []string{conveyorID, "plant/line1/pump", "plant/new"}
	names := []string{"speed", "temperature", "running", "count", "x", "y"}
	values := []string{"1", "60.5", "101", "-3e2", `"text \"quoted\" ` + "\u2028" + ` ăâ"`, "true", "null", `{"a":[1,2]}`, "[]", "12345678901234567890"}
	statuses := []string{realtime.Accepted, realtime.Sent, realtime.TimedOut, realtime.Rejected}
	pick := func(s []string) string { return s[rnd.IntN(len(s))] }
	out := make([]realtime.Bundle, 0, bundles)
	for seq := range bundles {
		var rs []realtime.Record
		for range rnd.IntN(5) {
			at := noon.Add(time.Duration(seq)*time.Second + time.Duration(rnd.IntN(1000))*time.Millisecond)
			r := realtime.Record{Thing: pick(things), TS: at.Add(time.Duration(rnd.IntN(4000)-3000) * time.Millisecond), At: at}
			cmd := fmt.Sprintf("C%d", rnd.IntN(bundles))
			switch rnd.IntN(8) {
			case 0:
				r.Kind, r.Name = realtime.Status, pick([]string{"online", "offline"})
			case 1:
				r.Kind, r.Name, r.Data = realtime.Event, "happened", json.RawMessage(`{"n":1}`)
			case 2:
				r.Kind, r.Cmd = realtime.Command, cmd
				c := command{Invoked: realtime.Invoked{ID: cmd, Thing: r.Thing, Action: "setSpeed", Status: pick(statuses), User: pick([]string{"ana", "bob"}), TS: at},
					Key: pick([]string{"", "k1", "k2", "k3"}), Deadline: at.UnixMilli()}
				r.Data, _ = json.Marshal(c)
			case 3:
				r.Kind, r.Cmd, r.Thing, r.Data = realtime.Result, cmd, "", json.RawMessage(pick([]string{`{"ok":true,"output":{"a":1}}`, `{"ok":false,"error":"no"}`}))
			default:
				r.Kind = realtime.Telemetry
				for _, n := range names[:1+rnd.IntN(len(names))] {
					r.Values = append(r.Values, realtime.Value{Name: n, JSON: json.RawMessage(pick(values))})
				}
			}
			rs = append(rs, r)
		}
		out = append(out, realtime.Bundle{Seq: uint64(seq + 1), Records: rs})
	}
	return out
}

// A start from a checkpoint with the rest of the log is, for everybody who
// looks, the same as a start with the whole log.
func TestRestoreGoesOnExactlyWhereTheCheckpointWas(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		log := history(rnd, 120)
		cut := rnd.IntN(len(log))
		clock := noon.Add(100 * time.Second)
		fresh := func() (*Twins, *listener) {
			tw, l := New(Config{Now: func() time.Time { return clock }}), &listener{}
			if err := tw.Describe([]byte(conveyor)); err != nil {
				t.Fatal(err)
			}
			return tw, l
		}
		whole, heardWhole := fresh()
		for _, b := range log[:cut] {
			whole.Apply(b)
		}
		seq, chunks := whole.Checkpoint()
		restored, heard := fresh()
		if got, err := restored.Restore(chunks); err != nil || got != seq || seq != uint64(cut) {
			t.Fatalf("seed %d: restored %d, %v, want %d", seed, got, err, cut)
		}
		same(t, seed, whole, restored)
		whole.OnChange(heardWhole.hear)
		restored.OnChange(heard.hear)
		for _, b := range log[:cut] { // comes again from a log that keeps more
			restored.Apply(b)
		}
		for _, b := range log[cut:] {
			whole.Apply(b)
			restored.Apply(b)
		}
		same(t, seed, whole, restored)
		if len(log) > cut && !slices.Equal(heardWhole.texts[1:], heard.texts[1:]) {
			t.Fatalf("seed %d: what was told after the restart differs", seed)
		}
	}
}

// same fails when a and b differ in anything that can be seen, or would differ
// after a further restart.
func same(t *testing.T, seed uint64, a, b *Twins) {
	t.Helper()
	if x, y := a.States(nil), b.States(nil); !reflect.DeepEqual(x, y) {
		t.Fatalf("seed %d: states differ\n%+v\n%+v", seed, x, y)
	}
	if x, y := a.Commands(1<<20, ""), b.Commands(1<<20, ""); !reflect.DeepEqual(x, y) {
		t.Fatalf("seed %d: commands differ\n%+v\n%+v", seed, x, y)
	}
	if x, y := a.Things("/", nil), b.Things("/", nil); !reflect.DeepEqual(x, y) {
		t.Fatalf("seed %d: descriptions differ\n%s\n%s", seed, x, y)
	}
	_, x := a.Checkpoint()
	_, y := b.Checkpoint()
	if !reflect.DeepEqual(x, y) {
		t.Fatalf("seed %d: checkpoints differ\n%s\n%s", seed, x, y)
	}
}

func TestChunksAreBounded(t *testing.T) {
	still := Config{Now: func() time.Time { return noon }} // or the two ages differ on a busy machine
	tw := New(still)
	big, _ := json.Marshal(strings.Repeat("x", 200<<10))
	var rs []realtime.Record
	for i := range 300 {
		rs = append(rs, reading(fmt.Sprintf("plant/thing-%d", i), noon, `{"a":1,"b":"two","c":[3]}`))
	}
	rs = append(rs, reading("plant/big", noon, fmt.Sprintf(`{"a":%s,"b":%s,"c":%s}`, big, big, big)))
	tw.Apply(realtime.Bundle{Seq: 9, Records: rs})
	seq, chunks := tw.Checkpoint()
	if len(chunks) < 3 || seq != 9 {
		t.Fatalf("got %d chunks at %d", len(chunks), seq)
	}
	for i, c := range chunks {
		if len(c) > 256<<10 {
			t.Errorf("chunk %d has %d bytes", i, len(c))
		}
	}
	again := New(still)
	if _, err := again.Restore(chunks); err != nil {
		t.Fatal(err)
	}
	same(t, 0, tw, again)
}

func TestADamagedCheckpointChangesNothing(t *testing.T) {
	tw := New(Config{})
	for _, b := range history(rand.New(rand.NewPCG(1, 2)), 50) {
		tw.Apply(b)
	}
	big, _ := json.Marshal(strings.Repeat("x", 300<<10))
	tw.Apply(realtime.Bundle{Seq: 51, Records: []realtime.Record{reading("plant/big", noon, fmt.Sprintf(`{"a":%s}`, big))}})
	_, chunks := tw.Checkpoint()
	if len(chunks) != 2 {
		t.Fatalf("got %d chunks", len(chunks))
	}
	flipped := bytes.Clone(chunks[1])
	flipped[len(flipped)-40] ^= 1
	older := bytes.Replace(chunks[0], []byte(`"twins":1`), []byte(`"twins":2`), 1)
	for name, c := range map[string][][]byte{
		"none":            nil,
		"an empty one":    {{}},
		"the first only":  chunks[:1],
		"the second only": chunks[1:],
		"turned around":   {chunks[1], chunks[0]},
		"twice the first": {chunks[0], chunks[0]},
		"cut short":       {chunks[0], chunks[1][:len(chunks[1])-1]},
		"a flipped bit":   {chunks[0], flipped},
		"another version": {older, chunks[1]},
		"garbage":         {[]byte("\x00\x01\x02")},
	} {
		fresh, l := New(Config{}), &listener{}
		fresh.OnChange(l.hear)
		if seq, err := fresh.Restore(c); err == nil || seq != 0 || fresh.Seq() != 0 || fresh.Stats().Things != 0 || l.count() != 0 {
			t.Errorf("%s: restored %d, %v, %+v", name, seq, err, fresh.Stats())
		}
	}
	if _, err := tw.Restore(chunks); err == nil {
		t.Error("a running system was restored")
	}
}

func TestWhatIsKnownIsToldAtOnce(t *testing.T) {
	tw := New(Config{Now: func() time.Time { return noon }})
	for i, r := range []realtime.Record{
		reading("a", noon, `{"x":1}`),
		{Kind: realtime.Status, Thing: "b", Name: "online", TS: noon, At: noon},
		{Kind: realtime.Event, Thing: "c", Name: "hello", TS: noon, At: noon},
	} {
		tw.Apply(realtime.Bundle{Seq: uint64(i + 1), Records: []realtime.Record{r}})
	}
	_, chunks := tw.Checkpoint()
	early, late := &listener{}, &listener{}
	restored := New(Config{Now: func() time.Time { return noon }})
	restored.OnChange(early.hear)
	if _, err := restored.Restore(chunks); err != nil {
		t.Fatal(err)
	}
	restored.OnChange(late.hear)
	want := realtime.Update{Seq: 3, Changes: []realtime.Change{
		{Thing: "a", TS: noon, Values: []realtime.Value{{Name: "x", JSON: json.RawMessage("1")}}, Seqs: []uint64{1}},
		{Thing: "b", TS: stamp(0), Marks: &realtime.Marks{Online: "online"}},
	}}
	if !reflect.DeepEqual(early.last(), want) || !reflect.DeepEqual(late.last(), want) || early.count() != 1 {
		t.Errorf("got %s and %s\nwant %s", asText(early.last()), asText(late.last()), asText(want))
	}
	if s := restored.Stats(); s.Things != 3 {
		t.Errorf("the thing that only had an event is gone: %+v", s)
	}
}

func FuzzRestore(f *testing.F) {
	tw := New(Config{})
	for _, b := range history(rand.New(rand.NewPCG(3, 4)), 20) {
		tw.Apply(b)
	}
	_, chunks := tw.Checkpoint()
	_, all, _ := bytes.Cut(chunks[0], []byte("\n"))
	f.Add(all)
	f.Add([]byte(`{"seq":1}{"thing":"a","props":[{"n":"x","v":1,"gaps":-5,"mean":1e308}]}{"command":{"cmd":"1"}}`))
	f.Fuzz(func(t *testing.T, all []byte) {
		// The sum is right, so that what is inside is looked at.
		tw := New(Config{})
		if _, err := tw.Restore(cut(all)); err != nil {
			return
		}
		tw.States(nil)
		tw.Things("/", nil)
		tw.Apply(realtime.Bundle{Seq: tw.Seq() + 1, Records: []realtime.Record{reading("a", noon, `{"x":1}`)}})
		tw.sweep()
	})
}

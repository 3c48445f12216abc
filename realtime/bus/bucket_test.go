package bus

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

func bucket(t *testing.T, b *Bus, name string) *Bucket {
	t.Helper()
	k, err := b.Bucket(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// keys are what users, files and attackers might call something.
var keys = []string{
	"", "a", "plant/line1/pump", "a.b", ".", "..", ".a", "a.", "a b", "*", ">", "a.*.>", "=", "=41", "$KV", "_kv", "ana@example.org",
	"Nguyễn Văn A", "\x00\n\r\t", "\xff\xfe", "日本", `"quoted"\`, strings.Repeat("ñ", maxKey/2), "/", "//", "-", "A", "%41",
}

func TestAnyStringIsAKey(t *testing.T) {
	b := open(t, Config{Dir: t.TempDir()})
	k := bucket(t, b, "things")
	want := map[string]bool{}
	for _, key := range keys {
		if _, err := k.Create(t.Context(), key, []byte("v"+key)); err != nil {
			t.Fatalf("%q: %v", key, err)
		}
		want[key] = true
	}
	all, err := k.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	list, err := k.Keys(t.Context())
	if err != nil || len(list) != len(keys) || len(all) != len(keys) {
		t.Errorf("%d keys, %d values, want %d: %v", len(list), len(all), len(keys), err)
	}
	for _, key := range list {
		if v, err := k.Get(t.Context(), key); err != nil || string(v) != "v"+key || !want[key] || string(all[key]) != "v"+key {
			t.Errorf("%q: %q, %v", key, v, err)
		}
	}
	long := strings.Repeat("x", maxKey+1)
	_, getErr := k.Get(t.Context(), long)
	if putErr := k.Put(t.Context(), long, nil); putErr == nil || getErr != ErrNotFound || k.Delete(t.Context(), long) != nil {
		t.Errorf("a key that is too long: %v, %v", putErr, getErr)
	}
	if err := b.Ready(); err != nil {
		t.Errorf("after all that: %v", err)
	}
}

func TestKeysThatAreNotOurs(t *testing.T) {
	for _, s := range []string{"=4", "=4g", "=", "a=", "a=2", "a.b", "=2e"} {
		if key, err := unescape(s); s != "=" && err == nil {
			t.Errorf("%q is read as %q", s, key)
		}
	}
}

func FuzzKeys(f *testing.F) {
	for _, key := range keys {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		s, err := escape(key)
		if err != nil {
			return
		}
		for i := range len(s) {
			if !plain(s[i]) && s[i] != '=' {
				t.Fatalf("%q is written as %q", key, s)
			}
		}
		if back, err := unescape(s); err != nil || back != key || s == "" {
			t.Fatalf("%q came back as %q by %q: %v", key, back, s, err)
		}
	})
}

func TestABucketIsKept(t *testing.T) {
	dir := t.TempDir()
	b := open(t, Config{Dir: dir})
	k := bucket(t, b, "users")
	ctx := t.Context()
	if _, err := k.Get(ctx, "ana"); err != ErrNotFound {
		t.Errorf("got %v", err)
	}
	if err := k.Put(ctx, "ana", []byte("1")); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Create(ctx, "ana", []byte("2")); err != ErrExists {
		t.Errorf("created what is there: %v", err)
	}
	_, rev, err := k.GetRevision(ctx, "ana")
	if err != nil {
		t.Fatal(err)
	}
	next, err := k.Update(ctx, "ana", []byte("3"), rev)
	if err != nil || next <= rev {
		t.Errorf("got %d after %d, %v", next, rev, err)
	}
	if _, err := k.Update(ctx, "ana", []byte("4"), rev); err != ErrChanged {
		t.Errorf("updated what was changed: %v", err)
	}
	if err := k.Put(ctx, "bob", nil); err != nil {
		t.Fatal(err)
	}
	if err := k.Put(ctx, "eve", []byte("x")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := k.Delete(ctx, "eve"); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	if err := k.Put(ctx, "eve", []byte("y")); err != nil {
		t.Fatal(err)
	}
	_, rev, err = k.GetRevision(ctx, "eve")
	if err != nil {
		t.Fatal(err)
	}
	if err := k.DeleteRevision(ctx, "eve", rev-1); err != ErrChanged {
		t.Errorf("deleted what was changed: %v", err)
	}
	if err := k.DeleteRevision(ctx, "eve", rev); err != nil {
		t.Errorf("delete at its revision: %v", err)
	}
	s, err := b.js.Stream(ctx, "KV_users")
	if err != nil {
		t.Fatal(err)
	}
	if m, err := s.GetLastMsgForSubject(ctx, "$KV.users.eve"); err != nil || m.Header.Get("Nats-TTL") != deletedFor.String() {
		t.Errorf("the mark of a deleted key stays for ever: %v, %v", m, err)
	}
	b.Close()

	k = bucket(t, open(t, Config{Dir: dir}), "users")
	all, err := k.All(ctx)
	if err != nil || len(all) != 2 || string(all["ana"]) != "3" || all["bob"] == nil || len(all["bob"]) != 0 {
		t.Errorf("got %q, %v", all, err)
	}
	if _, err := k.Get(ctx, "eve"); err != ErrNotFound {
		t.Errorf("what was deleted is there: %v", err)
	}
	if _, err := k.Create(ctx, "eve", []byte("again")); err != nil {
		t.Errorf("create what was deleted: %v", err)
	}
	if list, err := k.Keys(ctx); err != nil || fmt.Sprint(list) != "[ana bob eve]" {
		t.Errorf("got %v, %v", list, err)
	}
	other := bucket(t, k.bus, "other")
	if list, err := other.Keys(ctx); err != nil || len(list) != 0 {
		t.Errorf("another bucket has %v, %v", list, err)
	}
	if _, err := k.bus.Bucket(ctx, "a.b"); err == nil {
		t.Error("a.b is the name of a bucket")
	}
}

func TestWatchTellsWhatIsThereAndWhatComes(t *testing.T) {
	k := bucket(t, open(t, Config{Dir: t.TempDir()}), "things")
	if err := k.Put(t.Context(), "a b", []byte("1")); err != nil {
		t.Fatal(err)
	}
	told := make(chan string)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- k.Watch(ctx, func(key string, value []byte) {
			if value == nil {
				key += " deleted"
			}
			told <- key + "=" + string(value)
		})
	}()
	next := func(want string) {
		t.Helper()
		select {
		case got := <-told:
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%q was not told", want)
		}
	}
	next("a b=1")
	if err := k.Put(t.Context(), "c", nil); err != nil {
		t.Fatal(err)
	}
	next("c=")
	if err := k.Delete(t.Context(), "a b"); err != nil {
		t.Fatal(err)
	}
	next("a b deleted=")
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Watch returned %v at the end of its context", err)
	}
}

// The revision of Create is that of the value that was created, also where one was
// deleted before, and whatever others write after it.
func TestCreateReturnsItsRevision(t *testing.T) {
	k := bucket(t, open(t, Config{Dir: t.TempDir()}), "things")
	ctx := t.Context()
	for range 2 {
		mine, err := k.Create(ctx, "x", []byte("mine"))
		if err != nil || mine == 0 {
			t.Fatalf("revision %d, %v", mine, err)
		}
		if _, rev, err := k.GetRevision(ctx, "x"); err != nil || rev != mine {
			t.Errorf("created at %d, and it is %d: %v", mine, rev, err)
		}
		if _, err := k.Update(ctx, "x", []byte("another's"), mine); err != nil {
			t.Fatal(err)
		}
		if err := k.DeleteRevision(ctx, "x", mine); err != ErrChanged {
			t.Errorf("deleting what is another's: %v", err)
		}
		if err := k.Delete(ctx, "x"); err != nil {
			t.Fatal(err)
		}
	}
}

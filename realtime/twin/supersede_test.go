package twin

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"echotwin/realtime"
)

// Two operators at once: the newer one counts, and the older one is told.
func TestANewerCommandSupersedes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		tw, l := p.node(press)
		other, heard := p.node(press)
		p.device(pressID, func(cmd string, _ []byte) error { return nil })
		older := make(chan realtime.Invoked)
		go func() {
			got, err := tw.Invoke(t.Context(), force(20))
			if err != nil {
				t.Error(err)
			}
			older <- got
		}()
		synctest.Wait()
		bob := force(30)
		bob.User = "bob"
		newer, err := other.Invoke(t.Context(), func() realtime.Invocation { b := bob; b.Async = true; return b }())
		if err != nil || newer.Status != realtime.Accepted && newer.Status != realtime.Sent {
			t.Fatalf("got %+v, %v", newer, err)
		}
		got := <-older
		if got.Status != realtime.Superseded || got.SupersededBy != newer.ID || !strings.Contains(got.Error, "bob") || !strings.Contains(got.Error, "may have run") {
			t.Errorf("got %+v", got)
		}
		p.answer(got.ID, `{"ok":true}`) // it ran after all
		p.answer(newer.ID, `{"ok":true}`)
		if c, _ := tw.Command(got.ID); c.Status != realtime.Superseded || !strings.HasSuffix(c.Error, "a late result says: it was done") {
			t.Errorf("got %+v", c)
		}
		// Done, and still on its way there: a third command ends the wait and not the outcome.
		third, _ := tw.Invoke(t.Context(), func() realtime.Invocation { i := force(5); i.Async = true; return i }())
		if c, _ := tw.Command(newer.ID); c.Status != realtime.Done || c.SupersededBy != third.ID || c.Verifying() || c.Reached != nil {
			t.Errorf("got %+v", c)
		}
		p.answer(third.ID, `{"ok":true}`)
		if !reflect.DeepEqual(heard.facts("cmd"), l.facts("cmd")) {
			t.Errorf("the nodes told\n%v\nand\n%v", heard.facts("cmd"), l.facts("cmd"))
		}
	})
}

// Other actions are other groups; those that say so share one, or have none.
func TestGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		tw, _ := p.node(press)
		p.device(pressID, func(string, []byte) error { return nil })
		ids := map[string]string{}
		for i, action := range []string{"setForce", "start", "open", "open", "stop"} {
			in := realtime.Invocation{Thing: pressID, Action: action, User: "ana", Confirm: true, Reason: "test", Async: true}
			if action == "setForce" {
				in.Input = json.RawMessage(`{"force":1}`)
			}
			got, err := tw.Invoke(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			ids[fmt.Sprint(i)] = got.ID
			synctest.Wait()
		}
		for i, want := range []string{"sent", "superseded", "sent", "sent", "sent"} {
			if c, _ := tw.Command(ids[fmt.Sprint(i)]); c.Status != want {
				t.Errorf("%d: got %+v, want %s", i, c, want)
			}
		}
		time.Sleep(time.Minute)
	})
}

// A command that is superseded before it was sent is not sent, and says so. Its
// carrier may be slower than a newer command as a whole.
func TestWhatIsOvertakenIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		tw, _ := p.node(press)
		var sent []string
		p.device(pressID, func(cmd string, in []byte) error {
			sent = append(sent, string(in))
			p.answer(cmd, `{"ok":true}`)
			return nil
		})
		older := command{Group: "setForce", Deadline: time.Now().Add(time.Second).UnixMilli(),
			Invoked: realtime.Invoked{ID: newID(time.Now()), Thing: pressID, Action: "setForce", Input: json.RawMessage(`{"force":20}`), Status: realtime.Accepted, User: "ana", TS: time.Now()}}
		if err := tw.record(t.Context(), older); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Invoke(t.Context(), force(30)); err != nil {
			t.Error(err)
		}
		c, err := tw.carry(t.Context(), older)
		if err != nil || len(sent) != 1 || sent[0] != `{"force":30}` || c.Status != realtime.Superseded || c.Error != "superseded before it was sent: the device did not get it" {
			t.Errorf("sent %v, got %+v, %v", sent, c, err)
		}
	})
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		tw, _ := p.node(press)
		var sent []string
		p.device(pressID, func(cmd string, in []byte) error {
			sent = append(sent, string(in))
			if string(in) == "null" {
				p.answer(cmd, `{"ok":true}`)
			}
			return nil
		})
		cancel := func(id string) (Cancelled, error) {
			return tw.Cancel(t.Context(), Cancellation{ID: id, User: "bob", Via: "ui"})
		}
		if _, err := cancel("none"); problem(t, err).Code != realtime.CodeNotFound {
			t.Errorf("got %v", err)
		}
		i := force(20)
		i.Async = true
		c, _ := tw.Invoke(t.Context(), i)
		synctest.Wait()
		got, err := cancel(c.ID)
		if err != nil || got.Status != realtime.Cancelled || got.By != "bob" || !strings.Contains(got.Error, "may run it") {
			t.Errorf("got %+v, %v", got, err)
		}
		// The description names an action that stops it, which was sent.
		if got.Stop == nil || got.Stop.Status != realtime.Done || got.Stop.User != "bob" || got.StopError != "" || len(sent) != 2 {
			t.Errorf("got %+v, sent %v", got, sent)
		}
		if _, err := cancel(c.ID); problem(t, err).Code != realtime.CodeConflict {
			t.Errorf("got %v", err)
		}

		// What is done stays done; only nobody looks any more.
		c, _ = tw.Invoke(t.Context(), i)
		synctest.Wait()
		p.answer(c.ID, `{"ok":true}`)
		p.devices.Delete(pressID)
		got, err = cancel(c.ID)
		if err != nil || got.Status != realtime.Done || got.By != "bob" || got.Verifying() || !strings.Contains(got.StopError, "not connected") {
			t.Errorf("got %+v, %v", got, err)
		}
		// A result that is in the log first wins.
		p.device(pressID, func(string, []byte) error { return nil })
		stop := realtime.Invocation{Thing: pressID, Action: "stop", User: "ana", Async: true}
		c, _ = tw.Invoke(t.Context(), stop)
		synctest.Wait()
		p.answer(c.ID, `{"ok":true}`)
		if _, err := cancel(c.ID); problem(t, err).Code != realtime.CodeConflict {
			t.Errorf("got %v", err)
		}
	})
}

package twin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// limits is the kiln with another limit.
func kilnHigh(limit string) string { return strings.Replace(kiln, `"high": 90`, `"high": `+limit, 1) }

// An alarm that stands says the limit that its description has now, or clears by
// it, and says that only once, whichever node hears of it when.
func TestALimitInADescriptionChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t, lag: 5 * time.Millisecond}
		one, l := p.node(kiln)
		two, _ := p.node(kiln)
		run(t, one, two)
		describe := func(tw *Twins, limit string) {
			t.Helper()
			if err := tw.Describe([]byte(kilnHigh(limit))); err != nil {
				t.Fatal(err)
			}
		}
		p.kilnSays(`{"temperature":95,"mode":"run"}`)
		a := one.Alarms(AlarmQuery{})[0]
		describe(one, "80")
		time.Sleep(3 * time.Second)
		is, _ := one.AlarmState(a.ID)
		if !is.Active() || *is.Limit != 80 || is.Message != "Temperature 95 °C is above 80 °C" || is.Count != 1 || !is.Raised.Equal(a.Raised) {
			t.Errorf("got %+v", is)
		}
		// Acknowledged meanwhile, and another node hears of it late.
		if _, err := one.AckAlarms(t.Context(), "ana", "", a.ID); err != nil {
			t.Fatal(err)
		}
		describe(two, "80")
		time.Sleep(3 * time.Second)
		describe(one, "70")
		for range 20 { // the other knows 80 still, and does not say so again and again
			p.kilnSays(`{"temperature":95}`)
			time.Sleep(time.Second)
		}
		if is, _ := two.AlarmState(a.ID); *is.Limit != 70 || is.State != "active_acked" {
			t.Errorf("got %+v", is)
		}
		wantTold(t, l, "raised:high:active_unacked", "changed:high:active_unacked", "acked:high:active_acked", "changed:high:active_acked")
		describe(two, "98")
		describe(one, "98")
		time.Sleep(3 * time.Second)
		if is, _ := one.AlarmState(a.ID); is.Active() || is.Reason != "its limit is 98 now" {
			t.Errorf("got %+v", is)
		}
	})
}

// What was written into a description while nobody ran is followed after the start.
func TestALimitChangedWhileNobodyRan(t *testing.T) {
	for _, how := range []string{"checkpoint", "log"} {
		synctest.Test(t, func(t *testing.T) {
			p, s := &plant{t: t}, newShelf()
			one, _ := p.node(kiln)
			life, die := context.WithCancel(t.Context())
			go func() { _ = one.Run(life) }()
			p.kilnSays(`{"temperature":95,"mode":"run"}`)
			id := one.Alarms(AlarmQuery{})[0].ID
			die()
			p.leave(one)
			if _, err := s.Create(t.Context(), kilnID, []byte(kilnHigh("80"))); err != nil {
				t.Fatal(err)
			}
			tw, d := p.again(one, s, how)
			run(t, tw)
			time.Sleep(3 * time.Second)
			if is, _ := tw.AlarmState(id); how == "log" && *is.Limit != 90 {
				t.Errorf("before the log was read nobody can know: %+v", is)
			}
			if err := d.Settle(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Second)
			if is, _ := tw.AlarmState(id); !is.Active() || *is.Limit != 80 {
				t.Errorf("by %s: %+v", how, is)
			}
		})
	}
}

// again is a node that starts where another ended, with its directory.
func (p *plant) again(was *Twins, s *shelf, how string) (*Twins, *Directory) {
	p.t.Helper()
	tw := New(Config{Log: p, Devices: p})
	d := p.directory(tw, s)
	if err := d.Load(context.Background(), nil); err != nil {
		p.t.Fatal(err)
	}
	if how == "checkpoint" {
		if _, err := tw.Restore(second(was.Checkpoint())); err != nil {
			p.t.Fatal(err)
		}
	}
	p.join(tw)
	return tw, d
}

func (p *plant) directory(tw *Twins, s *shelf) *Directory {
	return NewDirectory(DirectoryConfig{Twins: tw, Store: s, Changed: errChanged, Exists: errExists, Missing: errMissing, Logger: slog.New(slog.DiscardHandler)})
}

// A removal is in the store and in the log. Whoever dies between both brings it
// to its end when they are back; whoever dies before the first has removed
// nothing.
func TestACrashWithinARemoval(t *testing.T) {
	for _, keep := range []bool{true, false} {
		for _, where := range []string{"before the store", "after the store"} {
			t.Run(fmt.Sprintf("%s, keep %v", where, keep), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p, s := &plant{t: t}, newShelf()
					one, _ := p.node()
					d := p.directory(one, s)
					life, die := context.WithCancel(t.Context())
					go func() { _ = one.Run(life) }()
					if _, err := d.Put(t.Context(), kilnID, []byte(kiln), Match{}); err != nil {
						t.Fatal(err)
					}
					p.kilnSays(`{"temperature":95,"mode":"run"}`)
					id := one.Alarms(AlarmQuery{})[0].ID
					crash := errors.New("kill -9")
					if where == "before the store" {
						s.after = func(string) { s.dies = func(string) error { return crash } }
					} else { // the log takes nothing any more, and soon nobody does
						p.fail(crash)
						s.dies = func(key string) error {
							if strings.HasPrefix(key, removingKey) {
								return crash
							}
							return nil
						}
					}
					_ = d.Remove(t.Context(), kilnID, Match{}, keep)
					die()
					synctest.Wait()
					p.leave(one)
					s.after, s.dies = nil, nil
					p.fail(nil)

					tw, back := p.again(one, s, "checkpoint")
					run(t, tw)
					time.Sleep(time.Minute)
					if a, _ := tw.AlarmState(id); !a.Active() {
						t.Errorf("it cleared by itself, so this tests nothing: %+v", a)
					}
					if err := back.Settle(t.Context()); err != nil {
						t.Fatal(err)
					}
					time.Sleep(3 * time.Second)
					a, _ := tw.AlarmState(id)
					_, there := tw.State(kilnID)
					described := tw.description(kilnID) != nil
					switch {
					case where == "before the store":
						if !a.Active() || !described {
							t.Errorf("nothing was removed: %+v, described %v", a, described)
						}
					case keep:
						if a.Active() || a.Reason != "the description was removed" || !there || described {
							t.Errorf("got %+v, there %v, described %v", a, there, described)
						}
					default:
						if a.Active() || a.Reason != "the thing was removed" || there {
							t.Errorf("got %+v, there %v", a, there)
						}
					}
					for key := range s.m {
						if strings.HasPrefix(key, removingKey) {
							t.Errorf("%s stays", key)
						}
					}
				})
			})
		}
	}
}

// Whoever is told that a removal failed, or has left before it was over, is not
// surprised by it at the next start: that forgot all that the device had said since,
// with its history, weeks after it was removed and had come back.
func TestARemovalIsNotEndedTwice(t *testing.T) {
	for name, fails := range map[string]func(p *plant, d *Directory) error{
		"the log refuses, and it is tried again": func(p *plant, d *Directory) error {
			p.fail(errors.New("the disk is full"))
			if d.Remove(p.t.Context(), kilnID, Match{}, false) == nil {
				p.t.Error("a removal that is not in the log is said to be over")
			}
			p.fail(nil)
			return d.Remove(p.t.Context(), kilnID, Match{}, false)
		},
		"the log refuses, and nobody tries it again": func(p *plant, d *Directory) error {
			p.fail(errors.New("the disk is full"))
			if d.Remove(p.t.Context(), kilnID, Match{}, false) == nil {
				p.t.Error("a removal that is not in the log is said to be over")
			}
			p.fail(nil)
			return nil
		},
		"who asked leaves": func(p *plant, d *Directory) error {
			ctx, leave := context.WithCancel(p.t.Context())
			d.cfg.Store.(*shelf).after = func(string) { leave() }
			return d.Remove(ctx, kilnID, Match{}, false)
		},
		"the log refuses at the start, too": func(p *plant, d *Directory) error {
			if _, err := d.cfg.Store.Create(p.t.Context(), removingKey+kilnID, []byte(removingAll)); err != nil {
				return err
			}
			_, revision, err := d.stored(p.t.Context(), kilnID)
			if err == nil {
				err = d.erase(p.t.Context(), kilnID, revision)
			}
			p.fail(errors.New("the disk is full"))
			defer p.fail(nil)
			return errors.Join(err, d.Settle(p.t.Context()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s := &plant{t: t}, newShelf()
				one, _ := p.node()
				d := p.directory(one, s)
				if _, err := d.Put(t.Context(), kilnID, []byte(kiln), Match{}); err != nil {
					t.Fatal(err)
				}
				p.kilnSays(`{"temperature":20,"mode":"run"}`)
				if err := fails(p, d); err != nil {
					t.Fatal(err)
				}
				s.after = nil
				p.kilnSays(`{"temperature":21,"mode":"run"}`) // it is there again, as an undescribed thing
				p.leave(one)
				tw, back := p.again(one, s, "log")
				if err := back.Settle(t.Context()); err != nil {
					t.Fatal(err)
				}
				if _, there := tw.State(kilnID); !there {
					t.Error("what it said since is forgotten")
				}
				for key := range s.m {
					if strings.HasPrefix(key, removingKey) {
						t.Errorf("%s stays", key)
					}
				}
			})
		})
	}
}

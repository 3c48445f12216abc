package hub

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// A narrow world forgets its facts after a few, has many of them and lines that hold
// nothing, so that somebody who does not read is told of missing facts all the time.
// Nothing moves there, so that these can be counted. Its time is fake, or everybody
// would wait for rates.
func isNarrow(seed uint64) bool { return rand.New(rand.NewPCG(seed, 3)).IntN(3) == 0 }

func (w *world) narrow() {
	w.pipes, w.tls, w.moving = make(pipes), false, false
	w.cfg.Limits.Facts = 4 << w.rnd.IntN(4)
	w.plant.eventful = 3
	if w.rnd.IntN(3) > 0 {
		w.sizes = smallSizes
	}
}

// A gate is a mutex that fake time does not wait for.
type gate chan struct{}

func (g gate) Lock()   { g <- struct{}{} }
func (g gate) Unlock() { <-g }

// dialPipe opens a connection to the server of a narrow world.
func (w *world) dialPipe() net.Conn {
	here, there := net.Pipe()
	w.pipes <- there
	return here
}

// closedOnce is a listener that may be closed again.
type closedOnce struct {
	net.Listener
	once sync.Once
}

func (l *closedOnce) Close() (err error) {
	l.once.Do(func() { err = l.Listener.Close() })
	return err
}

// mishaps is what the viewer has been told of missing facts and where it may go on,
// for a failure.
func (v *viewer) mishaps() (text string) {
	for _, s := range v.subs {
		text += fmt.Sprintf("%s has facts from %d (%v); ", s.path, s.from, s.begun)
	}
	for _, i := range v.items[max(0, len(v.items)-60):] {
		if i.resync {
			text += fmt.Sprintf("%d missing up to %d, again %v, at least %v; ", i.missed, i.to, i.again, i.atLeast)
		}
	}
	return text + fmt.Sprintf("cursors %v", v.cursors)
}

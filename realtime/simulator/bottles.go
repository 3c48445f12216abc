package simulator

const (
	transit = 6.0 // s that a bottle needs over a belt at 80 %, about
	perCase = 12
)

// A buffer is the bottles on a belt.
type buffer struct {
	n, room float64
}

// offers is how many bottles a second can leave it over this belt.
func (b *buffer) offers(c *conveyor) float64 { return min(c.carries(), b.n/transit*c.speed/80) }

// takes is how many bottles a second can come onto it: more than it brings to
// its end, since bottles that wait stand closer.
func (b *buffer) takes(c *conveyor) float64 { return min(1.5*c.carries(), (b.room-b.n)/transit) }

// A machine takes bottles and gives bottles.
type machine struct {
	nominal float64 // bottles a second
	rate    float64
	stopped float64 // s that it still stands
}

func (m *machine) running() bool { return m.stopped <= 0 }

// step moves the machine's rate to what it can do: its own speed, what is
// offered to it and what is taken from it. It returns how many bottles passed.
func (m *machine) step(dt, offered, taken float64) float64 {
	m.stopped -= dt
	want := min(m.nominal, offered, taken)
	if !m.running() {
		want = 0
	}
	m.rate += (want - m.rate) * min(dt/0.8, 1)
	return m.rate * dt
}

// bottles is the way of the bottles, from the glass to the case.
type bottles struct {
	depalletiser, filler, labeller, packer machine
	belts                                  [3]*conveyor
	on                                     [3]buffer // what stands on each belt
	waits                                  bool      // the depalletiser
	swept, filled                          float64   // bottles so far
	packed, rejected                       float64   // bottles that went out so far
	faulty                                 float64   // share of bottles that are bad
	found                                  float64   // the same as the inspection sees it, over the last 400
}

// step moves the bottles on, the last machine first, so that each sees the room
// that there is. syrup says whether the filler has something to fill with.
func (b *bottles) step(dt float64, syrup bool) {
	last := &b.on[2]
	out := min(b.packer.step(dt, last.offers(b.belts[2]), b.packer.nominal), last.n)
	last.n -= out
	b.packed += out

	mid := &b.on[1]
	out = min(b.labeller.step(dt, mid.offers(b.belts[1]), last.takes(b.belts[2])), mid.n, last.room-last.n)
	mid.n -= out
	bad := out * b.faulty // pushed off before the labeller
	b.rejected += bad
	b.found += (b.faulty - b.found) * out / 400
	last.n += out - bad

	first := &b.on[0]
	offered := first.offers(b.belts[0])
	if !syrup {
		offered = 0
	}
	out = min(b.filler.step(dt, offered, mid.takes(b.belts[1])), first.n, mid.room-mid.n)
	first.n -= out
	mid.n += out
	b.filled += out

	// The depalletiser is faster than the line: it waits at a full belt and goes
	// on at a half empty one.
	switch {
	case first.n > 0.7*first.room:
		b.waits = true
	case first.n < 0.35*first.room:
		b.waits = false
	}
	offered = b.depalletiser.nominal
	if b.waits {
		offered = 0
	}
	in := min(b.depalletiser.step(dt, offered, first.takes(b.belts[0])), first.room-first.n)
	first.n += in
	b.swept += in
	for i, c := range b.belts {
		c.load = b.on[i].n / b.on[i].room
	}
}

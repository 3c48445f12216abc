package hub

import (
	"bytes"
	"encoding/json"
	"sort"

	"echotwin/realtime"
)

// A fact waits in the ring to be sent, with its own number besides its seq.
type fact struct {
	seq    uint64
	thing  string
	kind   string // the frame's type
	body   []byte // its members without the braces
	cmd    string // of a cmd fact: the command
	status string // of a cmd fact
	open   bool   // of a cmd fact: its effect is still waited for
}

func newFact(f *realtime.Fact, seq uint64) (fact, bool) {
	body := bytes.TrimSpace(f.Body)
	if len(body) < 2 || body[0] != '{' || !json.Valid(body) {
		return fact{}, false
	}
	body = oneLine(body[1 : len(body)-1])
	n := fact{seq: seq, thing: f.Thing, kind: f.Type, body: body}
	if f.Type == "cmd" {
		var i realtime.Invoked
		if json.Unmarshal(f.Body, &i) == nil {
			n.cmd, n.status, n.open = i.ID, i.Status, i.Verifying()
		}
	}
	return n, true
}

// ended says whether a fact is the outcome of its command.
func (f *fact) ended() bool { return realtime.Invoked{Status: f.status}.Ended() }

// last says whether nothing more is to come of its command: after done, it may
// still be verified.
func (f *fact) last() bool { return f.ended() && !f.open }

// oneLine makes one line of valid JSON: a line end in it can only stand between
// tokens.
func oneLine(b []byte) []byte {
	if bytes.IndexByte(b, '\n') < 0 && bytes.IndexByte(b, '\r') < 0 {
		return b
	}
	b = bytes.Clone(b)
	for i, c := range b {
		if c == '\n' || c == '\r' {
			b[i] = ' '
		}
	}
	return b
}

// A ring holds the newest facts, by number: start is the oldest kept, end the
// one after the newest. What it had to forget is remembered a while by seq and
// thing alone, so that a late client can be told how many it missed.
type ring struct {
	kept       []fact
	start, end uint64
	bytes, cap int

	ghosts     []ghost
	ghostStart uint64 // ghosts are the facts from here to start

	// known is where complete knowledge begins: facts after it are here or
	// remembered.
	known uint64
}

type ghost struct {
	seq        uint64
	thing, cmd string
}

func newRing(facts, bytes int) ring {
	return ring{kept: make([]fact, facts), cap: bytes, ghosts: make([]ghost, 8*facts)}
}

func (r *ring) at(n uint64) *fact { return &r.kept[n%uint64(len(r.kept))] }

func (r *ring) ghost(n uint64) *ghost { return &r.ghosts[n%uint64(len(r.ghosts))] }

func (r *ring) add(f fact) {
	if r.end > r.start {
		f.seq = max(f.seq, r.at(r.end-1).seq) // find needs them in order
	}
	for r.end-r.start == uint64(len(r.kept)) || r.end > r.start && r.bytes+len(f.body) > r.cap {
		r.forget()
	}
	*r.at(r.end) = f
	r.bytes += len(f.body)
	r.end++
}

func (r *ring) forget() {
	f := r.at(r.start)
	if r.start-r.ghostStart == uint64(len(r.ghosts)) {
		r.known = max(r.known, r.ghost(r.ghostStart).seq)
		r.ghostStart++
	}
	*r.ghost(r.start) = ghost{f.seq, f.thing, f.cmd}
	r.bytes -= len(f.body)
	*f = fact{}
	r.start++
}

// find is the number of the oldest kept fact after seq.
func (r *ring) find(seq uint64) uint64 {
	n := sort.Search(int(r.end-r.start), func(i int) bool { return r.at(r.start+uint64(i)).seq > seq })
	return r.start + uint64(n)
}

// findAny is find among the forgotten ones too, as far as they are remembered.
func (r *ring) findAny(seq uint64) uint64 {
	n := sort.Search(int(r.start-r.ghostStart), func(i int) bool { return r.ghost(r.ghostStart+uint64(i)).seq > seq })
	if n := r.ghostStart + uint64(n); n < r.start {
		return n
	}
	return r.find(seq)
}

// about is whose fact number n is, which may be forgotten, and its place in the log.
func (r *ring) about(n uint64) (thing string, seq uint64) {
	if n < r.start {
		return r.ghost(n).thing, r.ghost(n).seq
	}
	return r.at(n).thing, r.at(n).seq
}

// lost counts the forgotten facts after seq that covers says yes to. The count
// is exact unless seq lies before what is known.
func (r *ring) lost(seq uint64, covers func(thing string, seq uint64) bool) (n int, exact bool) {
	for i := r.start; i > r.ghostStart; i-- {
		g := r.ghost(i - 1)
		if g.seq <= seq {
			break
		}
		if covers(g.thing, g.seq) {
			n++
		}
	}
	return n, seq >= r.known
}

// forgotten is the seq of the newest fact that is not kept.
func (r *ring) forgotten() uint64 {
	if r.start == r.ghostStart {
		return r.known
	}
	return r.ghost(r.start - 1).seq
}

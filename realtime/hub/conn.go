package hub

import (
	"encoding/json"
	"sync/atomic"
	"time"
	"unique"
)

// A conn is one client. Everything in it belongs to its shard, except where it
// says otherwise. Times are since the hub began.
type conn struct {
	shard   *shard
	wire    wire
	sink    sink
	viewer  Viewer
	address string
	num     uint64                // in the order of arrival
	agent   unique.Handle[string] // what the client calls itself
	since   time.Duration
	tally

	subs    []*sub
	lastSub int    // number of the newest subscription
	last    uint64 // seq of the last frame that moved the client's cursor

	// The facts lane: waiting facts begin at number factNext, of which as
	// many as facts says concern the client.
	facts    int
	factNext uint64
	factAt   time.Duration // when the first of them came
	counted  uint64        // number after the newest fact that was counted in facts
	factTold uint64        // those before it that concern an informed subscription are out, or told to be missing
	recalled *recalled     // older facts, which go first
	vague    bool          // facts were forgotten before anybody could see whose they were
	running  int           // commands under way

	answers []byte // framed, in front of everything else
	tail    []byte // written in part; nothing may come before the rest
	resumed bool   // an update has to end the resume
	held    bool   // the newest claim was held back by what had to wait

	lastSent   time.Duration // of any frame
	lastUpdate time.Duration
	pinged     time.Duration
	took       time.Duration // when the socket last took a byte, or had none to take
	retryAt    time.Duration // when a socket that was full is tried again
	backoff    time.Duration

	byeAt    time.Duration // says goodbye then, because the server goes; zero means never
	expires  time.Duration // the session ends then; zero means never
	signBy   time.Duration // must be signed in by then; zero means it is
	closing  *goodbye
	deadline time.Duration // of the goodbye, then of the linger
	flushed  bool          // the goodbye is out
	gone     bool
	readEnd  bool // the reader has ended
	deaf     bool // nobody reads from it any more; guarded by the poller

	// heard is when the WebSocket client last said something, as its reader
	// notes it. A client that was asked at probedAt and says nothing is not there
	// any more, whatever its kernel confirms.
	heard    atomic.Int64
	probedAt time.Duration // zero means not asked

	queued bool          // in shard.ready
	wakeAt time.Duration // newest entry in shard.later; zero means none
	bucket int           // in shard.wheel; -1 means none
	slot   int

	replay  *replay      // what it is shown instead of the present; nil when live
	opening *opening     // a replay that is asked for and has not begun
	visitor bool         // counted in the hub's gallery
	pending []subRequest // of the URL, until somebody is signed in
}

// A sub is one subscription. What comes first is looked at most, so that it is
// close together in memory.
type sub struct {
	fields   []string          // nil means all
	see      func(string) bool // the viewer's; nil means all
	overlaps []*sub            // of the same connection, that may cover the same thing; changed under Hub.mu

	// dirty says that something newer exists: what the group's log has, for one
	// that is behind; else the things of list, or, when scan is set, whichever
	// things of the group are newer. hold is the place up to which the client has
	// everything all the same.
	dirty  bool
	way    way
	scan   bool
	loose  bool // list may name a thing twice
	urgent bool // more of an update that did not fit into one frame
	list   []*thing
	base   uint64 // list names what changed after this round
	hold   uint64
	merged int   // samples since the last update; of one that is behind see samples
	since  since // what the client has

	conn   *conn
	id     string
	answer json.RawMessage // the id of the frame that asked
	group  *group
	slot   int // among the group's subscriptions of this shard
	place  int // among those of its way
	period time.Duration
	next   time.Duration // of the next update, but for a little slack

	dirtyAt  time.Duration // since when it is dirty
	num      uint32        // in the order of the shard
	presence int32         // its place in the group; see present

	// Samples of the group: in what the client has, and when it was looked at last.
	told, upto uint64

	// What did not fit goes on here. It brings the client up to round base and
	// place restHold; list is what changed after that.
	rest     []*thing
	restHold uint64

	// counted is the change whose samples went into merged last, when another
	// subscription may cover the thing too.
	counted struct {
		thing *thing
		round uint64
	}

	// paging is set until the last page of the snapshot is out. No update and no
	// fact goes out for the subscription before. A client that had everything once
	// (whole) still has it up to pageHold, and no claim may go beyond meanwhile.
	paging   bool
	whole    bool
	pageHold uint64
	parted   []string // what left the place meanwhile
	page     int      // how many of snap are out
	snap     []*thing
	matched  int
	hidden   int

	facts    bool   // takes part in the facts lane
	factFrom uint64 // from this number on
	informed bool   // did so when the connection was last told that some are missing

	flushed uint64 // the turn that serves it
}

// sees says whether the client may have what belongs to the thing.
func (c *conn) sees(thing string) bool { return c.viewer.See == nil || c.viewer.See(thing) }

// paging says whether a snapshot is on its way. Until it is through, an SSE
// client gets no cursor, because it could not tell which snapshot it lacks.
func (c *conn) paging() bool {
	for _, s := range c.subs {
		if s.paging {
			return true
		}
	}
	return false
}

// due says whether an update may go out. The slack keeps a device and a client
// of the same rate from beating; the mean rate stays.
func (s *sub) due(now time.Duration) bool { return s.urgent || now >= s.dueAt() }

func (s *sub) dueAt() time.Duration { return s.next - s.period/4 }

// sent moves the time of the next update on.
func (s *sub) sent(now time.Duration) {
	s.next = min(max(s.next, now)+s.period, now+s.period+s.period/4)
}

// appendWith appends the subscription and the others of its connection that
// cover the thing too.
func (s *sub) appendWith(dst []*sub, thing string) []*sub {
	dst = append(dst, s)
	for _, o := range s.overlaps {
		if o.group.covers(thing) {
			dst = append(dst, o)
		}
	}
	return dst
}

// Package twin keeps the digital twins: what each thing is (its Thing
// Description), what it last said, how far that can be trusted, and what it was
// told to do.
//
// # State comes from the log
//
// Apply is the only way in for readings and for steps of commands. It is fed
// with the bundles of the log, in order, on every node alike, so two nodes that
// applied the same bundles hold the same state and tell the same facts. A
// bundle at or below the last applied one is ignored. A reading that was
// measured before the value it would replace does not replace it. Nothing that
// a device or the log says makes the package panic or grow without bound.
//
// # Who is told
//
// The function given to OnChange gets exactly one Update for each applied
// bundle, and one whenever a description or the passing of time changed
// something, in the order in which it happened. What it gets is its own:
// nothing in an Update is written again.
//
// # Commands
//
// A command moves on evidence only, and every step is in the log before it is
// shown. Which of two racing steps counts (a result and a time-out, the same
// idempotency key on two nodes) is decided by their order in the log, so all
// nodes decide alike. See Invoke.
//
// # Alarms
//
// What a description or a rule by the API calls an alarm is looked at with every
// reading, in memory; expressions are asked of history from time to time.
// That one is to be raised or cleared is written into the log, by every node
// that sees it, and counts once: where it stands there first. See AlarmState.
//
// Apply has one caller; every other method may be called by many.
package twin

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"echotwin/realtime"
)

// A Recorder stores records in the log and returns when they are on disk.
type Recorder interface {
	Put(ctx context.Context, r ...realtime.Record) (uint64, error)
}

// A Sender carries a command to its device. Nil means that the device has
// confirmed that it took it; a *realtime.Problem that it certainly did not get
// it; any other error that nobody knows.
type Sender interface {
	Send(ctx context.Context, thing, action, cmd string, input []byte) error
}

// Config is what Twins need from outside.
type Config struct {
	Now     func() time.Time // nil means time.Now
	Log     Recorder         // for the steps of commands; nil refuses every command
	Devices Sender           // nil refuses every command

	// Query answers a PromQL expression at a moment, over everything that is kept
	// of all things. nil refuses commands whose interlocks ask one.
	Query func(ctx context.Context, expr string, at time.Time) ([]QuerySample, error)

	// Evaluate is Query for alarm rules: it answers when everything is kept that
	// was applied before it was called. nil leaves rules that ask with an error.
	Evaluate func(ctx context.Context, expr string, at time.Time) ([]QuerySample, error)

	// MaxThings bounds how many things there are, described or not. See Admit;
	// what more things say in the log is only counted. Zero means 20,000.
	MaxThings int
}

// A QuerySample is one sample of what a PromQL expression gave.
type QuerySample struct {
	Labels map[string]string // without the metric's name when the expression dropped it
	Value  float64
}

// maxProperties bounds the properties of one thing. A description may name so
// many; undescribed ones come as long as there are not so many in all.
const maxProperties = 256

// Twins is all things of this system.
type Twins struct {
	cfg  Config
	life context.Context // ends with Run
	end  context.CancelFunc

	// turn is held through one change and its telling, so that updates leave in
	// the order of the changes. It is taken before mu.
	turn sync.Mutex
	tell func(realtime.Update)

	mu      sync.RWMutex // guards everything below and what it leads to
	seq     uint64       // newest applied bundle
	removed uint64       // the newest bundle that removed a thing
	things  map[string]*thing
	due     dueHeap // things with a value that can grow stale
	round   uint64  // counts bundles; says which scratch fields are of this one

	commands  commands
	alarms    alarms
	stats     Stats
	admission *admission // changed under mu, read without

	news      []*thing          // that came, went or look different since the last telling
	linking   map[string]bool   // things that contain others
	linked    []realtime.Linked // what they contain, where that is news
	wantDiffs atomic.Int64      // how many want to know in what

	carriers sync.WaitGroup // of commands that nobody waits for; grows only under mu and while life lasts
}

// Stats counts what Twins hold and what they did not take into the state.
type Stats struct {
	Things       int    // all of them
	Undescribed  int    // those without a description
	Seq          uint64 // newest applied bundle
	Late         uint64 // values measured before the one they would have replaced
	Bad          uint64 // values of the wrong type
	Refused      uint64 // values beyond MaxThings or the properties of a thing
	Unreadable   uint64 // records that make no sense
	OpenCommands int    // commands that still can move
	Alarms       int    // that stand
	LostAlarms   uint64 // that were not raised, because too many stand already
}

// New returns Twins without any thing.
func New(cfg Config) *Twins {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.MaxThings <= 0 {
		cfg.MaxThings = 20_000
	}
	life, end := context.WithCancel(context.Background())
	return &Twins{
		cfg:       cfg,
		life:      life,
		end:       end,
		tell:      func(realtime.Update) {},
		things:    map[string]*thing{},
		linking:   map[string]bool{},
		commands:  newCommands(),
		alarms:    newAlarms(),
		admission: newAdmission(cfg.MaxThings),
	}
}

// OnChange names the one who is told of every change, and tells it at once all
// that is known already. f must not block; it may read from t.
func (t *Twins) OnChange(f func(realtime.Update)) {
	t.turn.Lock()
	defer t.turn.Unlock()
	t.tell = f
	t.tellAll()
}

// tellAll tells everything there is. The caller holds turn.
func (t *Twins) tellAll() {
	t.mu.Lock()
	u := t.everything()
	t.describedIn(&realtime.Update{}) // is no news to somebody who begins
	t.mu.Unlock()
	if len(u.Changes)+len(u.Linked) > 0 {
		t.tell(u)
	}
}

// Seq is the newest applied bundle.
func (t *Twins) Seq() uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.seq
}

// Stats says what is held and what was not taken.
func (t *Twins) Stats() Stats {
	t.mu.RLock()
	defer t.mu.RUnlock()
	s := t.stats
	s.Seq = t.seq
	s.Things = len(t.things)
	for _, th := range t.things {
		if th.td == nil {
			s.Undescribed++
		}
	}
	s.OpenCommands = t.commands.open()
	s.Alarms = t.alarms.standing
	return s
}

package hub

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"echotwin/realtime"
)

// Config is what a hub needs of its surroundings.
type Config struct {
	// Epoch names the log whose seqs the updates carry. A cursor of another
	// epoch is answered with a snapshot.
	Epoch string

	// Commander runs commands; nil refuses them.
	Commander Commander

	// Replayer reads the past; nil refuses replays.
	Replayer Replayer

	// Authenticate turns the token of an auth frame into a viewer; nil refuses
	// such frames. A *realtime.Problem it returns is shown to the client.
	Authenticate func(ctx context.Context, token string) (Viewer, error)

	// Archive has the facts that are older than what the hub keeps; nil without.
	Archive FactStore

	// Shared says that other servers give out cursors of the same log. What stands
	// below a place at one of those is not known here.
	Shared bool

	// Placed is where the log ends at the start of the server. What stood below a
	// place when a cursor up to there was given out is not known: descriptions are
	// told as they are now, and have no place in the log.
	Placed uint64

	Limits Limits
	Log    *slog.Logger // nil discards
}

// Commander is what the hub needs of the twins: a command runs until its
// outcome is known. It tells its id with realtime.TellCommandID, and its steps
// come as facts.
type Commander interface {
	Invoke(ctx context.Context, i realtime.Invocation) (realtime.Invoked, error)
}

// A Viewer is who a connection belongs to.
type Viewer struct {
	// User is empty for somebody who is not signed in. Over WebSocket such a
	// client may send auth, and nothing else.
	User string

	// Session groups connections that end together; see Hub.End.
	Session string

	// Address is the client's, as a trusted proxy told it. Empty means the
	// address of the socket.
	Address string

	See func(thing string) bool // whose state and facts it may have; nil means all
	May func(thing string) bool // whom it may command; nil means none

	// Allow is why it may not send a type of frame, or nil when it may. Without it
	// every type is allowed.
	Allow func(typ string) *realtime.Problem

	// Rights tells apart what See lets through, and Again is the viewer as it is
	// now; see Hub.Renew. Without Again it never changes.
	Rights string
	Again  func() Viewer

	Expires time.Time // the connection ends then; zero means never
}

// Limits bound what clients may cost. Zero means the default of each.
type Limits struct {
	Connections int // in all; 20,000
	PerUser     int // connections; 256
	PerAddress  int // connections; 1,024, because a whole site may sit behind one

	// New connections a second, in all and from one address; ten times as many
	// may come at once, so that a site finds its way back after a cut. A tenth of
	// Connections, at least 1,000, and a tenth of PerAddress, at least 100.
	Accept           float64
	AcceptPerAddress float64

	Subscriptions int     // of one connection; 64
	Frame         int     // bytes a client may send in one; 65,536
	Messages      float64 // that a client may send a second, twice as many at once; 50
	Commands      int     // of one connection under way at once; 4
	Rate          float64 // update frames a second of one subscription; 20

	Replays        int // under way in all, each of which reads the history anew; 32
	ReplaysPerUser int // 4

	Facts     int // how many facts can be replayed; 4,096
	FactBytes int // and how many bytes of them; 16 MiB

	// Stall is how long a connection may take no byte before it is closed; 30 s.
	Stall time.Duration
}

func (l Limits) withDefaults() Limits {
	l.Connections = cmp.Or(l.Connections, 20_000)
	l.PerUser = cmp.Or(l.PerUser, 256)
	l.PerAddress = cmp.Or(l.PerAddress, 1024)
	l.Accept = cmp.Or(l.Accept, max(1000, float64(l.Connections)/10))
	l.AcceptPerAddress = cmp.Or(l.AcceptPerAddress, max(100, float64(l.PerAddress)/10))
	l.Subscriptions = cmp.Or(l.Subscriptions, 64)
	l.Frame = cmp.Or(l.Frame, 64<<10)
	l.Messages = cmp.Or(l.Messages, 50)
	l.Commands = cmp.Or(l.Commands, 4)
	l.Rate = cmp.Or(l.Rate, 20)
	l.Replays = cmp.Or(l.Replays, 32)
	l.ReplaysPerUser = cmp.Or(l.ReplaysPerUser, 4)
	l.Facts = cmp.Or(l.Facts, 4096)
	l.FactBytes = cmp.Or(l.FactBytes, 16<<20)
	l.Stall = cmp.Or(l.Stall, 30*time.Second)
	return l
}

const (
	// gather is how long a round may wait for more changes. After quiet the
	// first change goes at once.
	gather = 5 * time.Millisecond

	minRate = 0.01 // one update in 100 s

	pingSocket = 25 * time.Second // of silence, over WebSocket
	pingEvents = 15 * time.Second // always, over SSE and lines

	// authWait is how long a connection may be open without being signed in.
	authWait = 10 * time.Second

	// lingerTime is how long a closed connection may take to read the goodbye.
	lingerTime = 2 * time.Second

	maxAnswers = 256 << 10 // that wait for a client which asks and does not read
)

// sizes bound what goes out at once, so that nobody waits long for another and
// no client costs much.
type sizes struct {
	page   int // bytes of a page of a snapshot
	update int // bytes of an update; the rest follows in the next
	turn   int // bytes after which a turn starts no further page and no further fact
	list   int // changed things that a subscription lists before it looks for them instead
	ghosts int // removed things that are remembered for late clients
}

var usualSizes = sizes{page: 32 << 10, update: 256 << 10, turn: 64 << 10, list: 512, ghosts: 1024}

package mqtt

import (
	"context"
	"errors"
	"log/slog"

	"echotwin/realtime"
)

// Ingest is what the door needs of the way in. Each call returns when what the
// device said is stored. An error that is a *realtime.Problem is a refusal for
// the device to read, unless its code is unavailable; every other error means
// that the log could not store now.
type Ingest interface {
	Telemetry(ctx context.Context, thing string, payload []byte) error
	Property(ctx context.Context, thing, name string, payload []byte) error
	Event(ctx context.Context, thing, name string, payload []byte) error
	Status(ctx context.Context, thing, word string) error
	Result(ctx context.Context, cmd string, payload []byte) error
}

// eager is an Ingest that can also take telemetry without waiting for the log.
// When it does, QoS 0, which promises nothing, is taken so: a device that sends
// much of it is not held to the pace of single commits.
type eager interface {
	TelemetryNoWait(ctx context.Context, thing string, payload []byte) error
}

// Partly is what Telemetry returns when it stored some samples and refused
// others. The device gets its acknowledgement, since sending all of it again
// would store the good ones twice; the refusal is counted and recorded.
type Partly struct {
	Refused int               // how many samples
	First   *realtime.Problem // what was wrong with the first of them
}

func (p *Partly) Error() string { return p.First.Error() }

// Config says how the door is built. Either Addr or URL is set.
type Config struct {
	Addr string // of the embedded broker: host:port, port 0 for any
	// URL is an outside broker of MQTT 5 instead: mqtt://user:password@host:1883,
	// or mqtts://. With ?clientid=name the session outlives a restart of ours, so
	// that the broker keeps what devices send meanwhile; each process needs its own.
	URL string

	// Open lets everybody in and lets everybody look. For development.
	Open bool
	// Authenticate checks what a device at that address signs in with. It may be
	// slow: at most four calls run at once, and an address that keeps failing as
	// one user is refused without asking. An open door asks, too, of whoever names
	// a password, but only to know whom to tell.
	Authenticate func(username, password, remote string) (Credential, bool)

	// Heard is told when the first connection of this door asks for a thing's
	// commands by a filter (command/plant/pump/#), and when the last one that did
	// is gone. Each call is about one filter and has its turn. Nil tells nobody.
	Heard func(filter string, on bool)

	// Commanded names the thing of a command that this door has not sent itself:
	// before a restart, or from another node. Nil refuses the results of such.
	Commanded func(cmd string) (thing string, ok bool)

	Ingest     Ingest
	MaxClients int // connections at once; zero means 10,000
	Log        *slog.Logger
}

// A Credential is what a device has signed in with.
type Credential struct {
	// Owns says which things are the device's own. It is asked again for every
	// message, so it must be quick and may change its mind.
	Owns func(thing string) bool
	// Told hears of what becomes of the device: that it came, that it spoke (once a
	// second at most), what was refused, that it is gone. It must be quick. Nil
	// hears nothing.
	Told func(News)
}

// News is one thing that is told of a device. Without a word it spoke.
type News struct {
	Came, Gone bool   // each Came has its Gone
	Refused    string // why
}

// A Door is open until Close.
type Door struct {
	side  side
	desk  *desk
	close context.CancelFunc
}

// side is one of the two kinds of door.
type side interface {
	send(ctx context.Context, thing, action, cmd string, input []byte) error
	addr() string
	ready() error
	clients() int
	shut()
}

// Open starts the embedded broker, or the connection to an outside one, which
// need not be there yet.
func Open(cfg Config) (*Door, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxClients <= 0 {
		cfg.MaxClients = 10_000
	}
	if cfg.Ingest == nil {
		return nil, errors.New("mqtt: no ingest to hand readings to")
	}
	ctx, cancel := context.WithCancel(context.Background())
	d := &Door{desk: newDesk(ctx, cfg.Ingest, cfg.Log), close: cancel}
	var err error
	switch {
	case cfg.URL != "":
		d.side, err = openOutside(ctx, cfg, d.desk)
	case !cfg.Open && cfg.Authenticate == nil:
		err = errors.New("mqtt: the door is not open, and nothing checks credentials")
	default:
		d.side, err = openBroker(cfg, d.desk)
	}
	if err != nil {
		cancel()
		return nil, err
	}
	return d, nil
}

// Send carries a command to the thing's device with QoS 1.
//
// Through the embedded broker nil means the device's own PUBACK; through an
// outside one it means the broker's, which is weaker: the broker has taken the
// command for somebody who is subscribed, where the broker says so at all.
//
// When nobody is subscribed it returns a *realtime.Problem with CodeOffline at
// once. When ctx ends, or the connection does, after the command was written,
// the error says that the outcome is unknown and wraps context.DeadlineExceeded
// or context.Canceled.
func (d *Door) Send(ctx context.Context, thing, action, cmd string, input []byte) error {
	err := d.side.send(ctx, thing, action, cmd, input)
	d.desk.sent(err)
	return err
}

// Addr is where the embedded broker listens, or the outside broker's address.
func (d *Door) Addr() string { return d.side.addr() }

// Ready says why no reading can come in, or nil.
func (d *Door) Ready() error { return d.side.ready() }

// Close ends every connection and waits until what they were saying is stored
// or refused. Devices that had said online are recorded as offline, so Ingest
// must still work. Calling it twice is harmless.
func (d *Door) Close() {
	d.side.shut()
	d.close()
}

// Stats is what went through the door since it was opened.
type Stats struct {
	Clients  int               // connected now
	Messages uint64            // published by devices, refused ones included
	Refused  map[string]uint64 // by reason: a code of realtime.Problem, or "sign_in", "handshake", "protocol", "busy"
	Commands uint64            // acknowledged by their device
	Unsent   map[string]uint64 // commands that were not, by reason: "offline", "unknown" or "refused"
}

// Stats counts what happened so far.
func (d *Door) Stats() Stats {
	s := d.desk.stats()
	s.Clients = d.side.clients()
	return s
}

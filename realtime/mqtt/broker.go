package mqtt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"sync"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"

	"echotwin/realtime"
)

// Limits of the embedded broker.
const (
	maxPacket        = 1 << 20 // bytes; announced to MQTT 5 devices
	maxConnect       = 32 << 10
	receiveMaximum   = 256 // QoS 1 and 2 messages of one device on their way; announced
	maxSubscriptions = 1024
	maxFilter        = 1024 // bytes
	maxKeepalive     = 600  // seconds; MQTT 5 devices are told, a device of 3.1.1 may have more
	maxOnline        = 1024 // things that one connection may say online for, beyond which its drop is not told for all
	pendingWrites    = 256  // to one looker, beyond which it loses messages
)

// A broker is the door with mochi's MQTT broker inside the program.
//
// mochi keeps sessions, wills and takeovers of its own, with races between the
// connection that ends and the one that takes over. It never gets to use them
// here: each connection has an id of ours inside mochi, its session ends with
// it, its will is ours to send, and conns holds one connection a client id.
type broker struct {
	cfg    Config
	desk   *desk
	log    *slog.Logger
	server *mochi.Server
	port   *port
	guard  *guard

	// patience is how long a device of MQTT 3.1.1 waits for a log that cannot store.
	patience time.Duration

	mu     sync.Mutex
	conns  map[string]*conn // by identity
	serial uint64           // of the newest connection
	closed bool

	hearing sync.Mutex     // held through a call of cfg.Heard
	heard   map[string]int // connections by the filter that they have; guarded by hearing

	asked *asked
	once  sync.Once
}

func openBroker(cfg Config, d *desk) (*broker, error) {
	l, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("mqtt: %w", err)
	}
	b := &broker{
		cfg: cfg, desk: d, log: cfg.Log, guard: newGuard(cfg.Authenticate),
		patience: 5 * time.Second,
		conns:    map[string]*conn{}, asked: newAsked(), heard: map[string]int{},
	}
	b.port = newPort(l, b)
	b.server = mochi.New(&mochi.Options{
		Capabilities: &mochi.Capabilities{
			MaximumClients:             math.MaxInt64, // ours counts sooner
			MaximumClientWritesPending: pendingWrites,
			MaximumPacketSize:          maxPacket,
			ReceiveMaximum:             receiveMaximum,
			MaximumInflight:            receiveMaximum,
			MinimumProtocolVersion:     4,
			MaximumQos:                 2, // devices of 3.1.1 may use it; see hook.OnPacketEncode
			RetainAvailable:            1, // accepted, and cleared by hook.publish
			WildcardSubAvailable:       1,
			SubIDAvailable:             1,
			Compatibilities:            mochi.Compatibilities{NoInheritedPropertiesOnAck: true},
		},
		// What mochi logs repeats whole packets; what is worth saying is said by us.
		Logger: slog.New(slog.DiscardHandler),
		// Its own statistics stop the world to be taken, and nobody may read them.
		SysTopicResendInterval: math.MaxInt32,
		InlineClient:           true,
	})
	err = errors.Join(
		b.server.AddHook(&hook{b: b}, nil),
		b.server.AddListener(b.port),
		b.server.Serve(),
	)
	if err != nil {
		b.shut()
		return nil, fmt.Errorf("mqtt: %w", err)
	}
	return b, nil
}

func (b *broker) addr() string { return b.port.Address() }

func (b *broker) ready() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return errors.New("mqtt: the door is closed")
	}
	return nil
}

func (b *broker) clients() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.conns)
}

func (b *broker) shut() {
	b.once.Do(func() {
		b.mu.Lock()
		b.closed = true
		b.mu.Unlock()
		_ = b.server.Close() // closes the port, which ends and awaits every connection
	})
}

func (b *broker) send(ctx context.Context, thing, action, cmd string, input []byte) error {
	where := commandTopic(thing, action, cmd)
	c := b.device(thing, where)
	if c == nil {
		return realtime.Wrong("offline_qos", "{thing} is not connected: nobody is subscribed to command/{thing}/# with QoS 1", "thing", thing).Of(realtime.CodeOffline)
	}
	b.asked.remember(cmd, c.user, thing) // before it is written, since the device may be quick
	return c.deliver(ctx, where, cmd, input)
}

// device is the newest connection that asked for the thing's commands, or nil.
func (b *broker) device(thing, topic string) *conn {
	b.mu.Lock()
	defer b.mu.Unlock()
	var best *conn
	for _, c := range b.conns {
		if (best == nil || c.serial > best.serial) && c.hears(thing, topic) {
			best = c
		}
	}
	return best
}

// hears counts who asks for commands by which filter, and tells the first and
// the last.
func (b *broker) hears(by int, filters ...string) {
	if b.cfg.Heard == nil {
		return
	}
	b.hearing.Lock()
	defer b.hearing.Unlock()
	for _, f := range filters {
		if !ofDevice(f) {
			continue
		}
		was := b.heard[f]
		if b.heard[f] = was + by; was+by <= 0 {
			delete(b.heard, f)
		}
		if was == 0 && by > 0 || was > 0 && was+by == 0 {
			b.cfg.Heard(f, by > 0)
		}
	}
}

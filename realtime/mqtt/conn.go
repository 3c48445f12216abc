package mqtt

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"echotwin/realtime"
)

// maxPending bounds the commands on their way to one device.
const maxPending = 16

// A conn is a device that has signed in.
type conn struct {
	id      string // user and client id: at most one connection has it
	user    string
	serial  uint64 // newer connections have higher ones
	owns    func(thing string) bool
	told    func(News) // nil when nobody wants to know
	cl      *mochi.Client
	will    *mochi.Will   // nil when it left none
	gone    chan struct{} // closed when everything about it is over
	slots   chan struct{} // one for each command on its way
	speaks  string        // the thing it last spoke for; its own goroutine's
	spokeAt time.Time     // when that was told; its own goroutine's

	mu      sync.Mutex
	filters map[string]bool         // for commands, with QoS 1 or more
	online  map[string]bool         // things that it said online for
	pending map[uint16]chan<- reply // commands written, by packet id
	last    uint16                  // packet id
}

// A reply is a device's PUBACK.
type reply struct {
	code   byte
	reason string
}

func newConn(id, user string, cred Credential, cl *mochi.Client) *conn {
	room := maxPending
	if rm := int(cl.Properties.Props.ReceiveMaximum); rm > 0 && rm < room {
		room = rm
	}
	return &conn{
		id: id, user: user, owns: cred.Owns, told: cred.Told, cl: cl,
		gone: make(chan struct{}), slots: make(chan struct{}, room),
		filters: map[string]bool{}, online: map[string]bool{}, pending: map[uint16]chan<- reply{},
	}
}

// name is the connection for people: the device and its client id.
func (c *conn) name() string {
	user, client, _ := strings.Cut(c.id, "\x00")
	if user == "" {
		return clip(client, 80)
	}
	return user + "/" + clip(client, 80)
}

func (c *conn) tell(n News) {
	if c.told != nil {
		c.told(n)
	}
}

// spokeEvery is how often it is told that a device speaks.
const spokeEvery = time.Second

func (c *conn) spoke() {
	if now := time.Now(); now.Sub(c.spokeAt) >= spokeEvery {
		c.spokeAt = now
		c.tell(News{})
	}
}

// partly tells that something the device said was not taken.
func (c *conn) partly(p *realtime.Problem) { c.tell(News{Refused: clip(p.Error(), 300)}) }

// hears says whether the connection is the device that gets this command.
func (c *conn) hears(thing, topic string) bool {
	if !c.owns(thing) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for f := range c.filters {
		if namesThing(f, thing, topic) {
			return true
		}
	}
	return false
}

// deliver writes a command and returns with the device's PUBACK.
func (c *conn) deliver(ctx context.Context, topic, cmd string, input []byte) error {
	select {
	case c.slots <- struct{}{}:
	case <-c.gone:
		return realtime.Wrong("offline_now", "the device's connection has just ended").Of(realtime.CodeOffline)
	case <-ctx.Done():
		return &realtime.Problem{Code: realtime.CodeTooMany, Message: fmt.Sprintf("the device has not acknowledged the %d commands before this one", cap(c.slots))}
	}
	// The write can block on a peer that takes no byte, longer than ctx lives.
	result := make(chan error, 1)
	go func() {
		defer func() { <-c.slots }()
		result <- c.exchange(ctx, topic, cmd, input)
	}()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return unknown(ctx.Err(), "the device has not acknowledged the command in time")
	}
}

// exchange is the write and the wait. mochi's own table of messages in flight
// is not used: it deadlocks when two goroutines use it at the wrong moment, and
// would send a command again to whoever comes next.
func (c *conn) exchange(ctx context.Context, topic, cmd string, input []byte) error {
	id, got := c.expect()
	defer func() {
		c.mu.Lock()
		delete(c.pending, id)
		c.mu.Unlock()
	}()
	if err := ctx.Err(); err != nil {
		return unknown(err, "nobody waits for the command any more")
	}
	err := c.cl.WritePacket(packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1},
		TopicName:   topic,
		PacketID:    id,
		Payload:     input,
		// Of MQTT 5; mochi leaves them out for a device of 3.1.1.
		Properties: packets.Properties{ResponseTopic: responseTopic(cmd), CorrelationData: []byte(cmd)},
	})
	switch {
	case errors.Is(err, packets.ErrPacketTooLarge):
		return &realtime.Problem{Code: realtime.CodeTooLarge, Message: fmt.Sprintf("the device takes packets of at most %d bytes", c.cl.Properties.Props.MaximumPacketSize)}
	case errors.Is(err, mochi.ErrConnectionClosed):
		return realtime.Wrong("offline_now", "the device's connection has just ended").Of(realtime.CodeOffline)
	case err != nil:
		return unknown(context.Canceled, "the device's connection broke while the command was written")
	}
	select {
	case r := <-got:
		if r.code >= packets.ErrUnspecifiedError.Code {
			return &realtime.Problem{Code: realtime.CodeConflict, Message: fmt.Sprintf("the device refused the message with reason code 0x%02x %s", r.code, clip(r.reason, 200))}
		}
		return nil
	case <-c.gone:
		return unknown(context.Canceled, "the device's connection ended before it acknowledged the command")
	case <-ctx.Done():
		return unknown(ctx.Err(), "the device has not acknowledged the command in time")
	}
}

// unknown is the error when a command was perhaps received and perhaps not.
func unknown(cause error, why string) error {
	return fmt.Errorf("%s; whether it took it is unknown: %w", why, cause)
}

// expect reserves a packet id. No other message of ours to a device has one:
// lookers are granted QoS 0.
func (c *conn) expect() (uint16, <-chan reply) {
	got := make(chan reply, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		c.last++
		if _, taken := c.pending[c.last]; c.last != 0 && !taken {
			c.pending[c.last] = got
			return c.last, got
		}
	}
}

// acked is told of every PUBACK from the device.
func (c *conn) acked(id uint16, r reply) {
	c.mu.Lock()
	got := c.pending[id]
	delete(c.pending, id)
	c.mu.Unlock()
	if got != nil {
		got <- r // has room for it: an id is deleted by whoever answers it
	}
}

// presence remembers what the connection said about a thing.
func (c *conn) presence(thing, word string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if word != "online" {
		delete(c.online, thing)
	} else if len(c.online) < maxOnline {
		c.online[thing] = true
	}
}

// end closes the connection, with a reason for those who can read one.
func (b *broker) end(c *conn, why packets.Code) {
	if s, ok := c.cl.Net.Conn.(*socket); ok {
		s.showOut()
	}
	if c.cl.Properties.ProtocolVersion == 5 {
		_ = b.server.DisconnectClient(c.cl, why)
	}
	c.cl.Stop(why)
}

// join makes c the one connection of its client id. The connection that was,
// if any, is over when join returns.
func (b *broker) join(c *conn) error {
	giveUp := time.NewTimer(connectTimeout)
	defer giveUp.Stop()
	for {
		b.mu.Lock()
		old := b.conns[c.id]
		if b.closed {
			b.mu.Unlock()
			return packets.ErrServerShuttingDown
		}
		if old == nil {
			defer b.mu.Unlock()
			if len(b.conns) >= b.cfg.MaxClients {
				return packets.ErrServerBusy
			}
			b.serial++
			c.serial = b.serial
			b.conns[c.id] = c
			return nil
		}
		b.mu.Unlock()
		go b.end(old, packets.ErrSessionTakenOver)
		select {
		case <-old.gone:
		case <-giveUp.C: // it is waiting for a log that cannot store
			return packets.ErrServerBusy
		}
	}
}

// leave is called once for every connection, when mochi is done with it: it
// says what the device left to say, and makes room for the next one.
func (b *broker) leave(c *conn) {
	defer close(c.gone)
	defer c.tell(News{Gone: true})
	defer func() {
		b.mu.Lock()
		delete(b.conns, c.id)
		b.mu.Unlock()
	}()
	c.cl.Stop(errors.New("left")) // after a panic mochi has not
	b.server.UnsubscribeClient(c.cl)
	b.server.Clients.Delete(c.cl.ID)
	c.mu.Lock()
	had := slices.Collect(maps.Keys(c.filters))
	clear(c.filters)
	c.mu.Unlock()
	b.hears(-1, had...)
	if errors.Is(c.cl.StopCause(), packets.CodeDisconnect) {
		return // it said goodbye, so its will is void
	}
	b.log.Debug("a device's connection ended without DISCONNECT", "client", c.name(), "cause", c.cl.StopCause())
	if c.will != nil {
		b.lastWord(c, c.will.TopicName, c.will.Payload)
	}
	for thing := range c.online { // nobody else touches it now
		b.lastWord(c, "status/"+thing, []byte("offline"))
	}
}

// lastWord stores what a device would have said itself, and gives it to lookers.
// A thing is not offline while a newer connection says that it is online:
// devices with random client ids leave dead connections behind.
func (b *broker) lastWord(c *conn, name string, payload []byte) {
	thing, isStatus := strings.CutPrefix(name, "status/")
	if isStatus && string(payload) == "offline" && b.elsewhere(c, thing) {
		c.presence(thing, "offline")
		return
	}
	if err := b.take(c, name, payload, 1, nil); err == nil {
		_ = b.server.Publish(name, payload, false, 0)
	}
}

// elsewhere says whether another connection has said that the thing is online.
func (b *broker) elsewhere(c *conn, thing string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, other := range b.conns {
		if other != c && other.says(thing) {
			return true
		}
	}
	return false
}

func (c *conn) says(thing string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.online[thing]
}

// kickAll ends every connection at once.
func (b *broker) kickAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.conns {
		go b.end(c, packets.ErrServerShuttingDown)
	}
}

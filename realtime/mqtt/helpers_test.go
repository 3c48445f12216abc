package mqtt

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"
	"go.uber.org/goleak"

	"echotwin/realtime"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patient bounds every wait of a test; reaching it is a failure.
const patient = 10 * time.Second

// A store is an Ingest that keeps what it is given as "kind thing name payload".
type store struct {
	mu   sync.Mutex
	said []string
	fail func(line string) error // nil stores everything; called without the lock
}

func (s *store) put(parts ...string) error {
	line := strings.Join(parts, " ")
	s.mu.Lock()
	fail := s.fail
	s.mu.Unlock()
	if fail != nil {
		if err := fail(line); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = append(s.said, line)
	return nil
}

func (s *store) failWith(f func(line string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = f
}

func (s *store) Telemetry(_ context.Context, thing string, p []byte) error {
	return s.put("telemetry", thing, string(p))
}
func (s *store) Property(_ context.Context, thing, name string, p []byte) error {
	return s.put("property", thing, name, string(p))
}
func (s *store) Event(_ context.Context, thing, name string, p []byte) error {
	return s.put("event", thing, name, string(p))
}
func (s *store) Status(_ context.Context, thing, word string) error {
	return s.put("status", thing, word)
}
func (s *store) Result(_ context.Context, cmd string, p []byte) error {
	return s.put("result", cmd, string(p))
}

func (s *store) lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.said)
}

// wait returns when a line is stored that begins so.
func (s *store) wait(t *testing.T, prefix string) string {
	t.Helper()
	var found string
	eventually(t, "stored: "+prefix, func() bool {
		for _, l := range s.lines() {
			if strings.HasPrefix(l, prefix) {
				found = l
				return true
			}
		}
		return false
	})
	return found
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patient); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// open starts a door on a free port. Without Authenticate it is open to all.
func open(t *testing.T, cfg Config) (*Door, *store) {
	t.Helper()
	s := &store{}
	if cfg.Ingest == nil {
		cfg.Ingest = s
	}
	if cfg.URL == "" {
		cfg.Addr = "127.0.0.1:0"
		cfg.Open = cfg.Authenticate == nil
	}
	cfg.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	d, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d, s
}

// password lets user in with password "secret", as the owner of user/**.
func password(user, pass, _ string) (Credential, bool) {
	return Credential{Owns: func(thing string) bool { return strings.HasPrefix(thing, user+"/") }}, pass == "secret"
}

// A device is an MQTT 5 client of paho.
type device struct {
	*paho.Client
	t    *testing.T
	conn net.Conn
	got  chan *paho.Publish
	down chan byte // the reason code of a DISCONNECT
}

func connect5(t *testing.T, addr string, change func(*paho.Connect)) (*device, *paho.Connack, error) {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	d := &device{t: t, conn: nc, got: make(chan *paho.Publish, 100), down: make(chan byte, 1)}
	d.Client = paho.NewClient(paho.ClientConfig{
		Conn:          nc,
		PacketTimeout: patient,
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
			d.got <- p.Packet
			return true, nil
		}},
		OnServerDisconnect: func(p *paho.Disconnect) { d.down <- p.ReasonCode },
	})
	cp := &paho.Connect{ClientID: t.Name(), KeepAlive: 30, CleanStart: true}
	if change != nil {
		change(cp)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	ack, err := d.Connect(ctx, cp)
	t.Cleanup(func() { nc.Close(); <-d.Done() })
	return d, ack, err
}

func dial5(t *testing.T, addr string, change func(*paho.Connect)) *device {
	t.Helper()
	d, _, err := connect5(t, addr, change)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// as signs in.
func as(user string) func(*paho.Connect) {
	return func(cp *paho.Connect) {
		cp.ClientID = "client of " + user
		cp.Username, cp.UsernameFlag, cp.Password, cp.PasswordFlag = user, true, []byte("secret"), true
	}
}

// pub publishes and returns the reason code and string of the answer.
func (d *device) pub(topic, payload string, qos byte) (byte, string) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	r, err := d.Publish(ctx, &paho.Publish{Topic: topic, QoS: qos, Payload: []byte(payload)})
	if r == nil {
		if err != nil {
			d.t.Fatalf("publish %s: %v", topic, err)
		}
		return 0, ""
	}
	if r.Properties == nil {
		return r.ReasonCode, ""
	}
	return r.ReasonCode, r.Properties.ReasonString
}

// sub subscribes and returns the reason code.
func (d *device) sub(filter string, qos byte) byte {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	a, err := d.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: filter, QoS: qos}}})
	if a == nil {
		d.t.Fatalf("subscribe %s: %v", filter, err)
	}
	return a.Reasons[0]
}

func (d *device) next() *paho.Publish {
	d.t.Helper()
	select {
	case p := <-d.got:
		return p
	case <-time.After(patient):
		d.t.Fatal("no message came")
		return nil
	}
}

// A raw device speaks MQTT 3.1.1 byte by byte.
type raw struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func dialRaw(t *testing.T, addr string) *raw {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(patient))
	return &raw{t, nc, bufio.NewReader(nc)}
}

func packet(first byte, body ...[]byte) []byte {
	b := slices.Concat(body...)
	p := []byte{first}
	for n := len(b); ; {
		c := byte(n & 0x7f)
		if n >>= 7; n > 0 {
			p = append(p, c|0x80)
			continue
		}
		return append(append(p, c), b...)
	}
}

func str(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

// connect311 is a CONNECT, with a last will when willTopic is set and
// credentials when user is set.
func connect311(id, willTopic, will, user string) []byte {
	flags := byte(2)
	body := str(id)
	if willTopic != "" {
		flags |= 0x04 | 1<<3
		body = slices.Concat(body, str(willTopic), str(will))
	}
	if user != "" {
		flags |= 0xC0
		body = slices.Concat(body, str(user), str("secret"))
	}
	return packet(0x10, str("MQTT"), []byte{4, flags, 0, 30}, body)
}

func publish311(topic, payload string, qos byte, id uint16) []byte {
	if qos == 0 {
		return packet(0x30, str(topic), []byte(payload))
	}
	return packet(0x30|qos<<1, str(topic), binary.BigEndian.AppendUint16(nil, id), []byte(payload))
}

func (r *raw) send(p []byte) {
	r.t.Helper()
	if _, err := r.Write(p); err != nil {
		r.t.Fatal(err)
	}
}

// recv returns the next packet, or io.EOF when the door has closed the connection.
func (r *raw) recv() (byte, []byte, error) {
	first, err := r.r.ReadByte()
	if err != nil {
		if !errors.Is(err, io.EOF) {
			var ne net.Error
			if errors.As(err, &ne) && ne.Timeout() {
				r.t.Fatal("no answer")
			}
		}
		return 0, nil, io.EOF
	}
	n, err := binary.ReadUvarint(r.r)
	if err != nil {
		return 0, nil, err
	}
	b := make([]byte, n)
	_, err = io.ReadFull(r.r, b)
	return first, b, err
}

func (r *raw) want(first byte, body ...byte) {
	r.t.Helper()
	f, b, err := r.recv()
	if err != nil || f != first || !slices.Equal(b, body) {
		r.t.Fatalf("got packet % x % x, %v; want % x % x", f, b, err, first, body)
	}
}

func dial311(t *testing.T, addr string, connect []byte) *raw {
	t.Helper()
	r := dialRaw(t, addr)
	r.send(connect)
	r.want(0x20, 0, 0)
	return r
}

func problem(code string) func(string) error {
	return func(line string) error {
		if strings.HasPrefix(line, "event ") && strings.Contains(line, " refused ") {
			return nil
		}
		return &realtime.Problem{Code: code, Message: "no: " + code, At: "/speed"}
	}
}

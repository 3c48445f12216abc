package simulator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
)

const (
	// backlog is how much a device keeps for a slow door, about two seconds.
	backlog = 20
	// goodbye bounds how long a device takes to go.
	goodbye = 2 * time.Second
)

var errNoSuchAction = errors.New("this device has no such action")

// A saying is one publication.
type saying struct {
	topic   string
	payload []byte
}

// A device is one thing's connection.
type device struct {
	name    string
	spec    spec
	due     time.Time // of the next telemetry; the plant's
	obey    func(thing string, speed float64) error
	queue   chan saying
	answers chan saying
}

func newDevice(name string, s spec, obey func(string, float64) error) *device {
	return &device{name: name, spec: s, obey: obey, queue: make(chan saying, backlog), answers: make(chan saying, backlog)}
}

// offer never blocks: the newest counts. Only the plant's goroutine offers.
func (d *device) offer(s saying) {
	for {
		select {
		case d.queue <- s:
			return
		default:
		}
		select {
		case <-d.queue:
		default:
		}
	}
}

// run keeps the device connected until ctx ends.
func (d *device) run(ctx context.Context, cfg Config) {
	log := cfg.Log.With("thing", site+d.name)
	// Its own life, so that the device can still say that it goes.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	cm, err := autopaho.NewConnection(life, d.connection(life, cfg, log))
	if err != nil {
		log.Error("the device cannot be started", "err", err)
		return
	}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case s := <-d.answers:
			d.publish(ctx, cm, s, log)
		case s := <-d.queue:
			d.publish(ctx, cm, s, log)
		}
	}
	last, cancel := context.WithTimeout(life, goodbye)
	defer cancel()
	_ = d.send(last, cm, saying{"status/" + site + d.name, []byte("offline")}) // fails at once when the door is away
	_ = cm.Disconnect(last)
}

func (d *device) connection(life context.Context, cfg Config, log *slog.Logger) autopaho.ClientConfig {
	door := *cfg.door
	door.User, door.RawQuery = nil, ""
	c := autopaho.ClientConfig{
		ServerUrls:                    []*url.URL{&door},
		KeepAlive:                     15,
		CleanStartOnInitialConnection: true,
		ConnectTimeout:                5 * time.Second,
		ReconnectBackoff:              autopaho.NewExponentialBackoff(100*time.Millisecond, 5*time.Second, 300*time.Millisecond, 2),
		ConnectUsername:               cfg.door.User.Username(),
		WillMessage:                   &paho.WillMessage{Topic: "status/" + site + d.name, Payload: []byte("offline"), QoS: 1},
		OnConnectionUp:                func(cm *autopaho.ConnectionManager, _ *paho.Connack) { go d.appear(life, cm, log) },
		OnConnectError:                func(err error) { log.Debug("the door does not answer", "err", err) },
		ConnectPacketBuilder: func(cp *paho.Connect, _ *url.URL) (*paho.Connect, error) {
			if cp.Properties == nil {
				cp.Properties = &paho.ConnectProperties{}
			}
			cp.Properties.ReceiveMaximum = paho.Uint16(backlog) // paho makes room for so many at once
			return cp, nil
		},
	}
	if password, ok := cfg.door.User.Password(); ok {
		c.ConnectPassword = []byte(password)
	}
	c.ClientConfig = paho.ClientConfig{
		ClientID:          "demo-" + d.name,
		PacketTimeout:     10 * time.Second,
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){d.received},
	}
	return c
}

// appear says what a device says on a new connection.
func (d *device) appear(ctx context.Context, cm *autopaho.ConnectionManager, log *slog.Logger) {
	_, err := cm.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "command/" + site + d.name + "/#", QoS: 1}}})
	if err == nil {
		err = d.send(ctx, cm, saying{"status/" + site + d.name, []byte("online")})
	}
	if err != nil && ctx.Err() == nil {
		log.Warn("the device is connected but not heard", "err", err)
	}
}

// publish says something once the door is there.
func (d *device) publish(ctx context.Context, cm *autopaho.ConnectionManager, s saying, log *slog.Logger) {
	if cm.AwaitConnection(ctx) != nil {
		return
	}
	if err := d.send(ctx, cm, s); err != nil && ctx.Err() == nil {
		log.Debug("not stored", "topic", s.topic, "err", err)
	}
}

func (d *device) send(ctx context.Context, cm *autopaho.ConnectionManager, s saying) error {
	_, err := cm.Publish(ctx, &paho.Publish{Topic: s.topic, QoS: 1, Payload: s.payload})
	return err
}

// received obeys a command. paho acknowledges the message when it returns.
func (d *device) received(m paho.PublishReceived) (bool, error) {
	action, cmd, ok := strings.Cut(strings.TrimPrefix(m.Packet.Topic, "command/"+site+d.name+"/"), "/")
	if !ok {
		return true, nil
	}
	select {
	case d.answers <- saying{"result/" + cmd, d.answer(action, m.Packet.Payload)}:
	default: // the door is away with answers still to send; whoever asked has been told that it is
	}
	return true, nil
}

// answer does what the command says and returns its result.
func (d *device) answer(action string, input []byte) []byte {
	type speed struct {
		Speed *float64 `json:"speed"`
	}
	var in speed
	var err error
	switch {
	case action != "setSpeed":
		err = errNoSuchAction
	case json.Unmarshal(input, &in) != nil || in.Speed == nil:
		err = fmt.Errorf(`the input is {"speed": a number from %v to %v}`, minSpeed, maxSpeed)
	default:
		err = d.obey(d.name, *in.Speed)
	}
	var out any = struct {
		OK     bool  `json:"ok"`
		Output speed `json:"output"`
	}{true, in}
	if err != nil {
		out = struct {
			OK    bool   `json:"ok"`
			Error string `json:"error"`
		}{false, err.Error()}
	}
	b, err := json.Marshal(out)
	if err != nil { // strings and finite numbers always encode
		return []byte(`{"ok":false,"error":"no answer"}`)
	}
	return b
}

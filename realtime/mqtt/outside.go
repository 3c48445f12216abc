package mqtt

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"

	"echotwin/realtime"
)

const (
	workers    = 16  // things whose messages are stored at the same time
	outsideRM  = 512 // messages that the broker may have on their way to us
	sessionFor = 24 * 60 * 60
	acksEvery  = 5 * time.Millisecond
)

// outside is the door with a broker of somebody else's. Who may publish what is
// that broker's affair, and so are wills. Several processes share the
// subscriptions. A message is acknowledged to the broker when it is stored;
// what is refused is acknowledged too, or it would come again for ever. While
// the log cannot store, the broker keeps what it has not seen acknowledged.
type outside struct {
	desk *desk
	log  *slog.Logger
	url  string
	of   func(cmd string) (thing string, ok bool) // the thing of a command, or nil
	cm   *autopaho.ConnectionManager
	up   atomic.Bool // connected and subscribed

	queues [workers]chan paho.PublishReceived
	seed   maphash.Seed
	wg     sync.WaitGroup
	rest   context.CancelFunc // ends the workers
	once   sync.Once
}

func openOutside(ctx context.Context, cfg Config, d *desk) (*outside, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("mqtt: %q is not the address of a broker, such as mqtt://host:1883", cfg.URL)
	}
	working, rest := context.WithCancel(ctx)
	o := &outside{desk: d, log: cfg.Log, url: u.Redacted(), of: cfg.Commanded, seed: maphash.MakeSeed(), rest: rest}
	for i := range o.queues {
		o.queues[i] = make(chan paho.PublishReceived, outsideRM/workers)
		o.wg.Go(func() { o.work(working, o.queues[i]) })
	}
	o.cm, err = autopaho.NewConnection(ctx, o.config(working, u))
	if err != nil {
		rest()
		o.wg.Wait()
		return nil, fmt.Errorf("mqtt: %w", err)
	}
	return o, nil
}

func (o *outside) config(ctx context.Context, u *url.URL) autopaho.ClientConfig {
	cfg := autopaho.ClientConfig{
		KeepAlive:                     20,
		ConnectTimeout:                5 * time.Second,
		CleanStartOnInitialConnection: true,
		ReconnectBackoff:              autopaho.NewExponentialBackoff(200*time.Millisecond, 20*time.Second, time.Second, 1.5),
		OnConnectionUp:                func(cm *autopaho.ConnectionManager, _ *paho.Connack) { go o.subscribe(ctx, cm) },
		OnConnectionDown: func() bool {
			o.up.Store(false)
			return true
		},
		OnConnectError: func(err error) { o.log.Warn("the outside MQTT broker does not answer", "url", o.url, "err", err) },
		ConnectPacketBuilder: func(cp *paho.Connect, _ *url.URL) (*paho.Connect, error) {
			if cp.Properties == nil {
				cp.Properties = &paho.ConnectProperties{}
			}
			cp.Properties.ReceiveMaximum = paho.Uint16(outsideRM)
			return cp, nil
		},
	}
	cfg.ClientConfig = paho.ClientConfig{
		ClientID:                   "echotwin-" + rand.Text(),
		EnableManualAcknowledgment: true,
		SendAcksInterval:           acksEvery,
		OnPublishReceived:          []func(paho.PublishReceived) (bool, error){o.received(ctx)},
		OnServerDisconnect: func(d *paho.Disconnect) {
			o.log.Warn("the outside MQTT broker ended the connection", "url", o.url, "reason_code", d.ReasonCode)
		},
	}
	if id := u.Query().Get("clientid"); id != "" {
		cfg.ClientID, cfg.CleanStartOnInitialConnection, cfg.SessionExpiryInterval = id, false, sessionFor
	}
	if u.User != nil {
		cfg.ConnectUsername = u.User.Username()
		if p, ok := u.User.Password(); ok {
			cfg.ConnectPassword = []byte(p)
		}
	}
	plain := *u
	plain.User, plain.RawQuery = nil, ""
	cfg.ServerUrls = []*url.URL{&plain}
	return cfg
}

// subscribe runs after every connection, since the broker may have forgotten us.
func (o *outside) subscribe(ctx context.Context, cm *autopaho.ConnectionManager) {
	var subs []paho.SubscribeOptions
	for _, f := range []string{"telemetry/#", "event/#", "status/#", "result/#"} {
		subs = append(subs, paho.SubscribeOptions{Topic: "$share/echotwin/" + f, QoS: 1})
	}
	for ctx.Err() == nil {
		_, err := cm.Subscribe(ctx, &paho.Subscribe{Subscriptions: subs})
		switch {
		case err == nil:
			o.up.Store(true)
			o.log.Info("reading from the outside MQTT broker", "url", o.url)
			return
		case errors.Is(err, autopaho.ConnectionDownError):
			return // the next connection subscribes
		}
		o.log.Error("the outside MQTT broker refuses our subscriptions", "url", o.url, "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Second):
		}
	}
}

// received hands a message to the worker of its thing, so that a thing's
// messages stay in order. It waits for a full worker, and the broker for us.
func (o *outside) received(ctx context.Context) func(paho.PublishReceived) (bool, error) {
	return func(m paho.PublishReceived) (bool, error) {
		t, _ := addressed(m)
		q := o.queues[maphash.String(o.seed, t.thing)%workers]
		select {
		case q <- m:
		case <-ctx.Done():
		case <-m.Client.Done(): // the broker sends it again on the next connection
		}
		return true, nil
	}
}

// addressed is what a message is about.
func addressed(m paho.PublishReceived) (topic, error) {
	var data []byte
	if m.Packet.Properties != nil {
		data = m.Packet.Properties.CorrelationData
	}
	name, wrong := correlate(m.Packet.Topic, data)
	if wrong != nil {
		return topic{}, wrong
	}
	return parseTopic(name)
}

func (o *outside) work(ctx context.Context, q <-chan paho.PublishReceived) {
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-q:
			o.take(ctx, m)
		}
	}
}

// take stores one message, however long that takes, and acknowledges it. When
// the connection that it came by is gone, the broker will send it again.
func (o *outside) take(ctx context.Context, m paho.PublishReceived) {
	o.desk.took()
	t, err := addressed(m)
	if err == nil {
		err = o.desk.store(t, m.Packet.Payload, m.Packet.QoS, nil)
	}
	for err != nil && refusal(err) == nil {
		o.desk.count(realtime.CodeUnavailable, 1, "what a device said could not be stored", "thing", t.thing, "err", err)
		if m.Packet.QoS == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-m.Client.Done():
			return
		case <-time.After(500 * time.Millisecond):
			err = o.desk.store(t, m.Packet.Payload, m.Packet.QoS, nil)
		}
	}
	if err != nil {
		if t.kind == result && o.of != nil {
			t.thing, _ = o.of(t.cmd)
		}
		o.desk.refuse(t.thing, refusal(err), o.url, 1)
	}
	if m.Packet.QoS > 0 {
		if err := m.Client.Ack(m.Packet); err != nil {
			o.log.Debug("a message could not be acknowledged and will come again", "err", err)
		}
	}
}

func (o *outside) send(ctx context.Context, thing, action, cmd string, input []byte) error {
	p := &paho.Publish{Topic: commandTopic(thing, action, cmd), QoS: 1, Payload: input,
		Properties: &paho.PublishProperties{ResponseTopic: responseTopic(cmd), CorrelationData: []byte(cmd)}}
	if end, ok := ctx.Deadline(); ok { // the broker must not keep it for a device that comes later
		left := uint32(max(time.Until(end)/time.Second, 1))
		p.Properties.MessageExpiry = &left
	}
	r, err := o.cm.Publish(ctx, p)
	switch {
	case errors.Is(err, autopaho.ConnectionDownError):
		return &realtime.Problem{Code: realtime.CodeUnavailable, Message: "the MQTT broker is not connected"}
	case r != nil && r.ReasonCode == 0x10:
		return realtime.Wrong("offline", "{thing} is not connected: nobody is subscribed to command/{thing}/#", "thing", thing).Of(realtime.CodeOffline)
	case r != nil && r.ReasonCode >= 0x80:
		return &realtime.Problem{Code: realtime.CodeForbidden, Message: fmt.Sprintf("the MQTT broker refused the command with reason code 0x%02x", r.ReasonCode)}
	case err != nil && ctx.Err() != nil:
		return unknown(ctx.Err(), "the MQTT broker has not acknowledged the command in time")
	case err != nil:
		return unknown(context.Canceled, "the connection to the MQTT broker ended: "+err.Error())
	}
	return nil
}

func (o *outside) addr() string { return o.url }

func (o *outside) ready() error {
	if !o.up.Load() {
		return fmt.Errorf("mqtt: not connected to %s", o.url)
	}
	return nil
}

func (o *outside) clients() int {
	if o.up.Load() {
		return 1
	}
	return 0
}

func (o *outside) shut() {
	o.once.Do(func() {
		// First our workers, then the connection, so that the broker hears what was
		// stored; paho gathers acknowledgements and has no way to say "now".
		o.rest()
		o.wg.Wait()
		time.Sleep(4 * acksEvery)
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		_ = o.cm.Disconnect(ctx)
	})
}

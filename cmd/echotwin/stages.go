package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"echotwin/gpt"
	"echotwin/realtime"
	"echotwin/realtime/bus"
	"echotwin/realtime/history"
	"echotwin/realtime/hub"
	"echotwin/realtime/ingest"
	"echotwin/realtime/mqtt"
	"echotwin/realtime/notify"
	"echotwin/realtime/simulator"
	"echotwin/realtime/twin"
	"echotwin/server"
	"echotwin/server/auth"
	"echotwin/web"
)

// stages are the parts of a running Echotwin, in the order in which a reading
// passes them. They do not know each other: here they are connected.
type stages struct {
	cfg *config
	log *slog.Logger

	bus     *bus.Bus
	facts   *bus.Facts
	auth    *auth.Auth
	ingest  *ingest.Ingest
	clock   *ingest.Clock
	door    *mqtt.Door // nil without one
	router  *router    // nil without a door; only used with other nodes
	twins   *twin.Twins
	things  *twin.Directory
	files   *thingFiles
	rules   *twin.Rulebook
	known   atomic.Pointer[twin.Twins] // the same, for the door, which is open before
	hub     *hub.Hub
	history *history.History
	gpt     *gpt.Runs
	oidc    *auth.OIDC // nil without a provider
	notify  *notify.Notify
	server  *server.Server

	saved  *checkpoints
	filed  func()        // ends the writing of facts
	serves chan struct{} // closed when it does; what can wait begins then
	demo   demoLine
	looks  chan struct{} // see past
}

// build makes the stages and connects them. What it began is ended when it
// fails.
func build(ctx context.Context, cfg *config, log *slog.Logger) (_ *stages, err error) {
	s := &stages{cfg: cfg, log: log, demo: newDemoLine(cfg), serves: make(chan struct{}), looks: make(chan struct{}, maxLooks)}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.bus, err = bus.Open(ctx, bus.Config{
		Dir: filepath.Join(cfg.Data, "nats"), URL: cfg.Nats, Log: log,
		MaxBytes: int64(cfg.LogSize), MaxAge: cfg.LogAge, Reserve: int64(cfg.DiskReserve),
	}); err != nil {
		return nil, err
	}
	if cfg.Nats == "" {
		sweepCopies(cfg.Data, log) // the bus has the folder for this process
	}
	if err = s.openAuth(ctx); err != nil {
		return nil, err
	}
	if err = s.openOIDC(); err != nil {
		return nil, err
	}
	if s.facts, err = s.bus.Facts(ctx, bus.FactsConfig{MaxBytes: int64(cfg.FactsSize), MaxAge: time.Duration(cfg.FactsAge), Begin: s.serves}); err != nil {
		return nil, err
	}
	s.clock = ingest.NewClock(log)
	s.ingest = ingest.New(ingest.Config{
		Log: s.bus, Logger: log, Fault: s.fault, Admit: s.admit,
		Unlogged: func(r []realtime.Record) { s.twins.ShowUnlogged(r) },
	})
	if err = s.openDoor(); err != nil {
		return nil, err
	}
	if err = s.openTwins(ctx); err != nil {
		return nil, err
	}
	s.history = history.New(history.Config{
		Dir: filepath.Join(cfg.Data, "history"), URL: cfg.HistoryURL, Log: s.bus, Describe: s.describe,
		Retention: time.Duration(cfg.HistoryAge), MaxBytes: int64(cfg.HistorySize), RollupRetention: time.Duration(cfg.HistoryRollups), Late: time.Duration(cfg.HistoryLate),
		Begin: s.serves, Logger: log,
	})
	s.hub = hub.New(hub.Config{
		Epoch:        s.bus.Epoch(),
		Commander:    s.twins,
		Replayer:     s.past(),
		Archive:      s.facts,
		Shared:       cfg.Nats != "",
		Placed:       s.bus.Last(),
		Limits:       cfg.limits(),
		Authenticate: func(ctx context.Context, token string) (hub.Viewer, error) { return s.server.Viewer(ctx, token) },
		Log:          log,
	})
	s.gpt = gpt.New(s.gptConfig())
	if err = s.openNotify(ctx); err != nil {
		return nil, err
	}
	if s.server, err = server.New(s.serverDeps()); err != nil {
		return nil, err
	}
	if err = s.remember(ctx); err != nil {
		return nil, err
	}
	s.twins.OnChange(func(u realtime.Update) {
		s.facts.Add(u.Seq, u.Facts)
		s.alarmed(u)
		s.hub.Publish(u)
		s.server.Publish(u)
	})
	return s, nil
}

// remember gives the hub what it knew before the restart: the newest facts, and
// that every value to come says where it changed. So a cursor of before goes on
// as if nothing had been. The twins' checkpoint is never ahead of the facts that
// are stored; what the log has behind it is told once more, and stored if it was
// not.
func (s *stages) remember(ctx context.Context) error {
	seq := s.twins.Seq()
	facts, since, err := s.facts.Newest(ctx, seq, s.cfg.FactsInMemory)
	if err != nil {
		return err
	}
	state := uint64(0)
	if first := s.bus.Stats().First; first > seq+1 {
		state = first - 1 // what changed before that is in no checkpoint and not in the log any more
	}
	// Nor does a checkpoint say which things were removed before it.
	state = max(state, s.twins.Removed())
	s.facts.Begin(seq)
	s.hub.Begin(seq, facts, since, state)

	running, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.facts.Run(running) // fails only when the bus is closed
	}()
	s.filed = func() { stop(); <-ended }
	return nil
}

func (s *stages) openAuth(ctx context.Context) error {
	c := auth.Config{
		NotFound: bus.ErrNotFound, Exists: bus.ErrExists, Changed: bus.ErrChanged,
		Secret: s.cfg.SessionSecret, Production: s.cfg.production(), AdminPassword: s.cfg.AdminPassword, Node: nodeName(s.cfg), Log: s.log,
	}
	for name, store := range map[string]*auth.Store{"users": &c.Users, "sessions": &c.Sessions, "tokens": &c.Tokens, "devices": &c.Devices, "seen": &c.Seen} {
		b, err := s.bus.Bucket(ctx, name)
		if err != nil {
			return err
		}
		*store = b
	}
	var err error
	if s.auth, err = auth.Open(ctx, c); err != nil {
		return err
	}
	if p := s.auth.Generated(); p != "" {
		// Not through the logger: a password does not belong into a log file.
		fmt.Printf("The first administrator is admin with the password %s. It is shown only now; PATCH /api/users/admin sets another.\n", p)
	}
	return nil
}

// openOIDC prepares signing in at a provider, which need not be there yet.
func (s *stages) openOIDC() (err error) {
	c := s.cfg
	if c.OIDCIssuer == "" {
		return nil
	}
	s.oidc, err = auth.NewOIDC(s.auth, auth.OIDCConfig{
		Issuer: c.OIDCIssuer, ClientID: c.OIDCClientID, ClientSecret: c.OIDCSecret, Name: c.OIDCName, Scopes: c.OIDCScopes,
		RoleClaim: c.OIDCRoleClaim, Roles: c.OIDCRoles, DefaultRole: auth.Role(c.OIDCDefaultRole), Logout: bool(c.OIDCLogout),
		Backchannel: bool(c.OIDCBackchannel), Session: c.OIDCSession,
	})
	return err
}

// openDoor opens the MQTT door. The demo line comes through it like any
// device, so where there is none it gets one on loopback for itself.
func (s *stages) openDoor() error {
	addr := s.cfg.mqttAddr()
	if addr == "" && s.cfg.MQTTURL == "" && s.cfg.demo() {
		addr = "127.0.0.1:0"
	}
	if addr == "" && s.cfg.MQTTURL == "" {
		return nil
	}
	if s.cfg.MQTTURL != "" {
		addr = ""
	}
	var err error
	s.router = &router{bus: s.bus, log: s.log}
	var heard func(string, bool)
	if s.cfg.Nats != "" { // alone there is nobody to answer
		heard = s.router.heard
	}
	s.door, err = mqtt.Open(mqtt.Config{
		Addr: addr, URL: s.cfg.MQTTURL,
		Open:         !s.cfg.production(),
		Authenticate: s.device,
		Commanded:    s.commanded,
		Heard:        heard,
		Ingest:       intake{s.ingest},
		Log:          s.log,
	})
	if err != nil {
		return fmt.Errorf("the MQTT door (ECHOTWIN_MQTT_ADDR, off for none): %w", err)
	}
	s.router.door.Store(s.door)
	return nil
}

// device says which things a device may speak for.
func (s *stages) device(username, password, remote string) (mqtt.Credential, bool) {
	if c, ok := s.demo.authenticate(username, password); ok {
		return c, true
	}
	return server.DeviceAuth(s.auth)(username, password, remote)
}

// nodeName is this process as people know it among those of a cluster.
func nodeName(cfg *config) string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "node"
	}
	if cfg.Port == 0 { // any free one, which is not known yet
		return host + ":" + rand.Text()[:4]
	}
	return fmt.Sprint(host, ":", cfg.Port)
}

// commanded is the thing of a command that the door may not have sent itself.
// The door is open before there are twins.
func (s *stages) commanded(cmd string) (thing string, ok bool) {
	twins := s.known.Load()
	if twins == nil {
		return "", false
	}
	i, ok := twins.Command(cmd)
	return i.Thing, ok
}

func (s *stages) openTwins(ctx context.Context) error {
	c := twin.Config{Log: s.ingest, Query: s.query, Evaluate: s.evaluate}
	if s.door != nil {
		c.Devices = s.door
		if s.cfg.Nats != "" {
			c.Devices = s.router
		}
	}
	s.twins = twin.New(c)
	s.known.Store(s.twins)
	descriptions, err := s.bus.Bucket(ctx, "things")
	if err != nil {
		return err
	}
	s.things = twin.NewDirectory(twin.DirectoryConfig{
		Twins: s.twins, Store: descriptions, Logger: s.log,
		Changed: bus.ErrChanged, Exists: bus.ErrExists, Missing: bus.ErrNotFound,
	})
	if s.cfg.demo() {
		for _, td := range simulator.Things() {
			if _, err := s.things.Fix("the demo line", td); err != nil {
				return fmt.Errorf("the demo line's things: %w", err)
			}
		}
	}
	s.files = newThingFiles(s.things, filepath.Join(s.cfg.Data, "things"), s.log)
	if err := s.things.Load(ctx, func() { s.files.read(ctx) }); err != nil {
		return err
	}
	if err := s.openRules(ctx); err != nil {
		return err
	}
	bucket, err := s.bus.Bucket(ctx, "checkpoint")
	if err != nil {
		return err
	}
	s.saved = &checkpoints{bucket: bucket, filed: s.facts.Wait, bus: s.bus, alone: s.cfg.Nats == "", hold: s.bus.Hold("checkpoint", 0)}
	return s.saved.restore(ctx, s.twins, s.log)
}

func (s *stages) gptConfig() gpt.Config {
	c := s.cfg
	return gpt.Config{
		BaseURL: c.OpenAIBase, APIKey: c.OpenAIKey, Model: c.OpenAIModel,
		Fallback: gpt.Upstream{BaseURL: c.FallbackBase, APIKey: c.FallbackKey, Model: c.FallbackModel},
		Things:   plant{s.twins}.things,
		Tools:    []gpt.Tool{gpt.ReadState(plant{s.twins}), gpt.ReadAlarms(plant{s.twins})},
		Limits:   gpt.Limits{TokensPerDay: c.GPTTokensDay, BannedWords: c.GPTBannedWords},
		Log:      s.log,
	}
}

func (s *stages) serverDeps() server.Deps {
	registry := prometheus.NewRegistry()
	s.register(registry)
	ready := map[string]func() error{"bus": s.bus.Ready, "clock": s.clockReady, "facts": s.facts.Ready, "history": s.history.Ready, "streams": s.hub.Ready}
	if s.door != nil {
		ready["mqtt"] = s.door.Ready
	}
	c := s.cfg
	return server.Deps{
		Config: server.Config{
			Production: c.production(), SessionSecret: c.SessionSecret,
			NoHTTPSRedirect: bool(c.NoHTTPSRedirect), TrustedProxies: c.TrustedProxies, Origins: c.Origins,
			OpenTelemetry: !c.production(), DemoLogin: !c.production() && c.AdminPassword == "", QuestionsPerMinute: c.GPTPerMinute,
			PublicURL: c.PublicURL,
		},
		Auth: s.auth, OIDC: s.oidc, Twins: s.twins, Things: s.things, Rules: s.rules, Hub: s.hub, Ingest: s.ingest, Runs: s.gpt, History: s.history, Past: s.past(), Facts: s.facts, Notify: s.notify,
		Web: web.Files(), Backup: s.backup, Ready: ready, Metrics: registry, Log: s.log,
	}
}

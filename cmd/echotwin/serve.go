package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"echotwin/realtime"
	"echotwin/web"
)

// serve runs the stages until ctx ends or one of them fails.
func (s *stages) serve(ctx context.Context, ready func(addresses)) error {
	// What readings still need while the door closes outlives ctx.
	inner, stopInner := context.WithCancel(context.WithoutCancel(ctx))
	defer stopInner()
	g, gctx := errgroup.WithContext(inner)
	g.Go(func() error { return s.bus.Consume(gctx, s.twins.Seq(), s.apply) })
	g.Go(func() error { return s.history.Run(gctx) })
	g.Go(func() error { return s.twins.Run(gctx) })
	g.Go(func() error { return s.things.Run(gctx) })
	g.Go(func() error { return s.rules.Run(gctx) })
	g.Go(func() error { return s.files.run(gctx) })
	g.Go(func() error { return s.auth.Run(gctx) })
	g.Go(func() error { return s.saved.keep(gctx, s.twins, s.written, s.log) })
	g.Go(func() error { return s.bus.Retain(gctx) })
	g.Go(func() error { return s.notify.Run(gctx) })
	g.Go(func() error { return s.tellFaults(gctx) })
	s.catchUp(ctx)
	if err := s.things.Settle(ctx); err != nil && ctx.Err() == nil {
		s.log.Error("removals that were cut short cannot be looked for", "error", err)
	}

	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.cfg.listenAddr())
	if err != nil {
		stopInner()
		stopped := g.Wait() // close must not take from them what they use
		if ctx.Err() != nil {
			return stopped // it was to stop before it served
		}
		return errors.Join(fmt.Errorf("the web server (HOST, PORT): %w", err), stopped)
	}
	web := &http.Server{Handler: s.server, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		Protocols: protocols(), ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)}
	g.Go(func() error {
		if err := web.Serve(listener); err != http.ErrServerClosed {
			return err
		}
		return nil
	})
	if s.cfg.demo() {
		g.Go(func() error { return s.demo.run(gctx, s.cfg.MQTTURL, s.door, s.log) })
	}
	a := addresses{HTTP: listener.Addr().String()}
	if s.door != nil {
		a.MQTT = s.door.Addr()
	}
	s.announce(a)
	ready(a)
	close(s.serves)

	select {
	case <-ctx.Done():
		s.log.Info("stopping", "drain", s.cfg.Drain)
	case <-gctx.Done(): // a stage failed; g.Wait says which
	}
	s.stop(web)
	stopInner()
	return g.Wait()
}

// protocols are HTTP/1.1 and, for proxies and scripts that begin with it, HTTP/2.
// TLS is the proxy's.
func protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

// apply is where the log goes: the twins first, since viewers wait for them.
func (s *stages) apply(b realtime.Bundle) {
	s.twins.Apply(b)
	s.history.Offer(b)
}

// stop ends what faces the outside, streams first: http.Server.Shutdown waits
// for them and they never end by themselves.
func (s *stages) stop(web *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Drain+5*time.Second)
	defer cancel()
	web.SetKeepAlivesEnabled(false)
	drained, stopDrain := context.WithTimeout(ctx, s.cfg.Drain)
	defer stopDrain()
	s.hub.Drain(drained)
	if err := s.gpt.Close(ctx); err != nil {
		s.log.Warn("answers were cut off", "error", err)
	}
	s.server.Close()
	if err := web.Shutdown(ctx); err != nil {
		s.log.Warn("requests were cut off", "error", err)
		_ = web.Close() // whatever it says, they are cut off
	}
	if s.door != nil {
		s.door.Close()
	}
}

// catchUp waits until the twins show what the log held at the start, so that
// nobody is served an older state than was acknowledged.
func (s *stages) catchUp(ctx context.Context) {
	last, begin := s.bus.Last(), time.Now()
	for s.twins.Seq() < last && ctx.Err() == nil {
		if time.Since(begin) > 30*time.Second {
			s.log.Warn("serving before the whole log was read", "seq", s.twins.Seq(), "last", last)
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// close frees what build made. Calling it after serve, or halfway through
// build, is what it is for.
func (s *stages) close() {
	if s.door != nil {
		s.door.Close()
	}
	if s.ingest != nil {
		s.ingest.Close()
	}
	if s.saved != nil {
		s.saved.save(context.Background(), s.twins, s.log)
	}
	if s.filed != nil {
		s.filed() // after the checkpoint, which waits for the facts
	}
	if s.hub != nil {
		s.hub.Close()
	}
	if s.bus != nil {
		s.bus.Close()
	}
}

// announce says where everything is, for somebody who just typed make run.
func (s *stages) announce(a addresses) {
	host := a.HTTP
	if _, port, err := net.SplitHostPort(a.HTTP); err == nil && s.cfg.Host == "" {
		host = "localhost:" + port
	}
	s.log.Info("serving", "web", "http://"+host, "mqtt", a.MQTT, "data", s.cfg.Data, "demo", s.cfg.demo(), "things", s.twins.Stats().Things)
	if !web.Built() {
		s.log.Warn("the UI is not in this binary: make build puts it there; the API works")
	}
	if !s.gpt.Setup().Configured {
		s.log.Info("the assistant has no model: set OPENAI_API_KEY, or OPENAI_BASE_URL for a local one")
	}
}

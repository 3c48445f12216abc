package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// maxPayload leaves room for the headers of a message beside the 1 MB that a
// value or a bundle may have.
const maxPayload = 1<<20 + 64<<10

// inside is the server in this process. It can be started anew under the
// connection, which then connects again by itself.
type inside struct {
	dir string
	log *slog.Logger

	mu sync.Mutex
	s  *server.Server // nil while there is none
}

func startInside(dir string, log *slog.Logger) (*inside, error) {
	s, err := startServer(dir, log)
	if err != nil {
		return nil, err
	}
	return &inside{dir: dir, log: log, s: s}, nil
}

// InProcessConn is how the connection reaches the server.
func (i *inside) InProcessConn() (net.Conn, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.s == nil {
		return nil, errors.New("the server is down")
	}
	return i.s.InProcessConn()
}

func (i *inside) id() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.s == nil {
		return ""
	}
	return i.s.ID()
}

func (i *inside) stop() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.end()
}

func (i *inside) end() {
	if i.s != nil {
		i.s.Shutdown()
		i.s.WaitForShutdown()
		i.s = nil
	}
}

// restart reads everything back from the disk: what NATS could not write once
// it does not try again.
func (i *inside) restart() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.end()
	s, err := startServer(i.dir, i.log)
	i.s = s
	return err
}

// startServer runs NATS in this process, without a port of its own.
func startServer(dir string, log *slog.Logger) (*server.Server, error) {
	s, err := server.NewServer(&server.Options{
		ServerName: "echotwin",
		DontListen: true,
		NoSigs:     true, // the process has its own handling of signals
		JetStream:  true,
		StoreDir:   dir,
		SyncAlways: true, // an acknowledgement means: on disk
		MaxPayload: maxPayload,
		// How much the log may take is ours to see to, and so is the disk.
		JetStreamMaxStore:  1 << 60,
		JetStreamMaxMemory: 1 << 30,
	})
	if err != nil {
		return nil, fmt.Errorf("nats: %w", err)
	}
	l := &serverLog{log: log.With("part", "nats")}
	s.SetLogger(l, false, false)
	s.Start() // reads the store back; what can fail has told l when it returns
	if why := l.fatal.Load(); why != nil || !s.ReadyForConnections(10*time.Second) {
		s.Shutdown()
		s.WaitForShutdown()
		if why == nil {
			return nil, fmt.Errorf("nats did not start in %s within 10 s", dir)
		}
		return nil, fmt.Errorf("nats did not start in %s: %s", dir, *why)
	}
	return s, nil
}

// serverLog hands what NATS warns of to slog and drops the rest.
type serverLog struct {
	log   *slog.Logger
	fatal atomic.Pointer[string] // for which NATS on its own would end the process
}

func (l *serverLog) Noticef(string, ...any)         {}
func (l *serverLog) Debugf(string, ...any)          {}
func (l *serverLog) Tracef(string, ...any)          {}
func (l *serverLog) Warnf(format string, v ...any)  { l.log.Warn(fmt.Sprintf(format, v...)) }
func (l *serverLog) Errorf(format string, v ...any) { l.log.Error(fmt.Sprintf(format, v...)) }

func (l *serverLog) Fatalf(format string, v ...any) {
	s := fmt.Sprintf(format, v...)
	l.fatal.CompareAndSwap(nil, &s)
	l.log.Error(s)
}

// connect opens the one connection of the bus.
func (b *Bus) connect(ctx context.Context) (*nats.Conn, error) {
	opts := []nats.Option{
		nats.Name("echotwin"),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		// Nothing is sent behind the back of an Append that has already failed.
		nats.ReconnectBufSize(-1),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil && b.closing.Err() == nil {
				b.log.Warn("the connection to nats is lost", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			b.log.Warn("connected to nats again", "server", nc.ConnectedServerName())
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			b.log.Warn("nats", "error", err)
		}),
	}
	if b.inside != nil {
		return nats.Connect("", append(opts, nats.InProcessServer(b.inside))...)
	}
	if d, ok := ctx.Deadline(); ok {
		opts = append(opts, nats.Timeout(time.Until(d)))
	}
	nc, err := nats.Connect(b.cfg.URL, opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to nats: %w", err)
	}
	return nc, nil
}

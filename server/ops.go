package server

import (
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo-contrib/echoprometheus"
	"github.com/labstack/echo-contrib/pprof"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"echotwin/realtime"
	"echotwin/server/auth"
)

// health answers GET /health: what the seed's does, to see whether the proxy
// forwards what it should.
func (s *Server) health(c echo.Context) error {
	v := visitOf(c)
	protocol := "http"
	if v.https {
		protocol = "https"
	}
	return noStore(c).JSON(http.StatusOK, struct {
		Status   string `json:"status"`
		Host     string `json:"host"`
		Protocol string `json:"protocol"`
	}{"ok", v.host, protocol})
}

// livez answers GET /livez: the process runs.
func (s *Server) livez(c echo.Context) error {
	return noStore(c).JSON(http.StatusOK, map[string]string{"status": "ok"})
}

// readyz answers GET /readyz: each part by name, and 503 when one is not. What
// is wrong with it stands in the log; the page is public.
func (s *Server) readyz(c echo.Context) error {
	status, word := http.StatusOK, "ok"
	parts := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(s.Ready)) {
		parts[name] = "ok"
		err := s.Ready[name]()
		if opening := (interface{ Opening() bool })(nil); errors.As(err, &opening) && opening.Opening() {
			parts[name] = "opening" // what does not need it is served
			continue
		}
		if err != nil {
			s.log.Warn("not ready", "part", name, "err", err)
			parts[name] = "not ready"
			if fault := (*realtime.Fault)(nil); errors.As(err, &fault) {
				parts[name] = "not ready: " + fault.Message // made to be shown
			}
			status, word = http.StatusServiceUnavailable, "not ready"
		}
	}
	if status != http.StatusOK {
		c.Response().Header().Set(echo.HeaderRetryAfter, "1")
	}
	return noStore(c).JSON(status, struct {
		Status string            `json:"status"`
		Parts  map[string]string `json:"parts"`
	}{word, parts})
}

// measure counts requests by route. No label holds what a client can choose:
// each new value would be a new series, kept for good.
func (s *Server) measure() (echo.MiddlewareFunc, error) {
	return echoprometheus.MiddlewareConfig{
		Namespace:                 "echotwin",
		Subsystem:                 "http",
		Registerer:                s.Metrics,
		Skipper:                   unmeasured,
		DoNotUseRequestPathFor404: true,
		LabelFuncs: map[string]echoprometheus.LabelValueFunc{
			"host":   func(echo.Context, error) string { return "" },
			"method": func(c echo.Context, _ error) string { return knownMethod(c.Request().Method) },
		},
		HistogramOptsFunc: func(o prometheus.HistogramOpts) prometheus.HistogramOpts {
			if strings.HasSuffix(o.Name, "_bytes") {
				o.Buckets = []float64{256, 1 << 10, 16 << 10, 256 << 10, 1 << 20}
			}
			return o
		},
	}.ToMiddleware()
}

// opsRoutes is for whoever runs the server.
func (s *Server) opsRoutes() {
	s.get("/health", auth.Public, s.health)
	s.get("/livez", auth.Public, s.livez)
	s.get("/readyz", auth.Public, s.readyz)
	s.get("/metrics", auth.ReadMetrics, echoprometheus.NewHandlerWithConfig(echoprometheus.HandlerConfig{Gatherer: s.Metrics}), s.limitAnswer)

	s.getStream("/api/backup", auth.ReadBackup, s.backup)

	// echo-contrib registers on an Echo, without guards: so it gets one of its
	// own, behind ours.
	prof := echo.New()
	prof.HTTPErrorHandler = func(err error, c echo.Context) { s.fail(c, err) }
	pprof.Register(prof)
	profile := func(c echo.Context) error {
		prof.ServeHTTP(c.Response(), c.Request())
		return nil
	}
	s.get("/debug/pprof/*", auth.Profile, profile)
	s.post("/debug/pprof/*", auth.Profile, profile)
}

// runtimeMetrics adds the process's own figures, unless somebody did already.
func runtimeMetrics(r *prometheus.Registry) error {
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := r.Register(c); err != nil && !errors.As(err, new(prometheus.AlreadyRegisteredError)) {
			return err
		}
	}
	return nil
}

// streams says whether a path may answer with a stream: how long it lasts is no
// latency, and it has no end of ours.
func streams(path string) bool {
	switch {
	case path == "/ws", path == "/events", strings.HasPrefix(path, "/api/gpt"), strings.HasPrefix(path, "/v1/"):
		return true
	}
	return strings.HasPrefix(path, thingsPrefix) && (strings.HasSuffix(path, "/sse") || strings.Contains(path, "/events/") || path == thingsPrefix+"events")
}

// unmeasured leaves out streams but not the assistant, whose figures are wanted.
func unmeasured(c echo.Context) bool {
	path := c.Request().URL.Path
	return streams(path) && !strings.HasPrefix(path, "/api/gpt") && !strings.HasPrefix(path, "/v1/")
}

func knownMethod(m string) string {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return m
	}
	return "other"
}

// routine says whether a POST is one of those that come all day long: readings,
// and the questions of Grafana. A line for each would push what matters out of
// the log within minutes.
func routine(path string) bool {
	return path == "/api/telemetry" || strings.HasPrefix(path, telemetryPrefix) || strings.HasPrefix(path, prometheusPrefix)
}

// logRequest logs writes and refusals at info, and all that is routine at debug: a
// dashboard asks a lot. Queries are left out, since tickets stand there.
func (s *Server) logRequest(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		began := time.Now()
		err := next(c)
		r, status := c.Request(), c.Response().Status
		level := slog.LevelDebug
		switch {
		case status == statusLeft:
		case status >= 500:
			level = slog.LevelError
		case status >= 400 || r.Method != http.MethodGet && r.Method != http.MethodHead && !routine(r.URL.Path):
			level = slog.LevelInfo
		}
		if !s.log.Enabled(r.Context(), level) {
			return err
		}
		v, user := visitOf(c), ""
		if v.who != nil {
			user = v.who.User
		}
		s.log.Log(r.Context(), level, "request", "method", r.Method, "path", clip(r.URL.Path), "status", status,
			"ms", float64(time.Since(began).Microseconds())/1000, "user", user, "address", v.addr)
		return err
	}
}

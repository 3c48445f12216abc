// Package server is the HTTP face of Echotwin: every route, guard, request and
// response shape. It is the only user of Echo.
//
// # Errors
//
// Every error is JSON, {"error":"a sentence","code":"a_word"}, with at, minimum
// and maximum where a place and a limit can be named, and its status is exact;
// see errors.go. What is our fault is logged and says no more than that.
//
// # Who may
//
// A request is signed by Authorization (a token, or a device's credential for
// telemetry), by a ticket in the URL (reading and streams only) or by the
// session cookie, in this order; a wrong one is 401 and never falls through to
// the next. Writes signed by a cookie, and /ws, must come from our own pages:
// the browser says so in Sec-Fetch-Site or Origin. A request with neither comes
// from a script and is allowed; no browser can be made to leave both out of a
// cross-site write.
//
// # What the http.Server around it must know
//
// New listens nowhere. Give the http.Server a ReadHeaderTimeout, an IdleTimeout
// and a MaxHeaderBytes, but neither ReadTimeout nor WriteTimeout: those end
// streams. Bodies and answers have their own deadlines here.
package server

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"github.com/gorilla/securecookie"
	"github.com/labstack/echo-contrib/session"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"echotwin/gpt"
	"echotwin/realtime/history"
	"echotwin/realtime/hub"
	"echotwin/realtime/ingest"
	"echotwin/realtime/notify"
	"echotwin/realtime/twin"
	"echotwin/server/auth"
)

// Config is what can be set by whoever runs the server.
type Config struct {
	Production      bool
	SessionSecret   string   // signs the session cookie
	NoHTTPSRedirect bool     // DISABLE_HTTPS_REDIRECT
	TrustedProxies  []string // "loopback", "private" or networks, whose X-Forwarded-… are believed; nil means the first two
	Origins         []string // web origins besides our own whose pages may open /ws and call the API; see crossOrigin

	DemoLogin          bool   // admin / 123456 works, so the login page may say so
	PublicURL          string // where people open this server; "" for the address that their browser uses
	QuestionsPerMinute int    // to the assistant, of one user; zero means 15

	// OpenTelemetry takes readings without credentials from this machine, as
	// the open MQTT door does in development.
	OpenTelemetry bool
}

// Deps is what the server serves. Everything is required unless it says
// otherwise.
type Deps struct {
	Config
	Auth   *auth.Auth
	OIDC   *auth.OIDC // where people sign in besides; nil for nowhere
	Twins  *twin.Twins
	Things *twin.Directory // their descriptions
	Rules  *twin.Rulebook  // of alarms, by the API
	Ingest *ingest.Ingest
	Hub    *hub.Hub
	Runs   *gpt.Runs // of the assistant
	// History is what things said earlier. Without it /api/history and
	// /prometheus say that there is none.
	History *history.History
	// Past is the states of things at an earlier moment; without it ?at= says that
	// there are none.
	Past PastReader
	// Facts are the steps of commands that the twins have forgotten, and those of
	// alarms; nil without.
	Facts FactStore
	// Notify tells others of alarms; without it its routes say that nobody is told.
	Notify *notify.Notify
	Web    fs.FS // login.html, app.html, docs.html and public/…; without them the pages say how to build them

	// Backup writes everything that is kept. nil refuses GET /api/backup.
	Backup func(ctx context.Context, w io.Writer) error
	// Ready says by name what /readyz asks.
	Ready map[string]func() error
	// Metrics is what /metrics shows; the server adds its own to it. nil means a
	// new one.
	Metrics *prometheus.Registry
	Log     *slog.Logger // nil means slog.Default()
}

// A Server is the whole of HTTP. It is safe for concurrent use.
type Server struct {
	Deps
	echo *echo.Echo

	permissions map[string]auth.Permission // by method and path, as registered
	unruled     []string                   // routes with a permission that there is not

	watch    watchers
	listings *listings
	live     lives
	proxies  proxies
	cookies  *cookieStore

	journeys *securecookie.SecureCookie
	opened   opened
	pages    *pages
	log      *slog.Logger

	backingUp sync.Mutex
}

// New builds the routes.
func New(d Deps) (*Server, error) {
	if d.Auth == nil || d.SessionSecret == "" {
		return nil, errors.New("server: Auth and SessionSecret are required")
	}
	if d.Metrics == nil {
		d.Metrics = prometheus.NewRegistry()
	}
	if d.Log == nil {
		d.Log = slog.Default()
	}
	for i, o := range d.Origins {
		d.Origins[i] = strings.ToLower(strings.TrimSuffix(o, "/")) // as browsers write them
	}
	s := &Server{Deps: d, log: d.Log, echo: echo.New(), listings: newListings(), permissions: map[string]auth.Permission{}}
	var err error
	if s.proxies, err = parseProxies(d.TrustedProxies); err != nil {
		return nil, err
	}
	if s.cookies, err = newCookieStore(d.SessionSecret, d.Production, d.Auth.Absolute()); err != nil {
		return nil, err
	}
	if s.pages, err = loadPages(d.Web); err != nil {
		return nil, err
	}
	s.echo.JSONSerializer = plainJSON{}
	s.echo.Logger.SetOutput(io.Discard) // everything goes through Log
	s.echo.HTTPErrorHandler = func(err error, c echo.Context) { s.fail(c, err) }
	if err := s.middleware(); err != nil {
		return nil, err
	}
	if err := s.routes(); err != nil {
		return nil, err
	}
	if err := s.ruled(); err != nil {
		return nil, err
	}
	s.startLive()
	return s, nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.echo.ServeHTTP(w, r) }

// middleware is what every request passes, outermost first.
func (s *Server) middleware() error {
	if err := runtimeMetrics(s.Metrics); err != nil {
		return err
	}
	measure, err := s.measure()
	if err != nil {
		return err
	}
	s.echo.Use(
		measure,
		s.logRequest,
		s.answerErrors,
		s.recoverPanic,
		s.meet,
		s.secureHeaders,
		s.toHTTPS,
		s.crossOrigin,
		s.sameOrigin,
		session.Middleware(s.cookies),
	)
	return nil
}

// routes is every path that exists.
func (s *Server) routes() error {
	s.get("/", auth.Public, s.root)
	s.get("/login.html", auth.Public, s.loginPage, s.limitAnswer)
	s.get("/app", auth.ReadThings, s.appPage, s.limitAnswer, s.toLogin)
	s.get("/app/*", auth.ReadThings, s.appPage, s.limitAnswer, s.toLogin)
	s.get("/public/*", auth.Public, s.public, s.limitAnswer)

	s.opsRoutes()

	if err := s.oidcRoutes(); err != nil {
		return err
	}
	s.post("/api/login", auth.Public, s.login)
	s.post("/api/logout", auth.Public, s.logout)
	s.get("/api/me", auth.Public, s.me)
	s.accountRoutes()
	s.thingRoutes()
	s.directoryRoutes()
	s.modelRoutes()
	s.commandRoutes()
	s.alarmRoutes()
	s.notifyRoutes()
	s.streamRoutes()
	s.connectionRoutes()
	s.telemetryRoutes()
	s.historyRoutes()

	s.gptRoutes()
	return s.docRoutes()
}

// accountRoutes is users and what is issued to them and to devices.
func (s *Server) accountRoutes() {
	s.post("/api/token", auth.Public, s.grantToken)
	s.post("/api/tickets", auth.IssueTickets, s.createTicket)

	s.get("/api/tokens", auth.OwnAccount, s.listTokens, s.limitAnswer)
	s.post("/api/tokens", auth.OwnAccount, s.createToken)
	s.delete("/api/tokens/:id", auth.OwnAccount, s.deleteToken)

	s.get("/api/sessions", auth.OwnAccount, s.listSessions, s.limitAnswer)
	s.delete("/api/sessions", auth.OwnAccount, s.endSessions)
	s.delete("/api/sessions/:id", auth.OwnAccount, s.endSession)

	s.get("/api/users", auth.ManageUsers, s.listUsers, s.limitAnswer)
	s.post("/api/users", auth.ManageUsers, s.createUser)
	s.patch("/api/users/:name", auth.OwnAccount, s.changeUser) // of others by ManageUsers
	s.delete("/api/users/:name", auth.ManageUsers, s.deleteUser)

	s.get("/api/devices", auth.ManageDevices, s.listDevices, s.limitAnswer)
	s.post("/api/devices", auth.ManageDevices, s.createDevice)
	s.delete("/api/devices/:id", auth.ManageDevices, s.deleteDevice)
}

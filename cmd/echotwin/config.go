package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/joho/godotenv"

	"echotwin/realtime/hub"
)

// config is everything that can be set, by flag, by environment or by a line
// in .env (in this order of precedence). Its tags are the reference that
// echotwin --help prints.
type config struct {
	Port        int    `env:"PORT" default:"3000" help:"Port of the web server."`
	Host        string `env:"HOST" help:"Address to listen on; empty for all interfaces."`
	Environment string `env:"NODE_ENV" default:"development" enum:"development,production,test" help:"development, test or production. Production refuses weak secrets and the demo password, marks cookies Secure and sends HSTS."`

	SessionSecret   string   `env:"SESSION_SECRET" help:"Signs session cookies, over 32 characters. In development an absent one is made and kept in the data folder."`
	NoHTTPSRedirect flagOn   `name:"disable-https-redirect" env:"DISABLE_HTTPS_REDIRECT" help:"1 turns the redirect of plain HTTP on real host names off."`
	TrustedProxies  []string `env:"ECHOTWIN_TRUSTED_PROXIES" default:"loopback,private" help:"Whose X-Forwarded-… headers are believed: loopback, private, or networks such as 203.0.113.0/24."`
	Origins         []string `env:"ECHOTWIN_ORIGINS" help:"Web origins besides our own whose pages may open /ws and call the API with a token, such as https://panel.example.com."`
	PublicURL       string   `name:"public-url" env:"ECHOTWIN_PUBLIC_URL" help:"Where people open this server, such as https://plant.example.com: for links in notifications, and where a sign-in provider sends browsers back."`
	SMTPURL         string   `name:"smtp-url" env:"ECHOTWIN_SMTP_URL" help:"Mail server for e-mail about alarms: smtp://user:password@host:587 (STARTTLS), smtps://… (TLS from the beginning), or smtp://localhost:25?starttls=off."`
	SMTPFrom        string   `name:"smtp-from" env:"ECHOTWIN_SMTP_FROM" help:"Sender of that e-mail, such as Echotwin <alarms@example.com>."`
	AdminPassword   string   `env:"ECHOTWIN_ADMIN_PASSWORD" help:"Password of the first administrator, admin. In development 123456 works without it; in production a random one is printed once."`

	OIDCIssuer      string        `name:"oidc-issuer" env:"ECHOTWIN_OIDC_ISSUER" help:"OpenID Connect provider where people may sign in besides, such as https://login.example.com/realms/plant."`
	OIDCClientID    string        `name:"oidc-client-id" env:"ECHOTWIN_OIDC_CLIENT_ID" help:"Name under which the provider knows this server."`
	OIDCSecret      string        `name:"oidc-client-secret" env:"ECHOTWIN_OIDC_CLIENT_SECRET" help:"Secret of that name; empty for a public client."`
	OIDCName        string        `name:"oidc-name" env:"ECHOTWIN_OIDC_NAME" help:"What the button on the login page calls the provider; its host name when empty."`
	OIDCScopes      []string      `name:"oidc-scopes" env:"ECHOTWIN_OIDC_SCOPES" default:"profile,email" help:"What is asked of the provider, besides openid."`
	OIDCRoleClaim   string        `name:"oidc-role-claim" env:"ECHOTWIN_OIDC_ROLE_CLAIM" default:"groups" help:"Claim that lists somebody's groups; realm_access.roles leads into an object."`
	OIDCRoles       []string      `name:"oidc-roles" env:"ECHOTWIN_OIDC_ROLES" help:"Roles of groups, such as plant-admins=admin,shift=operator. Of several the strongest counts."`
	OIDCDefaultRole string        `name:"oidc-default-role" env:"ECHOTWIN_OIDC_DEFAULT_ROLE" help:"Role of who is in none of those groups; empty refuses them."`
	OIDCLogout      flagOn        `name:"oidc-logout" env:"ECHOTWIN_OIDC_LOGOUT" help:"1 has the provider end its session, too, when somebody signs out."`
	OIDCBackchannel flagOn        `name:"oidc-backchannel" env:"ECHOTWIN_OIDC_BACKCHANNEL" help:"1 lets the provider end sessions by POST /api/oidc/backchannel-logout."`
	OIDCSession     time.Duration `name:"oidc-session" env:"ECHOTWIN_OIDC_SESSION" default:"0" help:"How long who signed in at the provider stays signed in at most, such as 8h; 0 for as long as others."`

	Data        string        `env:"ECHOTWIN_DATA" default:"data" help:"Folder that holds everything that is kept."`
	Nats        string        `name:"nats-url" env:"NATS_URL" help:"NATS cluster to use instead of the one inside, such as nats://n1:4222,nats://n2:4222."`
	Demo        *bool         `env:"ECHOTWIN_DEMO" negatable:"" help:"Run the demo bottling line. On in development, off in production."`
	LogSize     bytesize      `name:"raw-size" env:"ECHOTWIN_RAW_SIZE" default:"4GB" help:"How much of the raw log is kept at most, such as 512MB or 20GB; at least 64MB."`
	LogAge      time.Duration `name:"raw-age" env:"ECHOTWIN_RAW_AGE" default:"168h" help:"How long the raw log is kept at most."`
	DiskReserve bytesize      `name:"disk-reserve" env:"ECHOTWIN_DISK_RESERVE" default:"64MB" help:"How much of the disk stays free: with less, nothing more is acknowledged."`
	Drain       time.Duration `env:"DRAIN" default:"10s" help:"On SIGTERM, over how long streams are told to come back elsewhere before they are closed."`

	FactsSize bytesize `env:"ECHOTWIN_FACTS_SIZE" default:"256MB" help:"How much of the facts (events, alarms, steps of commands) is kept at most; at least 1MB."`
	FactsAge  days     `env:"ECHOTWIN_FACTS_AGE" default:"365d" help:"And for how long, at least as long as the raw log."`

	MaxConnections   int           `env:"ECHOTWIN_MAX_CONNECTIONS" default:"20000" help:"Connections to /ws and /events in all."`
	MaxPerUser       int           `env:"ECHOTWIN_MAX_PER_USER" default:"256" help:"Of them, of one user."`
	MaxPerAddress    int           `env:"ECHOTWIN_MAX_PER_ADDRESS" default:"1024" help:"Of them, from one address; a whole site may sit behind one."`
	AcceptRate       float64       `env:"ECHOTWIN_ACCEPT_RATE" default:"2000" help:"New connections a second in all; ten times as many may come at once."`
	AcceptPerAddress float64       `env:"ECHOTWIN_ACCEPT_PER_ADDRESS" default:"100" help:"New connections a second from one address; ten times as many may come at once."`
	MaxSubscriptions int           `env:"ECHOTWIN_MAX_SUBSCRIPTIONS" default:"64" help:"Subscriptions of one connection."`
	MaxFrame         int           `env:"ECHOTWIN_MAX_FRAME" default:"65536" help:"Bytes that a client may send in one frame."`
	MaxMessages      float64       `env:"ECHOTWIN_MAX_MESSAGES" default:"50" help:"Messages that a client may send a second; twice as many may come at once."`
	MaxRate          float64       `env:"ECHOTWIN_MAX_RATE" default:"20" help:"Updates a second of one subscription."`
	Stall            time.Duration `env:"ECHOTWIN_STALL" default:"30s" help:"How long a connection may take no byte, or twice that leave a ping without an answer, before it is cut."`
	FactsInMemory    int           `name:"facts-in-memory" env:"ECHOTWIN_FACTS_IN_MEMORY" default:"4096" help:"Facts that are replayed from memory; older ones are read from disk."`

	MQTTAddr *string `name:"mqtt-addr" env:"ECHOTWIN_MQTT_ADDR" help:"Address of the MQTT door; off for none. 127.0.0.1:1883 in development, off in production until set."`
	MQTTURL  string  `name:"mqtt-url" env:"MQTT_URL" help:"Outside MQTT broker to use instead, such as mqtt://user:password@broker:1883; the demo line speaks through it, too."`

	OpenAIKey     string `name:"openai-api-key" env:"OPENAI_API_KEY" help:"Key of the language model. Without it everything but the assistant works."`
	OpenAIBase    string `name:"openai-base-url" env:"OPENAI_BASE_URL" help:"Any OpenAI-compatible server, such as http://localhost:11434/v1 for Ollama. A local one needs no key."`
	OpenAIModel   string `name:"openai-model" env:"OPENAI_MODEL" default:"gpt-4o-mini" help:"Model to ask."`
	FallbackKey   string `name:"fallback-api-key" env:"OPENAI_FALLBACK_API_KEY" help:"Key of a second model server, asked when the first fails before its first word."`
	FallbackBase  string `name:"fallback-base-url" env:"OPENAI_FALLBACK_BASE_URL" help:"Address of the second model server."`
	FallbackModel string `name:"fallback-model" env:"OPENAI_FALLBACK_MODEL" help:"Model of the second server; the first one's name when empty."`

	GPTPerMinute   int      `name:"gpt-per-minute" env:"ECHOTWIN_GPT_PER_MINUTE" default:"15" help:"Questions a minute for one user."`
	GPTTokensDay   int64    `name:"gpt-tokens-a-day" env:"ECHOTWIN_GPT_TOKENS_A_DAY" default:"0" help:"Tokens a day for one user; 0 for no limit."`
	GPTBannedWords []string `name:"gpt-banned-words" env:"ECHOTWIN_GPT_BANNED_WORDS" help:"Questions with one of these words are refused."`

	HistoryURL     string   `name:"history-url" env:"HISTORY_URL" help:"Outside store of history to use instead of our own: the address below which /api/v1/query is, such as http://victoria:8428 or http://mimir:8080/prometheus."`
	HistoryAge     days     `env:"ECHOTWIN_HISTORY_AGE" default:"90d" help:"How long samples are kept, such as 90d or 12h."`
	HistorySize    byteSize `env:"ECHOTWIN_HISTORY_SIZE" default:"10GB" help:"How much disk samples may take; the oldest go first."`
	HistoryRollups days     `name:"history-rollup-age" env:"ECHOTWIN_HISTORY_ROLLUP_AGE" default:"3y" help:"How long minimum, maximum, mean and last value of each minute are kept, from which long trends are drawn."`
	HistoryLate    days     `env:"ECHOTWIN_HISTORY_LATE" default:"7d" help:"How much older than the newest sample one may be and still be kept: what a device sends that was offline."`

	LogFile  string `env:"ECHOTWIN_LOG_FILE" help:"Also log to this file, rotated at 20 MB, five kept."`
	LogLevel string `env:"ECHOTWIN_LOG_LEVEL" default:"info" enum:"debug,info,warn,error" help:"debug, info, warn or error."`
}

// bytesize reads 512MB, 4GB or a number of bytes.
type bytesize int64

func (b *bytesize) UnmarshalText(text []byte) error {
	word := strings.ToUpper(strings.TrimSpace(string(text)))
	unit := int64(1)
	for i, suffix := range []string{"KB", "MB", "GB", "TB"} {
		if n, ok := strings.CutSuffix(word, suffix); ok {
			word, unit = strings.TrimSpace(n), 1<<(10*(i+1))
			break
		}
	}
	n, err := strconv.ParseFloat(word, 64)
	if err != nil || !(n >= 0 && n*float64(unit) < 1<<60) {
		return fmt.Errorf("%q is no size: want a number with KB, MB, GB or TB", text)
	}
	*b = bytesize(n * float64(unit))
	return nil
}

// flagOn reads the seed's kind of switch: "1", "true" and "yes" are on, "",
// "0", "false" and "no" are off.
type flagOn bool

func (f *flagOn) UnmarshalText(b []byte) error {
	switch string(bytes.ToLower(bytes.TrimSpace(b))) {
	case "1", "true", "yes", "on":
		*f = true
	case "", "0", "false", "no", "off":
		*f = false
	default:
		return fmt.Errorf("%q is neither 1 nor 0", b)
	}
	return nil
}

func (c *config) production() bool { return c.Environment == "production" }

// demo and mqttAddr have defaults that depend on the environment.
func (c *config) demo() bool {
	if c.Demo != nil {
		return *c.Demo
	}
	return !c.production()
}

func (c *config) mqttAddr() string {
	switch {
	case c.MQTTAddr != nil && *c.MQTTAddr == "off":
		return ""
	case c.MQTTAddr != nil:
		return *c.MQTTAddr
	case c.production():
		return ""
	}
	return "127.0.0.1:1883"
}

func (c *config) listenAddr() string { return net.JoinHostPort(c.Host, strconv.Itoa(c.Port)) }

// limits are what clients of the streams may cost.
func (c *config) limits() hub.Limits {
	return hub.Limits{
		Connections: c.MaxConnections, PerUser: c.MaxPerUser, PerAddress: c.MaxPerAddress,
		Accept: c.AcceptRate, AcceptPerAddress: c.AcceptPerAddress,
		Subscriptions: c.MaxSubscriptions, Frame: c.MaxFrame, Messages: c.MaxMessages, Rate: c.MaxRate,
		Facts: c.FactsInMemory, Stall: c.Stall,
	}
}

// errHelp says that --help was asked for and printed.
var errHelp = errors.New("help was printed")

// readConfig reads flags, then the environment through getenv, then .env.
func readConfig(args []string, getenv func(string) string) (*config, error) {
	c, err := readCommand(args, getenv)
	if c == nil {
		return nil, err
	}
	return &c.config, err
}

// readCommand is readConfig with what is to be done.
func readCommand(args []string, getenv func(string) string) (*commands, error) {
	file, err := godotenv.Read(".env")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf(".env: %w", err)
	}
	lookup := func(name string) string {
		if v := getenv(name); v != "" {
			return v
		}
		return file[name]
	}
	// Who asks what an account takes has no use for the server's sixty flags.
	short := slices.ContainsFunc(args, func(a string) bool { return slices.Contains(accountWords, a) })
	c, exited, envs := &commands{}, false, map[*kong.Flag]string{}
	k, err := kong.New(c,
		kong.Name("echotwin"),
		kong.Description("A machine line, live, in one binary: MQTT and HTTP in, WebSocket and SSE out, and an assistant that knows the line."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
		kong.Exit(func(int) { exited = true }),
		kong.Writers(os.Stdout, os.Stderr),
		// kong would read the environment of the process itself, but run is given
		// its own: so the names move from kong's hands to the resolver's.
		kong.PostBuild(func(k *kong.Kong) error {
			for _, f := range k.Model.Flags {
				f.Hidden = short && f.Name != "help" && f.Name != "data"
				if len(f.Tag.Envs) > 0 {
					envs[f] = f.Tag.Envs[0]
					f.Help += " ($" + envs[f] + ")"
					f.Tag.Envs, f.Envs = nil, nil
				}
			}
			return nil
		}),
		kong.Resolvers(kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, f *kong.Flag) (any, error) {
			if v := lookup(envs[f]); v != "" {
				return v, nil
			}
			return nil, nil
		})))
	if err != nil {
		return nil, err
	}
	parsed, err := k.Parse(args)
	if exited {
		return nil, errHelp
	}
	err = named(err, envs)
	var wrong *kong.ParseError
	if errors.As(err, &wrong) {
		if node := wrong.Context.Selected(); node != nil {
			err = fmt.Errorf("%w; %s --help says what it takes", err, node.FullPath())
		}
	}
	if err == nil {
		words := strings.Fields(parsed.Command())
		c.do, c.full = words[0], strings.Join(words[:min(2, len(words))], " ")
		err = c.check()
	}
	return c, err
}

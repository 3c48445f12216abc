package gpt

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/shared"
)

// An upstream asks one server. What that server turned out not to understand
// is remembered, so that later questions do not pay for finding out again.
type upstream struct {
	client  openai.Client
	model   string
	host    string
	key     string
	limits  Limits
	noTools atomic.Bool
	noUsage atomic.Bool
}

// newUpstream builds the client by hand: openai.NewClient would also take keys
// and headers from the environment, past the configuration, and send them to
// whatever server BaseURL names.
func newUpstream(u Upstream, c *http.Client, l Limits) *upstream {
	opts := []option.RequestOption{
		option.WithEnvironmentProduction(), // where OpenAI is, unless BaseURL says otherwise
		option.WithHTTPClient(c),
		option.WithMaxRetries(1),
		option.WithMaxRetryDelay(3 * time.Second),
	}
	host := "api.openai.com"
	if u.BaseURL != "" {
		opts = append(opts, option.WithBaseURL(strings.TrimSuffix(u.BaseURL, "/")+"/"))
		if at, err := url.Parse(u.BaseURL); err == nil {
			host = at.Host
		}
	}
	if u.APIKey != "" {
		opts = append(opts, option.WithAPIKey(u.APIKey))
	}
	return &upstream{client: openai.Client{Options: opts}, model: or(u.Model, DefaultModel), host: host, key: u.APIKey, limits: l}
}

// newClient keeps connections open between questions. Compression is off: a
// compressing proxy on the way would gather tokens until its buffer is full.
func newClient() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 64
	t.IdleConnTimeout = 5 * time.Minute
	t.DisableCompression = true
	t.DialContext = (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext
	return &http.Client{Transport: t}
}

// A request is what one round sends. The system prompt depends on whether the
// server can use tools, which turns out only when it is asked.
type request struct {
	system   func(tools bool) string
	messages []openai.ChatCompletionMessageParamUnion
	tools    []openai.ChatCompletionToolUnionParam
	force    bool // an answer in words: no more tool calls
	options  Options
}

// open sends q and waits for the beginning of the answer. The stream must be
// closed. Nothing has been shown yet, so what the server does not understand
// is left out and asked again, each at most once.
func (u *upstream) open(ctx context.Context, q request) (*stream, error) {
	for {
		noTools, noUsage := u.noTools.Load() || len(q.tools) == 0, u.noUsage.Load()
		s, err := u.try(ctx, q, noTools, noUsage)
		var no *refusal
		switch {
		case !errors.As(err, &no):
			return s, err
		case !noTools && no.about("tool", "function"):
			u.noTools.Store(true)
		case !noUsage && no.about("stream_options"):
			u.noUsage.Store(true)
		default:
			return nil, err
		}
	}
}

func (u *upstream) try(ctx context.Context, q request, noTools, noUsage bool) (*stream, error) {
	// The request ends with ctx until its answer is whole. After that it is let
	// go, so that the end of a run does not break a connection that is about to
	// be free for the next.
	whole := ctx
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(whole))
	letGo := context.AfterFunc(whole, func() { cancel(context.Cause(whole)) })
	w := newWatch(u.limits.TimeoutFirst, u.limits.Idle, cancel, letGo)
	var answer *http.Response
	var last refusal
	err := u.client.Post(ctx, "chat/completions", u.params(q, noTools, noUsage), &answer,
		option.WithJSONSet("stream", true),
		option.WithHeader("Accept", "text/event-stream, application/json"),
		option.WithMiddleware(last.keep))
	if err != nil {
		defer w.stop()
		var status *openai.Error
		if errors.As(err, &status) {
			return nil, u.explain(&last)
		}
		return nil, network(ctx, err)
	}
	s, err := newStream(ctx, answer, w, u.limits)
	if err != nil {
		_ = answer.Body.Close()
		w.stop()
		return nil, err
	}
	return s, nil
}

func (u *upstream) params(q request, noTools, noUsage bool) openai.ChatCompletionNewParams {
	p := openai.ChatCompletionNewParams{Model: u.model}
	p.Messages = append(p.Messages, openai.SystemMessage(q.system(!noTools)))
	p.Messages = append(p.Messages, q.messages...)
	if !noTools {
		p.Tools = q.tools
		if q.force {
			p.ToolChoice.OfAuto = openai.String("none")
		}
	}
	if !noUsage {
		p.StreamOptions.IncludeUsage = openai.Bool(true)
	}
	q.options.apply(&p)
	return p
}

// A refusal is an answer of 400 or more.
type refusal struct {
	status int
	header http.Header
	words  upstreamWords
}

func (r *refusal) Error() string { return "HTTP " + strconv.Itoa(r.status) + ": " + r.words.Error() }

// about reports whether the server did not understand a part of the request.
func (r *refusal) about(words ...string) bool {
	if r.status != http.StatusBadRequest && r.status != http.StatusUnprocessableEntity && r.status != http.StatusNotImplemented {
		return false
	}
	said := strings.ToLower(r.words.Error())
	for _, w := range words {
		if strings.Contains(said, w) {
			return true
		}
	}
	return false
}

// keep notes the last refusal of a request and hands a body of the one shape
// that openai-go can decode on to it; servers use many.
func (r *refusal) keep(q *http.Request, next option.MiddlewareNext) (*http.Response, error) {
	res, err := next(q)
	if err != nil || res.StatusCode < 400 {
		return res, err
	}
	b, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	_ = res.Body.Close()
	*r = refusal{status: res.StatusCode, header: res.Header}
	var shape struct {
		Error upstreamWords `json:"error"`
	}
	switch err := json.Unmarshal(b, &shape); {
	case err != nil:
		r.words.message = clip(strings.TrimSpace(string(b)), 200)
	case shape.Error.set:
		r.words = shape.Error
	default: // as old vLLM and FastAPI have it
		_ = r.words.UnmarshalJSON(b)
	}
	res.Body = io.NopCloser(bytes.NewReader([]byte(`{"error":{}}`)))
	return res, nil
}

// explain is the Failure for a refusal.
func (u *upstream) explain(r *refusal) *Failure {
	said := strings.ToLower(r.words.Error())
	var f *Failure
	switch {
	case r.status == http.StatusUnauthorized, r.status == http.StatusForbidden:
		f = fail(CodeKeyRefused, r)
	case r.status == http.StatusTooManyRequests && strings.Contains(said, "insufficient_quota"):
		f = fail(CodeQuota, r)
	case r.status == http.StatusTooManyRequests:
		f = fail(CodeRateLimited, r)
	case r.status == http.StatusNotFound:
		f = failf(CodeUnknownModel, "The language model's server at %s does not know the model %q or has another address.", u.host, u.model)
		f.cause = r
	case r.status == http.StatusRequestTimeout, r.status == http.StatusGatewayTimeout:
		f = fail(CodeTimeout, r)
	case r.status >= 500:
		f = fail(CodeServerError, r)
	default:
		f = fail(CodeRejected, r)
	}
	f.RetryAfter = retryAfter(r.header)
	return f
}

func retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if s, err := strconv.ParseFloat(v, 64); err == nil && s > 0 && s < 1e6 {
		return time.Duration(s * float64(time.Second))
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, time.Until(t))
	}
	return 0
}

// Options are the parameters of a request that an OpenAI client may choose
// itself. Nil leaves them to the upstream.
type Options struct {
	Temperature, TopP *float64
	MaxTokens         *int64
}

func (o Options) apply(p *openai.ChatCompletionNewParams) {
	if o.Temperature != nil {
		p.Temperature = openai.Float(*o.Temperature)
	}
	if o.TopP != nil {
		p.TopP = openai.Float(*o.TopP)
	}
	if o.MaxTokens != nil {
		p.MaxTokens = openai.Int(*o.MaxTokens)
	}
}

func toolParam(t Tool) openai.ChatCompletionToolUnionParam {
	return openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{
		Name:        t.Name(),
		Description: openai.String(t.Description()),
		Parameters:  t.Schema(),
	})
}

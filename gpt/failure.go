package gpt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"
)

// A Failure is why a question was refused or its answer is not whole. Its text
// is for the one who asked; what the upstream said stays in the log.
type Failure struct {
	Code       Code
	Message    string
	Retryable  bool          // the same question may succeed later
	RetryAfter time.Duration // when the other side said how long to wait
	How        []Hint        // with CodeMissingKey: what to set

	cause error
}

func (f *Failure) Error() string { return f.Message }
func (f *Failure) Unwrap() error { return f.cause }

// A Code is a Failure for programs.
type Code string

// Refusals of Start and of look-ups.
const (
	CodeMissingKey   Code = "missing_key"
	CodeEmpty        Code = "empty_question"
	CodeTooLong      Code = "question_too_long"
	CodeBannedWord   Code = "banned_word"
	CodeMalformed    Code = "malformed"
	CodeTooManyRuns  Code = "too_many_runs" // of this user
	CodeTokensPerDay Code = "tokens_per_day"
	CodeBusy         Code = "busy" // of all users
	CodeNotFound     Code = "not_found"
	CodeStopping     Code = "stopping"
)

// How an upstream can fail; each is told apart from all others.
const (
	CodeKeyRefused   Code = "upstream_key_refused"
	CodeUnknownModel Code = "upstream_unknown_model"
	CodeRejected     Code = "upstream_rejected"      // any other 4xx
	CodeRateLimited  Code = "upstream_rate_limited"  // 429
	CodeQuota        Code = "upstream_quota"         // 429 that waiting does not cure
	CodeServerError  Code = "upstream_server_error"  // 5xx
	CodeRefused      Code = "upstream_refused"       // nobody listens on the port
	CodeUnknownHost  Code = "upstream_unknown_host"  // DNS
	CodeTLS          Code = "upstream_tls"           // certificate or handshake
	CodeUnreachable  Code = "upstream_unreachable"   // any other way of not getting through
	CodeTimeout      Code = "upstream_timeout"       // no token in time, nor anything else
	CodeStalled      Code = "upstream_stalled"       // some tokens, then not a byte more
	CodeSilent       Code = "upstream_silent"        // keep-alives, but no token
	CodeCut          Code = "upstream_cut"           // ended before it said that it was done
	CodeReset        Code = "upstream_reset"         // connection torn down
	CodeGarbage      Code = "upstream_garbage"       // not JSON where JSON belongs
	CodeNotAStream   Code = "upstream_not_a_stream"  // 200 with a web page
	CodeErrorInside  Code = "upstream_error"         // an error told inside a 200
	CodeLineTooLong  Code = "upstream_line_too_long" // beyond MaxLine or MaxStream
	CodeNoText       Code = "upstream_no_text"       // done, and not a word
	CodeToolLoop     Code = "tool_loop"              // it called tools to the limit, and said not a word
	CodeFiltered     Code = "content_filter"         // withheld by the upstream's filter
	CodeRunTooLong   Code = "run_too_long"           // beyond MaxRun
	CodeInternal     Code = "internal"
)

// failures holds what people read, and whether trying again makes sense.
var failures = map[Code]struct {
	message   string
	retryable bool
}{
	CodeMissingKey:   {"Missing OPENAI_API_KEY", false},
	CodeEmpty:        {"The question is empty.", false},
	CodeBannedWord:   {"The question contains a word that is not allowed here.", false},
	CodeTooManyRuns:  {"You already have as many questions running as are allowed. Wait for one or stop it.", true},
	CodeTokensPerDay: {"Your tokens for today are used up. The count starts again at midnight UTC.", true},
	CodeBusy:         {"Too many questions are waiting. Try again in a moment.", true},
	CodeNotFound:     {"There is no such run. Finished runs are kept for a few minutes only.", false},
	CodeStopping:     {"The server is stopping. Ask again in a moment.", true},
	CodeKeyRefused:   {"The language model's server refused our API key.", false},
	CodeRejected:     {"The language model's server did not accept the request.", false},
	CodeRateLimited:  {"The language model's server has too many requests just now.", true},
	CodeQuota:        {"The quota at the language model's server is used up.", false},
	CodeServerError:  {"The language model's server has a fault.", true},
	CodeRefused:      {"The language model's server is not running.", true},
	CodeUnknownHost:  {"The host name of the language model's server is not known.", true},
	CodeTLS:          {"The certificate of the language model's server was not accepted.", false},
	CodeUnreachable:  {"The language model's server cannot be reached.", true},
	CodeTimeout:      {"The language model did not answer in time.", true},
	CodeStalled:      {"The language model stopped in the middle of its answer.", true},
	CodeSilent:       {"The language model's server is alive, but no word came in time.", true},
	CodeCut:          {"The answer was cut off before its end.", true},
	CodeReset:        {"The connection to the language model broke.", true},
	CodeGarbage:      {"The language model's server sent something that is not JSON.", true},
	CodeNotAStream:   {"The address of the language model's server answers with something else, such as a web page.", false},
	CodeErrorInside:  {"The language model's server reported an error while answering.", true},
	CodeLineTooLong:  {"The language model's server sent more at once than is allowed.", false},
	CodeNoText:       {"The language model ended without saying anything.", true},
	CodeToolLoop:     {"The assistant asked for data again and again without answering.", true},
	CodeFiltered:     {"The language model's server withheld the answer.", false},
	CodeRunTooLong:   {"The answer took longer than is allowed.", true},
	CodeInternal:     {"The answer failed for a reason of ours.", true},
}

func fail(code Code, cause error) *Failure {
	f := failures[code]
	return &Failure{Code: code, Message: f.message, Retryable: f.retryable, cause: cause}
}

func failf(code Code, format string, args ...any) *Failure {
	f := fail(code, nil)
	f.Message = fmt.Sprintf(format, args...)
	return f
}

// Why a run's context ended, when it was not the upstream.
var (
	errStopped  = errors.New("stopped by the user")
	errNobody   = errors.New("nobody reads it")
	errStopping = fail(CodeStopping, nil)
	errRunTime  = fail(CodeRunTooLong, nil)
)

// network tells apart the ways in which bytes do not get through. The cause of
// ctx comes first: a request that we cancelled ourselves also looks like a
// broken connection.
func network(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var (
		known *Failure
		dns   *net.DNSError
		cert  *tls.CertificateVerificationError
		tlsRH tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &dns):
		return fail(CodeUnknownHost, err)
	case errors.As(err, &cert), errors.As(err, &tlsRH), errors.Is(err, http.ErrSchemeMismatch):
		return fail(CodeTLS, err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fail(CodeRefused, err)
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fail(CodeReset, err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fail(CodeCut, err)
	}
	return fail(CodeUnreachable, err)
}

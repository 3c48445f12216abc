package server

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"echotwin/server/auth"
)

// schemas are the shapes of bodies, as components of the OpenAPI document.
//
//go:embed openapi.schemas.json
var schemas []byte

// An operation is one route in the OpenAPI document. Its method and path are
// those of the router, which a test holds together.
type operation struct {
	method, path string // {name} for a parameter
	tag, summary string
	access       access
	params       []string // names of components/parameters
	body         string   // name of a schema
	bodyType     string   // application/json when empty
	status       int      // of success; 200 when 0
	creates      bool     // 201 besides, when there was none
	answer       string   // name of a schema; "" for no body, or for one that answerType tells enough about
	answerType   string   // application/json when empty
	errors       []int    // besides those that access brings
	failure      string   // name of the schema of errors; Error when empty
	note         string   // a longer description
}

// access is who may call.
type access int

const (
	open     access = iota
	reader          // a session, a token or a ticket
	user            // a session or a token
	person          // a session, or an administrator's token for everything
	admin           // an administrator
	reporter        // a device's credentials, an operator, or a token that commands
)

// operations are all routes, in the order in which people read them.
func operations() []operation {
	return slices.Concat(signIn(), pageOperations(), thingOperations(), modelOperations(), streamOperations(), connectionOperations(), telemetryOperations(), historyOperations(), commandOperations(), alarmOperations(), notifyOperations(), assistantOperations(), accountOperations(), opsOperations())
}

func signIn() []operation {
	const tag = "sign in"
	return []operation{
		{method: "POST", path: "/api/login", tag: tag, summary: "Sign in with a password and get the session cookie", body: "Login", answer: "LoggedIn", errors: []int{400, 401, 403, 429, 503}},
		{method: "POST", path: "/api/logout", tag: tag, summary: "End the session", answer: "LoggedOut", errors: []int{403}},
		{method: "GET", path: "/api/oidc/login", tag: tag, summary: "To the provider of OpenID Connect, where one signs in", params: []string{"next"}, status: 302, errors: []int{404}, note: "For browsers. 404 when none is set (ECHOTWIN_OIDC_ISSUER). What goes wrong is said on the login page."},
		{method: "GET", path: "/api/oidc/callback", tag: tag, summary: "Where the provider sends the browser back", params: []string{"oidcState", "oidcCode"}, status: 302, errors: []int{404}},
		{method: "POST", path: "/api/oidc/backchannel-logout", tag: tag, summary: "Where the provider says that somebody has signed out there", body: "LogoutToken", bodyType: echo.MIMEApplicationForm, status: 200, errors: []int{400, 404, 413, 429, 503}, note: "OpenID Connect Back-Channel Logout 1.0. 404 unless ECHOTWIN_OIDC_BACKCHANNEL is 1. It ends the sessions of the token's sid, or all of its sub."},
		{method: "GET", path: "/api/me", tag: tag, summary: "Who am I?", answer: "Me"},
		{method: "POST", path: "/api/token", tag: tag, summary: "OAuth2 password flow: a token for an hour", body: "PasswordGrant", bodyType: echo.MIMEApplicationForm, answer: "Grant", errors: []int{400, 429, 503}},
		{method: "POST", path: "/api/tickets", tag: tag, summary: "A ticket for ?ticket=, read only and for minutes", access: user, body: "NewTicket", status: 201, answer: "Ticket", errors: []int{400, 422},
			note: "For clients that can send neither a cookie nor a header: EventSource, consumers of Thing Descriptions. It may be used again until it expires, and dies with the session or token that it came from."},
	}
}

func pageOperations() []operation {
	const tag, html = "pages", "text/html"
	return []operation{
		{method: "GET", path: "/", tag: tag, summary: "To the dashboard", status: 302},
		{method: "GET", path: "/app", tag: tag, summary: "The dashboard", answerType: html, errors: []int{401}, note: "A browser without a session is sent to the login page (302), a script gets 401."},
		{method: "GET", path: "/app/{page}", tag: tag, summary: "A page of the dashboard", answerType: html, params: []string{"page"}, errors: []int{401}},
		{method: "GET", path: "/login.html", tag: tag, summary: "The login page", answerType: html},
		{method: "GET", path: "/public/{file}", tag: tag, summary: "Scripts, styles and images", answerType: "*/*", params: []string{"file"}, errors: []int{404}},
		{method: "GET", path: "/docs", tag: tag, summary: "This document, to read and try", answerType: html},
		{method: "GET", path: "/docs/streams", tag: tag, summary: "The frames of /ws and /events, to read", answerType: html},
		{method: "GET", path: "/openapi.json", tag: tag, summary: "This document", answer: "Object"},
		{method: "GET", path: "/asyncapi.json", tag: tag, summary: "The frames of /ws and /events, as AsyncAPI 3.0", answer: "Object"},
	}
}

func thingOperations() []operation {
	const tag, tdType = "things", "application/td+json"
	list := []string{"path", "q", "type", "ofModel", "where", "limit", "after", "ticket"}
	one, named := []string{"id", "ticket"}, []string{"id", "name", "ticket"}
	return []operation{
		{method: "GET", path: "/api/things", tag: tag, summary: "Thing Descriptions, by id; with at, what the things were then", access: reader, params: append([]string{"at"}, list...), answer: "ThingDescriptionsOrStates", errors: []int{400, 422, 503}, note: "With at the answer is a list of states, by the descriptions of today. Values older than a day then are not in it. 422 names the first moment that is kept."},
		{method: "GET", path: "/.well-known/wot", tag: tag, summary: "The same, where consumers of the Web of Things look", access: reader, params: list, answer: "ThingDescriptions", errors: []int{400, 422}},
		{method: "GET", path: "/api/things/{id}", tag: tag, summary: "The W3C Thing Description of one thing", access: reader, params: append([]string{"ifNoneMatch", "asGiven"}, one...), answer: "ThingDescription", answerType: "application/td+json", errors: []int{400, 404, 422},
			note: "With as=given as it was given, to be edited: without the forms of this server, and of a thing that is made of a model only what makes it that."},
		{method: "POST", path: "/api/things", tag: tag, summary: "Describe a thing", access: user, body: "ThingDescription", status: 201, answer: "ThingDescription", answerType: tdType, errors: []int{400, 409, 413, 422, 429, 503},
			note: "Needs the role engineer. The body is a W3C Thing Description 1.1 with the id of the thing. 422 says by JSON pointer what is wrong with it; 409 that the thing is described already. With echotwin:model it names a Thing Model, with echotwin:values the values of its placeholders, and the rest is merged over the model."},
		{method: "PUT", path: "/api/things/{id}", creates: true, tag: tag, summary: "Describe a thing, or describe it anew", access: user, params: []string{"id", "ifMatch", "ifNoneMatch"}, body: "ThingDescription", answer: "ThingDescription", answerType: tdType, errors: []int{400, 409, 412, 413, 422, 429, 503},
			note: "Needs the role engineer. 201 when it had no description. If-Match with the ETag that was read keeps two who write at once from overwriting each other: 412. 409 when a file or the demo line has the description."},
		{method: "PATCH", path: "/api/things/{id}", tag: tag, summary: "Change the description of a thing by a JSON Merge Patch", access: user, params: []string{"id", "ifMatch"}, body: "MergePatch", answer: "ThingDescription", answerType: tdType, errors: []int{400, 404, 409, 412, 413, 422, 503},
			note: "Needs the role engineer. Without If-Match it changes whatever the description is then; of several patches at once none is lost."},
		{method: "DELETE", path: "/api/things/{id}", tag: tag, summary: "Remove a thing, with its values and its history", access: user, params: []string{"id", "ifMatch", "keep"}, status: 204, errors: []int{400, 404, 409, 412, 422, 503},
			note: "Needs the role engineer. Commands and events stay in the audit. A device that goes on sending comes back as an undescribed thing."},
		{method: "GET", path: "/api/things/events", tag: tag, summary: "Changes of the directory, live", access: reader, params: []string{"path", "diff", "lastDirectoryEvent", "sinceDirectoryEvent", "ticket"}, answerType: "text/event-stream", errors: []int{400, 422, 503},
			note: "Server-sent events named thing_created, thing_updated and thing_deleted, as in the Directory Service API of W3C WoT Discovery; their data is the id of the thing. With diff=true thing_created has the whole description, thing_updated a merge patch with the id, or the whole description where the difference is not known. Last-Event-ID goes on behind the last one that was seen; an event named resync says that changes are missing and the list has to be read again. hello is the first event of a stream that begins without one: its id is where to go on. A comment every 15 s shows that the stream lives."},
		{method: "GET", path: "/api/things/events/{type}", tag: tag, summary: "One sort of these changes", access: reader, params: []string{"directoryEvent", "path", "diff", "lastDirectoryEvent", "sinceDirectoryEvent", "ticket"}, answerType: "text/event-stream", errors: []int{400, 404, 422, 503}},
		{method: "GET", path: "/api/tree", tag: tag, summary: "Things as a tree, by their links and their paths", access: reader, params: []string{"path", "ticket"}, answer: "Tree", errors: []int{400},
			note: "A thing stands below the one that has a link with the rel contains to it, otherwise below the next shorter path."},
		{method: "GET", path: "/api/things/{id}/state", tag: tag, summary: "All values of a thing, with age and quality, now or at an earlier moment", access: reader, params: append([]string{"at"}, one...), answer: "State", errors: []int{400, 404, 422, 503}},
		{method: "GET", path: "/api/things/{id}/properties", tag: tag, summary: "All values of a thing, bare", access: reader, params: one, answer: "Object", errors: []int{400, 404}},
		{method: "GET", path: "/api/things/{id}/properties/{name}", tag: tag, summary: "One value, bare", access: reader, params: named, answer: "Value", errors: []int{400, 404}},
		{method: "GET", path: "/api/things/{id}/properties/{name}/sse", tag: tag, summary: "One value, live", access: reader, params: named, answerType: "text/event-stream", errors: []int{400, 404, 503}, note: "Unnamed server-sent events whose data is the bare value; the current one comes first."},
		{method: "GET", path: "/api/things/{id}/events/{name}", tag: tag, summary: "One sort of event, live", access: reader, params: named, answerType: "text/event-stream", errors: []int{400, 404, 503}},
	}
}

func streamOperations() []operation {
	const tag = "streams"
	return []operation{
		{method: "GET", path: "/ws", tag: tag, summary: "WebSocket; see /docs/streams", status: 101, params: []string{"path", "rate", "ticket"}, errors: []int{401, 403}, note: "Without a cookie, a header or a ticket the first frame has to be auth."},
		{method: "GET", path: "/events", tag: tag, summary: "The same frames as server-sent events or as lines of JSON; see /docs/streams", access: reader, params: []string{"path", "fields", "rate", "since", "replay", "replayTo", "speed", "format", "ticket"}, answerType: "text/event-stream", errors: []int{400, 422, 429, 503},
			note: "A browser's EventSource is told by 200, retry and bye what others are told by 429 and 503."},
	}
}

func connectionOperations() []operation {
	const tag = "connections"
	return []operation{
		{method: "GET", path: "/api/connections", tag: tag, summary: "Who is connected to /ws and /events of this node", access: admin, params: []string{"limit", "after", "connectionsOf"}, answer: "Connections", errors: []int{400, 422, 503},
			note: "In the order in which they came. lag is how far a connection is behind what it follows; a slow rate of its own is lag, too. Needs a session, or a token with the scope admin and for all things."},
		{method: "DELETE", path: "/api/connections/{id}", tag: tag, summary: "Close a connection", access: admin, params: []string{"connection", "reason", "reconnectIn"}, status: 204, errors: []int{404, 422, 503},
			note: "Its client is told with the frame bye, code closed, and the close code 4002, or 4502 when it is never to come back."},
		{method: "GET", path: "/api/viewers", tag: tag, summary: "Things that somebody follows, and how many do", access: reader, params: []string{"path", "limit", "after", "ticket"}, answer: "Viewers", errors: []int{400, 422},
			note: "Connections of /ws and /events of this node that may see the thing, each counted once. Things that nobody follows are left out."},
	}
}

func telemetryOperations() []operation {
	const tag = "telemetry"
	failures := []int{400, 408, 413, 415, 422, 429, 503}
	return []operation{
		{method: "POST", path: "/api/telemetry", tag: tag, summary: "Readings of many things", access: reporter, body: "Batch", status: 202, answer: "Stored", errors: failures, note: "202 means that what was accepted is on disk. What is wrong is named by its place; what is right beside it is kept. 429, or the code too_many beside others: there is no place for one more thing, or for one more property of a thing. The body may be compressed: Content-Encoding gzip."},
		{method: "POST", path: "/api/telemetry/{thing}", tag: tag, summary: "Readings of one thing", access: reporter, params: []string{"thing"}, body: "Readings", status: 202, answer: "Stored", errors: append(failures, 404)},
	}
}

func commandOperations() []operation {
	const tag = "commands"
	return []operation{
		{method: "POST", path: "/api/things/{id}/actions/{name}", tag: tag, summary: "Have a thing do something", access: user, params: []string{"id", "name", "timeout", "confirm", "commandReason", "idempotencyKey", "key", "prefer"}, body: "Value", answer: "Command", errors: []int{400, 404, 409, 413, 422, 429, 502, 503, 504},
			note: "Needs the role operator. The answer comes when the device has answered: 200 it says done, 502 it says no, 504 no answer in time, so the outcome is unknown (both with the command). 422 names the limit that the input breaks, or what the risk of the action wants (confirm, reason); 409 a device that is not connected, a condition that does not hold (interlock), or a command that was superseded or cancelled meanwhile. With Prefer: respond-async the answer is 202 as soon as the command is accepted, and the header Location says where to ask; with Prefer: wait=5 after five seconds at the latest."},
		{method: "GET", path: "/api/things/{id}/actions/{name}", tag: tag, summary: "What stands for and against an action now", access: reader, params: []string{"id", "name"}, answer: "Readiness", errors: []int{404},
			note: "Its risk, how its interlocks stand and with what values, who commanded the thing last, and which commands a new one would supersede. An interlock that nobody knows of (holds null) lets no command pass."},
		{method: "PUT", path: "/api/things/{id}/properties/{name}", tag: tag, summary: "Write a property of a thing", access: user, params: []string{"id", "name", "timeout", "confirm", "commandReason", "idempotencyKey", "key", "prefer"}, body: "Value", answer: "Command", errors: []int{400, 403, 404, 409, 413, 422, 429, 502, 503, 504},
			note: "Needs the role operator. The body is the bare value; it must fit the description, which must not say readOnly. It is a command, named properties/{name}, and answered as one: done means that the device says so. Until the property reports the value it is told as desired beside the reported one."},
		{method: "GET", path: "/api/commands", tag: tag, summary: "The audit of commands, the newest first", access: user, params: []string{"path", "commandAction", "commandUser", "commandStatus", "commandVia", "commandFrom", "commandTo", "commandFormat", "limit", "after"}, answer: "Commands", errors: []int{400, 422, 503},
			note: "Also those that are older than the newest thousand, for as long as facts are kept. Link: rel=\"next\" says more; a page may then be shorter than limit. With Accept: text/csv a table, in which evidenceCode, errorCode and errorReason stand beside evidence and error."},
		{method: "GET", path: "/api/commands/{id}", tag: tag, summary: "One command, with its steps and their evidence", access: user, params: []string{"command"}, answer: "CommandSteps", errors: []int{404}},
		{method: "POST", path: "/api/commands/{id}/cancel", tag: tag, summary: "Wait for a command no more", access: user, params: []string{"command"}, answer: "CancelledCommand", errors: []int{404, 409, 503},
			note: "Needs the role operator. It ends the command for everybody who waits for it, or the wait for its effect; it cannot take back what the device has got, and the answer says so. When the description names a cancel action, that is sent to the device, and stop is what came of it. 409 when the command has ended already."},
	}
}

func assistantOperations() []operation {
	const tag = "assistant"
	run := []string{"run"}
	return []operation{
		{method: "GET", path: "/api/gpt", tag: tag, summary: "Can questions be asked, and if not, what is to be set?", access: user, answer: "Assistant"},
		{method: "POST", path: "/api/gpt", tag: tag, summary: "Ask", access: user, body: "Question", answer: "Answer", errors: []int{400, 409, 413, 429, 500, 502, 503, 504},
			note: "By Accept: application/json waits for the whole answer, text/event-stream sends it word by word, text/plain sends bare words. The header X-Run-Id names the run."},
		{method: "GET", path: "/api/gpt/runs/{id}", tag: tag, summary: "How far an answer is", access: user, params: run, answer: "Object", errors: []int{404}},
		{method: "GET", path: "/api/gpt/runs/{id}/events", tag: tag, summary: "An answer word by word, from where one left off", access: user, params: []string{"run", "seen", "lastEventID"}, answerType: "text/event-stream", errors: []int{400, 404}, note: "204 when there is nothing more."},
		{method: "POST", path: "/api/gpt/runs/{id}/cancel", tag: tag, summary: "Stop", access: user, params: run, answer: "Object", errors: []int{404}},
		{method: "POST", path: "/v1/chat/completions", tag: tag, summary: "The same for clients of OpenAI", access: user, body: "Object", answer: "Object", errors: []int{400, 413, 429, 500, 502, 503, 504}, failure: "OpenAIError"},
		{method: "GET", path: "/v1/models", tag: tag, summary: "The model behind the assistant", access: user, answer: "Object", failure: "OpenAIError"},
		{method: "GET", path: "/v1/models/{model}", tag: tag, summary: "One model", access: user, params: []string{"model"}, answer: "Object", errors: []int{404}, failure: "OpenAIError"},
	}
}

func accountOperations() []operation {
	const tag = "accounts"
	entry := []string{"entry"}
	return []operation{
		{method: "GET", path: "/api/tokens", tag: tag, summary: "One's own tokens", access: person, params: []string{"user"}, answer: "Tokens"},
		{method: "POST", path: "/api/tokens", tag: tag, summary: "A token for scripts; shown once", access: person, body: "NewToken", status: 201, answer: "Token", errors: []int{400, 422}},
		{method: "DELETE", path: "/api/tokens/{id}", tag: tag, summary: "Revoke a token", access: person, params: entry, status: 204, errors: []int{404}},
		{method: "GET", path: "/api/sessions", tag: tag, summary: "Where one is signed in, the newest first", access: person, params: []string{"user", "limit", "after"}, answer: "Sessions", errors: []int{400, 422}, note: "Sessions of browsers. The id is public: it signs nobody in."},
		{method: "DELETE", path: "/api/sessions", tag: tag, summary: "Sign out everywhere, or everywhere else", access: person, params: []string{"sessionsOf", "keepSession"}, answer: "Ended", errors: []int{422}, note: "Open connections of the sessions end at once."},
		{method: "DELETE", path: "/api/sessions/{id}", tag: tag, summary: "End a session", access: person, params: entry, status: 204, errors: []int{404}},
		{method: "GET", path: "/api/users", tag: tag, summary: "All users", access: admin, answer: "Users"},
		{method: "POST", path: "/api/users", tag: tag, summary: "Add a user", access: admin, body: "NewUser", status: 201, answer: "User", errors: []int{400, 409, 422}},
		{method: "PATCH", path: "/api/users/{name}", tag: tag, summary: "Change a role or a password", access: person, params: []string{"username"}, body: "ChangeUser", status: 204, errors: []int{400, 404, 422, 429}, note: "Everybody may change their own password, and shows the old one."},
		{method: "DELETE", path: "/api/users/{name}", tag: tag, summary: "Delete a user, with sessions and tokens", access: admin, params: []string{"username"}, status: 204, errors: []int{404, 422}},
		{method: "GET", path: "/api/devices", tag: tag, summary: "All credentials of devices, with when each was seen last", access: admin, answer: "Devices",
			note: "What happened on another node may be half a minute late. At an outside broker (MQTT_URL) the credentials are the broker's, and nothing is known of them here."},
		{method: "POST", path: "/api/devices", tag: tag, summary: "A credential for a device; its password is shown once", access: admin, body: "NewDevice", status: 201, answer: "Device", errors: []int{400, 422}},
		{method: "DELETE", path: "/api/devices/{id}", tag: tag, summary: "Revoke a device's credential", access: admin, params: entry, status: 204, errors: []int{404}},
	}
}

func opsOperations() []operation {
	const tag = "operation"
	return []operation{
		{method: "GET", path: "/health", tag: tag, summary: "Host and protocol as the server sees them through the proxy", answer: "Health"},
		{method: "GET", path: "/livez", tag: tag, summary: "Does the process run?", answer: "Live"},
		{method: "GET", path: "/readyz", tag: tag, summary: "Is each part ready?", answer: "Ready", errors: []int{503}},
		{method: "GET", path: "/api/backup", tag: tag, summary: "Everything that is kept, in one file for echotwin restore", access: admin, answerType: "application/x-tar", errors: []int{404, 409, 503}, note: "Made while the server runs. It holds secrets. Its last entry is a checksum; a file without it is not whole."},
		{method: "GET", path: "/metrics", tag: tag, summary: "Figures for Prometheus", answerType: "text/plain", errors: []int{401, 403}, note: "In production only from this machine or with an administrator's token."},
		{method: "GET", path: "/debug/pprof/{profile}", tag: tag, summary: "Profiles of the process", access: admin, params: []string{"profile"}, answerType: "*/*"},
		{method: "POST", path: "/debug/pprof/{profile}", tag: tag, summary: "Symbols of a profile", access: admin, params: []string{"profile"}, answerType: "*/*"},
	}
}

// openAPI is the document.
func openAPI(ops []operation) ([]byte, error) {
	var components map[string]any
	if err := json.Unmarshal(schemas, &components); err != nil {
		return nil, fmt.Errorf("openapi.schemas.json: %w", err)
	}
	paths := map[string]map[string]any{}
	for _, op := range ops {
		if paths[op.path] == nil {
			paths[op.path] = map[string]any{}
		}
		paths[op.path][strings.ToLower(op.method)] = op.document()
	}
	return json.Marshal(map[string]any{
		"openapi": "3.1.0",
		"info": map[string]any{
			"title":       "Echotwin",
			"version":     "1",
			"description": "A machine line, live. Errors are {\"error\":\"a sentence\",\"code\":\"a_word\"}, with at, minimum and maximum where they can be named. Lists go on where the header Link says.",
			"license":     map[string]any{"name": "MIT", "identifier": "MIT"},
		},
		"servers":    []any{map[string]any{"url": "/"}},
		"paths":      paths,
		"components": components,
	})
}

func (op operation) document() map[string]any {
	d := map[string]any{
		"tags": []string{op.tag}, "summary": op.summary, "operationId": op.id(),
		"responses": op.responses(), "security": op.access.security(),
	}
	if op.note != "" {
		d["description"] = op.note
	}
	var params []any
	for _, p := range op.params {
		params = append(params, ref("parameters", p))
	}
	if params != nil {
		d["parameters"] = params
	}
	if op.body != "" {
		typ := op.bodyType
		if typ == "" {
			typ = echo.MIMEApplicationJSON
		}
		d["requestBody"] = map[string]any{"required": op.body != "Value", "content": content(typ, op.body)}
	}
	return d
}

// id is a name for generated clients: getApiThingsIdState.
func (op operation) id() string {
	words := strings.FieldsFunc(op.path, func(r rune) bool { return strings.ContainsRune("/{}.-", r) })
	id := strings.ToLower(op.method)
	for _, w := range words {
		id += strings.ToUpper(w[:1]) + w[1:]
	}
	return id
}

func (op operation) responses() map[string]any {
	status := op.status
	if status == 0 {
		status = http.StatusOK
	}
	success := map[string]any{"description": http.StatusText(status)}
	if op.answer != "" || op.answerType != "" {
		typ := op.answerType
		if typ == "" {
			typ = echo.MIMEApplicationJSON
		}
		success["content"] = content(typ, op.answer)
	}
	rs := map[string]any{fmt.Sprint(status): success}
	if op.creates {
		rs["201"] = map[string]any{"description": http.StatusText(http.StatusCreated), "content": success["content"]}
	}
	failure := op.failure
	if failure == "" {
		failure = "Error"
	}
	for _, e := range append(op.access.errors(), op.errors...) {
		r := map[string]any{"description": http.StatusText(e), "content": content(echo.MIMEApplicationJSON, failure)}
		if e == http.StatusTooManyRequests || e == http.StatusServiceUnavailable {
			r["headers"] = map[string]any{"Retry-After": map[string]any{"schema": map[string]any{"type": "integer"}}}
		}
		rs[fmt.Sprint(e)] = r
	}
	if op.path == "/readyz" {
		rs["503"] = map[string]any{"description": "A part is not", "content": content(echo.MIMEApplicationJSON, "Ready")}
	}
	if strings.HasSuffix(op.path, "/actions/{name}") && op.method == http.MethodPost {
		rs["202"] = map[string]any{"description": "Accepted, and still under way", "content": content(echo.MIMEApplicationJSON, "Command"),
			"headers": map[string]any{"Location": map[string]any{"description": "Where to ask for it", "schema": map[string]any{"type": "string"}}}}
		for _, e := range []string{"502", "504"} {
			rs[e].(map[string]any)["content"] = content(echo.MIMEApplicationJSON, "Command")
		}
	}
	return rs
}

func content(typ, schema string) map[string]any {
	if schema == "" {
		return map[string]any{typ: map[string]any{}}
	}
	return map[string]any{typ: map[string]any{"schema": ref("schemas", schema)}}
}

func ref(kind, name string) map[string]any {
	return map[string]any{"$ref": "#/components/" + kind + "/" + name}
}

// security are the schemes, any one of which will do.
func (a access) security() []any {
	scheme := func(name string) any { return map[string]any{name: []string{}} }
	switch a {
	case open:
		return []any{}
	case reader:
		return []any{scheme("session"), scheme("token"), scheme("ticket")}
	case reporter:
		return []any{scheme("device"), scheme("session"), scheme("token")}
	}
	return []any{scheme("session"), scheme("token")}
}

func (a access) errors() []int {
	if a == open {
		return nil
	}
	return []int{http.StatusUnauthorized, http.StatusForbidden}
}

// docRoutes is what describes the rest.
func (s *Server) docRoutes() error {
	api, err := openAPI(operations())
	if err != nil {
		return err
	}
	streams, err := streamsPage()
	if err != nil {
		return err
	}
	document := func(name string, b []byte) echo.HandlerFunc {
		f := newFile(name, echo.MIMEApplicationJSON, b)
		return func(c echo.Context) error {
			c.Response().Header().Set(echo.HeaderCacheControl, "no-cache")
			return f.serve(c)
		}
	}
	s.get("/docs", auth.Public, s.docsPage, s.limitAnswer)
	s.get("/openapi.json", auth.Public, document("openapi.json", api), s.limitAnswer)
	s.get("/asyncapi.json", auth.Public, document("asyncapi.json", asyncAPI), s.limitAnswer)
	s.get("/docs/streams", auth.Public, func(c echo.Context) error {
		pageHeaders(c, pagePolicy)
		return c.HTMLBlob(http.StatusOK, streams)
	}, s.limitAnswer)
	return nil
}

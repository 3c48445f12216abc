package server

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"echotwin/realtime"
	"echotwin/realtime/twin"
	"echotwin/server/auth"
)

// thingRoutes is the twins, for reading.
func (s *Server) thingRoutes() {
	s.get("/.well-known/wot", auth.ReadThings, s.listThings, s.limitAnswer, zipped)
	s.get("/api/things", auth.ReadThings, s.listThings, s.limitAnswer, zipped)
	s.get(thingsPrefix+"*", auth.ReadThings, s.readThing, s.limitAnswer)
	s.get("/api/tree", auth.ReadThings, s.tree, s.limitAnswer, zipped)
	s.post("/api/things", auth.EditThings, s.createThing)
	s.put(thingsPrefix+"*", auth.ReadThings, s.putThing)
	s.patch(thingsPrefix+"*", auth.ReadThings, s.patchThing)
	s.delete(thingsPrefix+"*", auth.ReadThings, s.deleteThing)
}

// base is the origin that the client used, for links in Thing Descriptions.
func base(c echo.Context) string {
	v := visitOf(c)
	scheme := "http"
	if v.https {
		scheme = "https"
	}
	return (&url.URL{Scheme: scheme, Host: v.host, Path: "/"}).String()
}

// listThings answers GET /api/things and /.well-known/wot: Thing Descriptions,
// by id, those that match all of path, q, type, model and where.
func (s *Server) listThings(c echo.Context) error {
	_, see, err := s.scope(c, "path")
	if err != nil {
		return err
	}
	limit, err := pageSize(c)
	if err != nil {
		return err
	}
	if at, past, err := s.pastMoment(c); err != nil {
		return err
	} else if past {
		return s.listStates(c, at, limit)
	}
	holds, err := s.condition(c)
	if err != nil {
		return err
	}
	after, model := c.QueryParam("after"), c.QueryParam("model")
	var ids []string
	s.Twins.Things("", func(id string) bool {
		if id > after && see(id) {
			ids = append(ids, id)
		}
		return false
	})
	if model != "" {
		ids = slices.DeleteFunc(ids, func(id string) bool { return s.Things.MadeOf(id) != model })
	}
	slices.Sort(ids)
	q, typ := strings.ToLower(c.QueryParam("q")), c.QueryParam("type")
	tds := make([]json.RawMessage, 0, min(len(ids), limit))
	last := ""
	for _, id := range ids {
		if !holds(id) {
			continue
		}
		td, ok := s.Twins.TD(id, base(c))
		if !ok || !describes(td, id, q, typ) {
			continue
		}
		if len(tds) == limit {
			linkNext(c, last)
			break
		}
		tds, last = append(tds, withTicket(td, c)), id
	}
	return noStore(c).JSON(http.StatusOK, tds)
}

// condition is ?where=: whether it holds of a thing now. What is not known, or
// is of a thing that the user may not see, does not hold.
func (s *Server) condition(c echo.Context) (func(id string) bool, error) {
	text := c.QueryParam("where")
	if text == "" {
		return func(string) bool { return true }, nil
	}
	where, err := twin.ParseCondition(text)
	var wrong *realtime.Problem
	if errors.As(err, &wrong) {
		p := *wrong
		p.At = "?where"
		return nil, &p
	}
	if err != nil {
		return nil, err
	}
	who := userOf(c)
	return func(id string) bool {
		holds, known := where.Holds(func(thing, property string) (json.RawMessage, bool) {
			if thing == "" {
				thing = id
			} else if !who.Covers(thing, realtime.Match) {
				return nil, false
			}
			v, ok := s.Twins.Property(thing, property)
			return v.Value, ok && v.Value != nil
		})
		return holds && known
	}, nil
}

// describes says whether a Thing Description has q somewhere in what people
// read of it, and typ among its types.
func describes(td json.RawMessage, id, q, typ string) bool {
	if q == "" && typ == "" {
		return true
	}
	var d struct {
		Title       string            `json:"title"`
		Titles      map[string]string `json:"titles"`
		Description string            `json:"description"`
		Tag         string            `json:"echotwin:tag"`
		Type        any               `json:"@type"`
	}
	if json.Unmarshal(td, &d) != nil {
		return false
	}
	var types []string
	switch t := d.Type.(type) {
	case string:
		types = []string{t}
	case []any:
		for _, e := range t {
			if w, ok := e.(string); ok {
				types = append(types, w)
			}
		}
	}
	if typ != "" && !slices.ContainsFunc(types, func(t string) bool { return named(t, typ) }) {
		return false
	}
	words := append(types, id, d.Title, d.Description, d.Tag)
	for _, t := range d.Titles {
		words = append(words, t)
	}
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(strings.ToLower(w), q) })
}

// named says whether a type is the one that is looked for: as it is written, or
// without its prefix, which nobody remembers.
func named(typ, looked string) bool {
	_, plain, _ := strings.Cut(typ, ":")
	return strings.EqualFold(typ, looked) || strings.EqualFold(plain, looked)
}

const maxPage = 1000

// pageSize is ?limit=.
func pageSize(c echo.Context) (int, error) {
	text := c.QueryParam("limit")
	if text == "" {
		return maxPage, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxPage {
		return 0, outOfRange("limit", text, 1, maxPage)
	}
	return n, nil
}

// outOfRange says what a number in the query may be.
func outOfRange(name, got string, lo, hi float64) error {
	return &realtime.Problem{Code: realtime.CodeOutOfRange, At: "?" + name, Minimum: &lo, Maximum: &hi,
		Message: name + " " + strconv.Quote(clip(got)) + " is not a number from " + strconv.FormatFloat(lo, 'g', -1, 64) + " to " + strconv.FormatFloat(hi, 'g', -1, 64)}
}

// linkNext says where the list goes on.
func linkNext(c echo.Context, after string) {
	u := *c.Request().URL
	q := u.Query()
	q.Set("after", after)
	u.RawQuery = q.Encode()
	c.Response().Header().Set("Link", "<"+u.RequestURI()+`>; rel="next"`)
}

// readThing answers GET below /api/things/.
func (s *Server) readThing(c echo.Context) error {
	p, err := s.thingPath(c)
	if err != nil {
		return err
	}
	switch p.part {
	case "":
		td, err := s.description(c, p.id)
		if err != nil {
			return err
		}
		if tag, ok := s.Twins.Tag(p.id); ok && unchanged(c, tag) {
			return noStore(c).NoContent(http.StatusNotModified)
		}
		c.Response().Header().Set(echo.HeaderContentType, "application/td+json")
		return noStore(c).JSONBlob(http.StatusOK, td)
	case "state":
		if at, past, err := s.pastMoment(c); err != nil {
			return err
		} else if past {
			return s.pastState(c, p.id, at)
		}
		state, ok := s.Twins.State(p.id)
		if !ok {
			return noThing(p.id)
		}
		return noStore(c).JSON(http.StatusOK, struct {
			twin.State
			Viewers int `json:"viewers"` // connections of /ws and /events that follow it
		}{state, s.Hub.Viewers(p.id)})
	case "properties":
		return s.readProperties(c, p)
	case "actions":
		if p.name != "" {
			return s.readAction(c, p)
		}
	case "events":
		if p.name != "" && c.Request().Method == http.MethodGet {
			return s.streamEvents(c, p)
		}
	}
	return notAllowed(c, p)
}

// description is that of a thing, as it is served or, with ?as=given, as it was
// given: without our forms, and of a thing that is made of a model only what
// makes it that.
func (s *Server) description(c echo.Context, id string) (json.RawMessage, error) {
	td, ok := s.Twins.TD(id, base(c))
	if !ok {
		return nil, noThing(id)
	}
	switch as := c.QueryParam("as"); as {
	case "":
		return withTicket(td, c), nil
	case "given":
		given, ok := s.Things.Given(id)
		if !ok {
			return nil, problem(realtime.CodeNotFound, "nobody has described %s", id)
		}
		return given, nil
	}
	return nil, &realtime.Problem{Code: realtime.CodeInvalid, At: "?as", Message: "as can only be given: the description as it was given"}
}

// thingPath takes the path apart, names the route, hides things that the user
// may not see and refuses what they may not do.
func (s *Server) thingPath(c echo.Context) (thingPath, error) {
	p, err := parseThingPath(strings.TrimPrefix(c.Request().URL.EscapedPath(), thingsPrefix))
	if err != nil {
		return p, err
	}
	c.SetPath(p.template())
	if !userOf(c).Covers(p.id, realtime.Match) {
		return p, noThing(p.id) // whether it exists is not theirs to know
	}
	method := c.Request().Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	permission, ok := thingPermissions[method+" "+p.template()]
	if !ok {
		return p, notAllowed(c, p)
	}
	return p, denied(userOf(c), permission)
}

func noThing(id string) error {
	return problem(realtime.CodeNotFound, "there is no thing %s", id)
}

// notAllowed answers 405 for what exists but not with this method, and 404 for
// the rest.
func notAllowed(c echo.Context, p thingPath) error {
	allow := "GET, HEAD"
	switch {
	case p.part == "actions" && p.name != "":
		allow = "GET, HEAD, POST"
	case p.part == "properties" && p.name != "" && !p.sse:
		allow = "GET, HEAD, PUT"
	case p.part == "":
		allow = "GET, HEAD, PUT, PATCH, DELETE"
	case p.sse || p.part == "events" && p.name != "":
		allow = "GET"
	case p.part == "actions" || p.part == "events":
		return echo.ErrNotFound
	}
	c.Response().Header().Set(echo.HeaderAllow, allow)
	return echo.ErrMethodNotAllowed
}

// readProperties answers GET …/properties and what is below.
func (s *Server) readProperties(c echo.Context, p thingPath) error {
	if p.name == "" {
		state, ok := s.Twins.State(p.id)
		if !ok {
			return noThing(p.id)
		}
		values := make(map[string]json.RawMessage, len(state.Properties))
		for name, v := range state.Properties {
			if v.Value != nil {
				values[name] = v.Value
			}
		}
		return noStore(c).JSON(http.StatusOK, values)
	}
	v, ok := s.Twins.Property(p.id, p.name)
	switch {
	case !ok:
		return problem(realtime.CodeNotFound, "%s has no property %s", p.id, p.name)
	case p.sse && c.Request().Method == http.MethodGet:
		return s.streamProperty(c, p)
	case p.sse:
		return notAllowed(c, p)
	case v.Value == nil:
		return problem(realtime.CodeNotFound, "no reading of %s has come from %s yet", p.name, p.id)
	}
	c.Response().Header().Set("Last-Modified", v.TS.UTC().Format(http.TimeFormat))
	return noStore(c).JSONBlob(http.StatusOK, v.Value)
}

// withTicket puts the ticket that a Thing Description was read with into its
// links, since a client that could send no header here cannot do so there. One
// that did send its token, too, gets the ticket in streams only, where clients
// of the Web of Things send no header; everything else it asks by the token.
func withTicket(td json.RawMessage, c echo.Context) json.RawMessage {
	ticket := c.QueryParam("ticket")
	streams := c.Request().Header.Get(echo.HeaderAuthorization) != ""
	if ticket == "" {
		return td
	}
	var doc map[string]any
	if json.Unmarshal(td, &doc) != nil {
		return td
	}
	for _, part := range []string{"properties", "events"} {
		affordances, _ := doc[part].(map[string]any)
		for _, a := range affordances {
			m, _ := a.(map[string]any)
			forms, _ := m["forms"].([]any)
			for _, f := range forms {
				if form, ok := f.(map[string]any); ok {
					if href, ok := form["href"].(string); ok && (!streams || form["subprotocol"] == "sse") {
						form["href"] = href + "?ticket=" + url.QueryEscape(ticket)
					}
				}
			}
		}
	}
	if !streams {
		onlyTicket(doc)
	}
	out, err := json.Marshal(doc)
	if err != nil {
		return td
	}
	return out
}

// onlyTicket says that the links need nothing more than what they hold.
func onlyTicket(doc map[string]any) {
	doc["security"] = []string{"ticket"}
	doc["securityDefinitions"] = map[string]any{"ticket": map[string]any{"scheme": "nosec", "description": "The links hold a ticket. It is good for a few minutes, and for reading only."}}
}

// tree answers GET /api/tree.
func (s *Server) tree(c echo.Context) error {
	_, see, err := s.scope(c, "path")
	if err != nil {
		return err
	}
	return noStore(c).JSON(http.StatusOK, s.Twins.Tree(see))
}

package twin

import (
	"encoding/json"
	"maps"

	"echotwin/realtime"
)

// The contexts of a Thing Description. Real clients want the one of 2019 first
// and that of 2022 second.
const (
	context2019 = "https://www.w3.org/2019/wot/td/v1"
	context2022 = "https://www.w3.org/2022/wot/td/v1.1"
)

// vocabulary is where the members named echotwin:… belong.
const vocabulary = "urn:echotwin:td#"

// A document is a served Thing Description but for its base, which each request
// has its own of.
type document struct {
	head []byte // {"@context":[…]
	tail []byte // ,"actions":…}
	tag  string // of the description, and after a dash of what came besides
}

func (d *document) under(base string) (json.RawMessage, error) {
	b, err := json.Marshal(base)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(d.head)+len(`,"base":`)+len(b)+len(d.tail))
	out = append(out, d.head...)
	out = append(out, `,"base":`...)
	out = append(out, b...)
	return append(out, d.tail...), nil
}

// TD is the Thing Description of one thing as this server offers it: its forms
// lead here and not to the device. They are relative to base, which is an
// origin with a slash, such as https://plant.example/. False when there is no
// such thing. An undescribed thing has one too, made of what it sent and marked
// "echotwin:undescribed".
func (t *Twins) TD(id, base string) (json.RawMessage, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	th := t.things[id]
	if th == nil {
		return nil, false
	}
	td, err := th.serve(base)
	return td, err == nil
}

// Things are the Thing Descriptions of all things that match accepts (nil means
// all), sorted by id.
func (t *Twins) Things(base string, match func(id string) bool) []json.RawMessage {
	t.mu.RLock()
	defer t.mu.RUnlock()
	ids := t.ids(match)
	out := make([]json.RawMessage, 0, len(ids))
	for _, id := range ids {
		if td, err := t.things[id].serve(base); err == nil {
			out = append(out, td)
		}
	}
	return out
}

// serve is TD of this thing. The document is kept until the thing looks
// different.
func (th *thing) serve(base string) (json.RawMessage, error) {
	d := th.served.Load()
	if d == nil {
		var err error
		if d, err = th.document(); err != nil {
			return nil, err
		}
		th.served.Store(d)
	}
	return d.under(base)
}

func (th *thing) document() (*document, error) {
	doc := map[string]any{"id": URN(th.id), "title": th.title(), "echotwin:undescribed": true}
	if th.td != nil {
		doc = maps.Clone(th.td.doc)
	}
	head, err := realtime.Marshal(contexts(doc["@context"]))
	if err != nil {
		return nil, err
	}
	delete(doc, "@context")
	delete(doc, "base")
	delete(doc, "forms")
	secure(doc)
	th.offer(doc)
	tail, err := realtime.Marshal(doc)
	if err != nil {
		return nil, err
	}
	tail[0] = ',' // its opening brace is in head
	d := &document{head: append([]byte(`{"@context":`), head...), tail: tail}
	d.tag = hashed(d.head, tail)
	if th.td != nil {
		if d.tag, err = th.td.tagWith(d.tag); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// contexts are the contexts of a description in the order that clients want,
// with the one of our own words among them.
func contexts(v any) []any {
	out := []any{context2019, context2022}
	given, ok := v.([]any)
	if !ok {
		given = []any{v}
	}
	ours := false
	for _, c := range given {
		if c == nil || c == context2019 || c == context2022 {
			continue
		}
		if m, ok := c.(map[string]any); ok && m["echotwin"] != nil {
			ours = true
		}
		out = append(out, c)
	}
	if !ours {
		out = append(out, map[string]any{"echotwin": vocabulary})
	}
	return out
}

// secure says how this server wants to be asked. The token stands first and
// alone, because clients in use take one scheme and no choice of several; a
// browser's session and a ticket do as well.
func secure(doc map[string]any) {
	doc["security"] = []string{"token"}
	doc["securityDefinitions"] = map[string]any{
		"token":   map[string]any{"scheme": "bearer", "in": "header", "name": "Authorization", "format": "opaque"},
		"session": map[string]any{"scheme": "apikey", "in": "cookie", "description": "What signing in gives to a browser; serves in place of the token."},
		"ticket":  map[string]any{"scheme": "apikey", "in": "query", "name": "ticket", "description": "From POST /api/tickets, for reading and for streams that cannot send a header."},
	}
}

// offer gives every affordance the forms that lead here.
func (th *thing) offer(doc map[string]any) {
	root := "api/things/" + th.id
	if props := th.properties(root); len(props) > 0 {
		doc["properties"] = props
	}
	given, _ := doc["actions"].(map[string]any)
	if len(given) > 0 {
		actions := make(map[string]any, len(given))
		for name, a := range given {
			actions[name] = with(a, form(root+"/actions/"+name, "invokeaction"))
		}
		doc["actions"] = actions
	}
	given, _ = doc["events"].(map[string]any)
	if len(given) > 0 {
		events := make(map[string]any, len(given))
		for name, e := range given {
			events[name] = with(e, stream(root+"/events/"+name, "subscribeevent", "unsubscribeevent"))
		}
		doc["events"] = events
	}
}

// properties are the described ones and those that came besides.
func (th *thing) properties(root string) map[string]any {
	props := make(map[string]any, len(th.props))
	given := map[string]any{}
	if th.td != nil {
		given, _ = th.td.doc["properties"].(map[string]any)
	}
	for name, p := range th.props {
		described, ok := given[name]
		if !ok {
			m := map[string]any{"echotwin:undescribed": true, "readOnly": true}
			if p.kind != kindAny {
				m["type"] = p.kind.String()
			}
			described = m
		}
		href := root + "/properties/" + name
		read := form(href, "readproperty")
		if th.td != nil && th.td.writes[name] != nil {
			read["op"] = []string{"readproperty", "writeproperty"}
		}
		m := with(described, read, stream(href+"/sse", "observeproperty", "unobserveproperty"))
		m["observable"] = true
		props[name] = m
	}
	return props
}

func form(href, op string) map[string]any {
	return map[string]any{"href": href, "op": op, "contentType": "application/json"}
}

func stream(href string, ops ...string) map[string]any {
	return map[string]any{"href": href, "op": ops, "contentType": "application/json", "subprotocol": "sse"}
}

// with is a copy of an affordance with these forms.
func with(affordance any, forms ...map[string]any) map[string]any {
	given, _ := affordance.(map[string]any)
	m := maps.Clone(given)
	m["forms"] = forms
	return m
}

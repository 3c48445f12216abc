package hub

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
)

// frame is one frame as a client sees it.
type frame struct {
	Type      string                     `json:"type"`
	ID        json.RawMessage            `json:"id"`
	Seq       uint64                     `json:"seq"`
	Prev      uint64                     `json:"prev"`
	Merged    int                        `json:"merged"`
	Sub       string                     `json:"sub"`
	Subs      []string                   `json:"subs"`
	Epoch     string                     `json:"epoch"`
	Matched   int                        `json:"matched"`
	Hidden    int                        `json:"hidden"`
	More      bool                       `json:"more"`
	Mode      string                     `json:"mode"`
	Reason    string                     `json:"reason"`
	From      whence                     `json:"from"`
	Replay    bool                       `json:"replay"`
	Speed     float64                    `json:"speed"`
	Paused    bool                       `json:"paused"`
	TS        string                     `json:"ts"`
	Missed    int                        `json:"missed"`
	AtLeast   bool                       `json:"atLeast"`
	To        whence                     `json:"to"`
	Name      string                     `json:"name"`
	Thing     string                     `json:"thing"`
	Cmd       string                     `json:"cmd"`
	Status    string                     `json:"status"`
	Code      string                     `json:"code"`
	Message   string                     `json:"message"`
	At        string                     `json:"at"`
	Minimum   *float64                   `json:"minimum"`
	Maximum   *float64                   `json:"maximum"`
	Types     []string                   `json:"types"`
	User      string                     `json:"user"`
	Ping      int                        `json:"ping"`
	Joined    map[string][]string        `json:"joined"`
	Left      map[string][]string        `json:"left"`
	Things    map[string]json.RawMessage `json:"things"`
	Reconnect *int64                     `json:"reconnectIn"`

	raw    string
	cursor string // SSE
	event  string // SSE
}

// whence is a seq in resumed and resync, and a moment in replaying.
type whence uint64

func (w *whence) UnmarshalJSON(b []byte) error {
	if b[0] == '"' {
		return nil
	}
	return json.Unmarshal(b, (*uint64)(w))
}

func parseFrame(t testing.TB, b []byte) frame {
	t.Helper()
	var f frame
	if err := json.Unmarshal(b, &f); err != nil {
		t.Errorf("a frame that is no JSON: %v: %s", err, b)
		return frame{raw: string(b)}
	}
	f.raw = string(b)
	if n := duplicateKey(b); n != "" {
		t.Errorf("the key %s stands twice in one object: %s", n, b)
	}
	return f
}

// duplicateKey finds a name that stands twice in one object.
func duplicateKey(b []byte) string {
	d := json.NewDecoder(strings.NewReader(string(b)))
	var walk func() string
	walk = func() string {
		tok, err := d.Token()
		if err != nil {
			return ""
		}
		switch tok {
		case json.Delim('{'):
			seen := map[string]bool{}
			for d.More() {
				k, _ := d.Token()
				if seen[k.(string)] {
					return k.(string)
				}
				seen[k.(string)] = true
				if s := walk(); s != "" {
					return s
				}
			}
			d.Token()
		case json.Delim('['):
			for d.More() {
				if s := walk(); s != "" {
					return s
				}
			}
			d.Token()
		}
		return ""
	}
	return walk()
}

// A screen is what a client would show.
type screen map[string]map[string]string

func (s screen) apply(t testing.TB, f frame) {
	t.Helper()
	for id, raw := range f.Things {
		if string(raw) == "null" {
			delete(s, id)
			continue
		}
		var v struct {
			State, Set map[string]json.RawMessage
			Stale      *[]string
			Quality    *map[string]string
			Online     *string
		}
		if err := json.Unmarshal(raw, &v); err != nil {
			t.Errorf("%s: %v", raw, err)
		}
		if s[id] == nil {
			s[id] = map[string]string{}
		}
		for _, m := range []map[string]json.RawMessage{v.State, v.Set} {
			for k, x := range m {
				if f.Type == "snapshot" {
					s[id][k] = string(x)
				} else {
					s[id][k] = mergePatch(t, s[id][k], string(x))
				}
				if s[id][k] == "null" {
					delete(s[id], k)
				}
			}
		}
		if f.Type == "snapshot" || v.Stale != nil {
			delete(s[id], "*stale")
			if v.Stale != nil && len(*v.Stale) > 0 {
				s[id]["*stale"] = strings.Join(*v.Stale, ",")
			}
		}
		if f.Type == "snapshot" || v.Quality != nil {
			delete(s[id], "*quality")
			if v.Quality != nil && len(*v.Quality) > 0 {
				var list []string
				for name, word := range *v.Quality {
					list = append(list, name+"="+word)
				}
				slices.Sort(list)
				s[id]["*quality"] = strings.Join(list, ",")
			}
		}
		if v.Online != nil {
			if s[id]["*online"] = *v.Online; *v.Online == "" {
				delete(s[id], "*online")
			}
		}
	}
}

func (s screen) equal(o screen) bool { return maps.EqualFunc(s, o, maps.Equal) }

// mergePatch is RFC 7396 on the text of values.
func mergePatch(t testing.TB, target, patch string) string {
	t.Helper()
	if !strings.HasPrefix(patch, "{") {
		return patch
	}
	var was, is map[string]json.RawMessage
	if strings.HasPrefix(target, "{") {
		if err := json.Unmarshal([]byte(target), &was); err != nil {
			t.Error(err)
		}
	}
	if err := json.Unmarshal([]byte(patch), &is); err != nil {
		t.Error(err)
	}
	if was == nil {
		was = map[string]json.RawMessage{}
	}
	for k, v := range is {
		if was[k] = json.RawMessage(mergePatch(t, string(was[k]), string(v))); string(was[k]) == "null" {
			delete(was, k)
		}
	}
	b, err := json.Marshal(was)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

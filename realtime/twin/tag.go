package twin

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"echotwin/realtime"
)

// Tag says which description a thing has and, after a dash, what came besides
// that is not described: it changes whenever TD does. False when there is no
// such thing.
func (t *Twins) Tag(id string) (string, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	th := t.things[id]
	if th == nil {
		return "", false
	}
	if _, err := th.serve(""); err != nil {
		return "", false
	}
	return th.served.Load().tag, true
}

// tag is that of a description alone.
func (d *description) tag() (string, error) {
	b, err := realtime.Marshal(d.doc) // the members of a map come in the order of their names
	return hashed(b), err
}

// tagWith is the tag of a description served as something whose own tag is that.
func (d *description) tagWith(served string) (string, error) {
	tag, err := d.tag()
	return tag + "-" + served[:8], err
}

// sameTag says whether a tag that a client has, perhaps with what came besides,
// is of this description. Values that come must not keep an engineer from saving.
func sameTag(clients, tag string) bool {
	described, _, _ := strings.Cut(clients, "-")
	return described == tag
}

func hashed(parts ...[]byte) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	return hex.EncodeToString(h.Sum(nil)[:10])
}

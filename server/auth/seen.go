package auth

import (
	"context"
	"maps"
	"strings"
	"sync"
	"time"
	"unicode"
)

// A Use is when and from where a session, a token or a device's credential was
// used last, and what was refused to it last.
type Use struct {
	At      time.Time `json:"at,omitzero"` // zero: never
	Address string    `json:"address,omitempty"`
	Refused *Refusal  `json:"refused,omitempty"`
	// Nodes are those that the device is connected to, and when each said so last.
	Nodes map[string]time.Time `json:"nodes,omitempty"`
}

// A Refusal is what was not taken of a device, and why.
type Refusal struct {
	At      time.Time `json:"at"`
	Address string    `json:"address"`
	Why     string    `json:"why"`
}

const (
	// seenEvery is how often uses are written down: in between they are in memory
	// only. A crash forgets as much of them.
	seenEvery = 30 * time.Second
	// A node that has not said for so long that a device is connected to it does
	// not run any more.
	connectedFor = 3 * seenEvery

	maxSeen      = 20_000 // credentials that were used since
	maxSeenShard = 1500   // uses in one record, which the store wants below 1 MB
	maxStrangers = 1000   // names with a password that is nobody's
	maxWhy       = 200    // bytes
)

// seen remembers uses. They are many and of little worth, so they are gathered
// here and written some hundreds to a record: whatever devices send costs the
// store a few writes every seenEvery.
type seen struct {
	store                     Store
	notFound, exists, changed error
	node                      string

	mu        sync.Mutex
	new       map[seenKey]Use  // what the store has not got
	here      map[seenKey]int  // connections of devices to this node
	left      map[seenKey]bool // that have none any more, which the store has not got
	strangers map[string]Refusal
}

// A seenKey is a credential: id is the public one.
type seenKey struct {
	kind Kind
	id   string
}

// shard is the record that holds the credential's use.
func (k seenKey) shard() string { return string(k.kind) + "-" + k.id[:min(len(k.id), 1)] }

func newSeen(c Config) *seen {
	return &seen{
		store: c.Seen, notFound: c.NotFound, exists: c.Exists, changed: c.Changed, node: c.Node,
		new: map[seenKey]Use{}, here: map[seenKey]int{}, left: map[seenKey]bool{}, strangers: map[string]Refusal{},
	}
}

func (i *Identity) seenKey() seenKey { return seenKey{i.source, publicID(i.ref)} }

// Used notes that somebody showed their credential. Without an address that of
// the last time stays.
func (a *Auth) Used(i *Identity, address string) {
	if i != nil && i.ref != "" {
		a.seen.add(i.seenKey(), Use{At: time.Now(), Address: address})
	}
}

// Refused notes that something of somebody was not taken.
func (a *Auth) Refused(i *Identity, address, why string) {
	if i != nil && i.ref != "" {
		a.seen.refused(i.seenKey(), address, why)
	}
}

// Came notes that a device has connected to this node. Each has its Gone.
func (a *Auth) Came(i *Identity, address string) {
	a.Used(i, address)
	a.seen.connected(i.seenKey(), 1)
}

// Gone notes that a connection of a device has ended.
func (a *Auth) Gone(i *Identity) { a.seen.connected(i.seenKey(), -1) }

func (s *seen) add(k seenKey, u Use) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, ok := s.new[k]
	if !ok && len(s.new) >= maxSeen {
		return // of so many in half a minute some go without
	}
	s.new[k] = later(was, u)
}

func (s *seen) refused(k seenKey, address, why string) {
	s.add(k, Use{Refused: refusal(address, why)})
}

// refusal is one that is safe to keep and to show: a device may have said it.
func refusal(address, why string) *Refusal {
	why = strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(why, "?"))
	return &Refusal{time.Now().UTC(), address, clip(why, maxWhy)}
}

func (s *seen) connected(k seenKey, by int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.here[k] += by; s.here[k] <= 0 {
		delete(s.here, k)
		s.left[k] = true
	}
}

// stranger notes that somebody signed in with a device's name and a password
// that is nobody's.
func (s *seen) stranger(username, address string) {
	if checkUsername(username) != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.strangers[username]; ok || len(s.strangers) < maxStrangers {
		s.strangers[username] = *refusal(address, "somebody signed in with this name and a password that is unknown, or was revoked")
	}
}

// meet makes of strangers what is told of the credentials whose name they used.
// Other names are of no device here.
func (s *seen) meet(ctx context.Context, devices *table[Device]) error {
	s.mu.Lock()
	names := s.strangers
	s.strangers = map[string]Refusal{}
	s.mu.Unlock()
	if len(names) == 0 {
		return nil
	}
	all, err := devices.all(ctx)
	if err != nil {
		return err // so many guesses are not worth keeping
	}
	for key, d := range all {
		if r, ok := names[d.Username]; ok {
			s.add(seenKey{ByDevice, publicID(key)}, Use{Refused: &r})
		}
	}
	return nil
}

// later is the newer of two uses of one credential.
func later(a, b Use) Use {
	if b.At.Before(a.At) {
		a, b = b, a
	}
	if b.Address == "" {
		b.Address = a.Address
	}
	if b.Refused == nil || a.Refused != nil && a.Refused.At.After(b.Refused.At) {
		b.Refused = a.Refused
	}
	if len(a.Nodes) > 0 {
		nodes := maps.Clone(a.Nodes)
		for node, at := range b.Nodes {
			if at.After(nodes[node]) {
				nodes[node] = at
			}
		}
		b.Nodes = nodes
	}
	return b
}

// publicID names a record to people. It is neither the secret nor anything that
// signs in.
func publicID(key string) string { return key[:min(len(key), 16)] }

package twin

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"echotwin/realtime"
)

// The keys of commands that are forgotten. A flood of other commands must not
// make a repeated command run again, so a key outlives its command: what came of
// it is not known here any more, and is said to be in the audit.
const (
	keepKeys  = 24 * time.Hour
	userKeys  = 10_000 // of one user: one more drops their oldest, and nobody else's
	spentKeys = 20_000 // of all: one more drops the oldest of who has the most
)

// A spentKey is what is left of a command that had a key.
type spentKey struct {
	User   string `json:"user"`
	Key    string `json:"key"`
	ID     string `json:"cmd"`
	Status string `json:"status"`
	At     int64  `json:"at"` // when the command was accepted, ms since 1970
}

func (k spentKey) good(now int64) bool { return now-k.At < keepKeys.Milliseconds() }

// conflict is what a command with the key is told.
func (k spentKey) conflict() *realtime.Problem {
	return &realtime.Problem{Code: realtime.CodeConflict, At: "/key",
		Message: fmt.Sprintf("this key was used for command %s, which ended as %s; GET /api/commands/%s has it while the audit does", k.ID, k.Status, k.ID)}
}

// spent are the keys by user, each user's in the order in which their commands
// were forgotten. It follows from the log alone, so it is the same on every node.
type spent struct {
	of  map[string]*userSpent
	all int
}

type userSpent struct {
	by    map[string]spentKey
	order []string
}

// find is the spent key that a command comes with.
func (s *spent) find(c command, now int64) (spentKey, bool) {
	if c.Key == "" || s.of[c.User] == nil {
		return spentKey{}, false
	}
	k, ok := s.of[c.User].by[c.Key]
	return k, ok && k.good(now)
}

// add keeps a key, drops those of the user that are too old, and makes room.
func (s *spent) add(k spentKey, now int64) {
	if !k.good(now) {
		return
	}
	u := s.of[k.User]
	if u == nil {
		u = &userSpent{by: map[string]spentKey{}}
		if s.of == nil {
			s.of = map[string]*userSpent{}
		}
		s.of[k.User] = u
	}
	if _, had := u.by[k.Key]; had { // it had grown too old, and was used again
		u.order = slices.DeleteFunc(u.order, func(key string) bool { return key == k.Key })
		s.all--
	}
	u.by[k.Key] = k
	u.order = append(u.order, k.Key)
	s.all++
	for len(u.order) > userKeys || !u.by[u.order[0]].good(now) {
		s.drop(k.User)
	}
	if s.all > spentKeys {
		s.drop(s.richest())
	}
}

// drop forgets the oldest key of a user.
func (s *spent) drop(user string) {
	u := s.of[user]
	delete(u.by, u.order[0])
	u.order = u.order[1:]
	if s.all--; len(u.order) == 0 {
		delete(s.of, user)
	}
}

// richest is who has the most keys, the first by name of several.
func (s *spent) richest() (user string) {
	for _, name := range slices.Sorted(maps.Keys(s.of)) {
		if user == "" || len(s.of[name].order) > len(s.of[user].order) {
			user = name
		}
	}
	return user
}

// list is all of them in an order that depends on nothing else.
func (s *spent) list() (out []spentKey) {
	for _, name := range slices.Sorted(maps.Keys(s.of)) {
		for _, key := range s.of[name].order {
			out = append(out, s.of[name].by[key])
		}
	}
	return out
}

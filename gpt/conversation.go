package gpt

import (
	"container/list"
	"sync"
)

const (
	maxConversations = 200 // of all users; who has more than his part loses his own oldest
	maxOfOneUser     = 20
	maxTurns         = 20
	maxTurnBytes     = 32 << 10 // of all turns of one conversation; the oldest go first
)

// A turn is a question and what was answered.
type turn struct{ question, answer string }

type conversation struct {
	user, id string
	turns    []turn
}

// conversations keeps the last turns, so that "and the other one?" can be
// understood. A user only ever reaches his own.
type conversations struct {
	mu     sync.Mutex
	byKey  map[[2]string]*list.Element
	recent *list.List // of *conversation, the last used in front
}

func newConversations() *conversations {
	return &conversations{byKey: map[[2]string]*list.Element{}, recent: list.New()}
}

func (c *conversations) turns(user, id string) []turn {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byKey[[2]string{user, id}]
	if e == nil {
		return nil
	}
	c.recent.MoveToFront(e)
	return append([]turn(nil), e.Value.(*conversation).turns...)
}

func (c *conversations) add(user, id, question, answer string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := [2]string{user, id}
	e := c.byKey[key]
	if e == nil {
		e = c.recent.PushFront(&conversation{user: user, id: id})
		c.byKey[key] = e
		c.shrink(user)
	}
	c.recent.MoveToFront(e)
	at := e.Value.(*conversation)
	at.turns = append(at.turns, turn{question, answer})
	size := 0
	for i := len(at.turns) - 1; i >= 0; i-- {
		size += len(at.turns[i].question) + len(at.turns[i].answer)
		if len(at.turns)-i > maxTurns || size > maxTurnBytes {
			at.turns = append([]turn(nil), at.turns[i+1:]...)
			break
		}
	}
}

// shrink makes room for a new conversation of user. With mu held.
func (c *conversations) shrink(user string) {
	own := 0
	for e := c.recent.Front(); e != nil; {
		next := e.Next()
		at := e.Value.(*conversation)
		if at.user == user {
			if own++; own > maxOfOneUser {
				c.drop(e)
			}
		}
		e = next
	}
	for c.recent.Len() > maxConversations {
		c.drop(c.recent.Back())
	}
}

func (c *conversations) drop(e *list.Element) {
	at := e.Value.(*conversation)
	delete(c.byKey, [2]string{at.user, at.id})
	c.recent.Remove(e)
}

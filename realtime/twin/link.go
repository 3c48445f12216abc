package twin

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"echotwin/realtime"
)

// The relations between things that make the tree of a plant.
const (
	Contains = "contains" // the target is a part of this thing
	Feeds    = "feeds"    // what leaves this thing goes to the target
)

// maxLinks bounds the links of one thing to others.
const maxLinks = 256

// A Link leads from a thing to another one here.
type Link struct {
	Rel    string `json:"rel"`
	Target string `json:"thing"`
}

// readLinks reads the links by which things make a tree. Others are left as
// they are.
func (d *description) readLinks(doc map[string]any) *realtime.Problem {
	all, _ := doc["links"].([]any)
	for i, l := range all {
		m, _ := l.(map[string]any)
		rel, _ := m["rel"].(string)
		if rel != Contains && rel != Feeds {
			continue
		}
		place := fmt.Sprintf("/links/%d/href", i)
		href, _ := m["href"].(string)
		target, err := linked(href)
		if err != nil {
			return at(place, err)
		}
		if target == d.id {
			return at(place, fmt.Errorf("a thing does not %s itself", strings.TrimSuffix(rel, "s")))
		}
		if len(d.links) == maxLinks {
			return at(place, fmt.Errorf("a thing has at most %d links to others", maxLinks))
		}
		d.links = append(d.links, Link{rel, target})
	}
	return nil
}

// linked is the thing that a link leads to: its id, its URN, or its address on
// this or any server.
func linked(href string) (string, error) {
	if u, err := url.Parse(href); err == nil && (u.Scheme == "http" || u.Scheme == "https" || strings.HasPrefix(href, "/")) {
		href = u.Path
	}
	href = strings.TrimPrefix(strings.TrimPrefix(href, "/"), "api/things/")
	return Path(href)
}

// A Node is a thing, or a place that only the ids of things name, in the tree of
// the plant.
type Node struct {
	Path     string   `json:"path"`
	Title    string   `json:"title"`
	Thing    bool     `json:"thing"` // false of a place that has no description and no values
	Online   string   `json:"online,omitempty"`
	Feeds    []string `json:"feeds,omitempty"`
	Children []*Node  `json:"children,omitempty"`

	parent *Node
	linked bool // its parent says that it contains it
}

// Tree is all things that match accepts (nil means all) as trees, by path. A
// thing stands below the one that contains it by a link, the first by id when
// there are several, and otherwise below the one whose id is the next shorter
// part of its own. A link that would close a circle is left out.
func (t *Twins) Tree(match func(id string) bool) []*Node { return grow(t.placed(match)) }

// Under says of things whether they are one, or a place, or stand somewhere below
// it in the Tree of those that match accepts, as that is now. A thing that is
// there no more stands where its id says.
func (t *Twins) Under(top string, match func(id string) bool) func(id string) bool {
	nodes := t.placed(match)
	at := nodes[top]
	return func(id string) bool {
		for nodes[id] == nil {
			i := strings.LastIndexByte(id, '/')
			if i < 0 || id == top {
				return id == top
			}
			id = id[:i]
		}
		return at != nil && nodes[id].below(at)
	}
}

// placed are the nodes of the Tree, each with its parent.
func (t *Twins) placed(match func(id string) bool) map[string]*Node {
	nodes, links := t.nodes(match)
	for _, id := range slices.Sorted(maps.Keys(nodes)) {
		if i := strings.LastIndexByte(id, '/'); i > 0 {
			nodes[id].parent = nodes[id[:i]]
		}
	}
	for _, id := range slices.Sorted(maps.Keys(links)) {
		from := nodes[id]
		for _, l := range links[id] {
			to := nodes[l.Target]
			switch {
			case to == nil: // no such thing, or one that may not be seen
			case l.Rel == Feeds:
				from.Feeds = append(from.Feeds, l.Target)
			case !to.linked && !from.below(to):
				to.parent, to.linked = from, true
			}
		}
	}
	return nodes
}

// below says whether n is x or stands somewhere below it.
func (n *Node) below(x *Node) bool {
	for ; n != nil; n = n.parent {
		if n == x {
			return true
		}
	}
	return false
}

// nodes are the things and the places that their ids name, not yet connected,
// and the links of the things.
func (t *Twins) nodes(match func(id string) bool) (nodes map[string]*Node, links map[string][]Link) {
	nodes, links = map[string]*Node{}, map[string][]Link{}
	t.mu.RLock()
	defer t.mu.RUnlock()
	for id, th := range t.things {
		if match != nil && !match(id) {
			continue
		}
		n := &Node{Path: id, Title: th.title(), Thing: true, Online: th.online}
		nodes[id] = n
		if th.td != nil && len(th.td.links) > 0 {
			links[id] = th.td.links
		}
		for i := strings.LastIndexByte(id, '/'); i > 0; i = strings.LastIndexByte(id[:i], '/') {
			if place := id[:i]; nodes[place] == nil {
				nodes[place] = &Node{Path: place, Title: place[strings.LastIndexByte(place, '/')+1:]}
			}
		}
	}
	return nodes, links
}

// grow hangs the nodes onto their parents. A place with nothing below it is
// left out: all that it had stands elsewhere.
func grow(nodes map[string]*Node) []*Node {
	roots := []*Node{}
	for _, id := range slices.Sorted(maps.Keys(nodes)) {
		if n := nodes[id]; n.parent != nil {
			n.parent.Children = append(n.parent.Children, n)
		} else {
			roots = append(roots, n)
		}
	}
	return prune(roots)
}

func prune(list []*Node) []*Node {
	return slices.DeleteFunc(list, func(n *Node) bool {
		n.Children = prune(n.Children)
		return !n.Thing && len(n.Children) == 0
	})
}

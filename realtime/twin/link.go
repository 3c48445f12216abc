package twin

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"echotwin/realtime"
	"echotwin/realtime/tree"
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
			return at(place, realtime.Wrong("link_self", "a thing does not {rel} itself", "rel", strings.TrimSuffix(rel, "s")))
		}
		if len(d.links) == maxLinks {
			return at(place, realtime.Wrong("links_many", "a thing has at most {max} links to others", "max", maxLinks))
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
}

// Tree is all things that match accepts (nil means all) as trees, by path. A
// thing stands below the one that contains it by a link, the first by id when
// there are several, and otherwise below the one whose id is the next shorter
// part of its own. A link that would close a circle is left out.
func (t *Twins) Tree(match func(id string) bool) []*Node {
	nodes, links := t.nodes(match)
	tr := grown(links, match)
	for _, id := range slices.Sorted(maps.Keys(nodes)) {
		nodes[id].parent = nodes[tr.Parent(id)]
	}
	for id, all := range links {
		for _, l := range all {
			if l.Rel == Feeds && nodes[l.Target] != nil { // else there is no such thing, or it may not be seen
				nodes[id].Feeds = append(nodes[id].Feeds, l.Target)
			}
		}
	}
	return grow(nodes)
}

// Under says of things whether they are one, or a place, or stand somewhere below
// it in the Tree of those that match accepts, as that is now. A thing that is
// there no more stands where it would.
func (t *Twins) Under(top string, match func(id string) bool) func(id string) bool {
	tr := t.standing(match)
	return func(id string) bool { return tr.Below(id, top) }
}

// maxPatterns is how many patterns a place may stand for.
const maxPatterns = 128

// PatternsUnder are those that cover what Under says yes to, and perhaps more.
func (t *Twins) PatternsUnder(top string, match func(id string) bool) []string {
	return t.standing(match).Patterns(top, maxPatterns)
}

func (t *Twins) standing(match func(id string) bool) *tree.Tree {
	links := map[string][]Link{}
	t.mu.RLock()
	for id := range t.linking {
		links[id] = t.things[id].td.links
	}
	t.mu.RUnlock()
	return grown(links, match)
}

func grown(links map[string][]Link, match func(id string) bool) *tree.Tree {
	to := make(map[string][]string, len(links))
	for id, all := range links {
		to[id] = contained(all)
	}
	tr := tree.New(match)
	tr.LinkAll(to)
	return tr
}

// contained are the targets of the links by which a thing contains others.
func contained(links []Link) (to []string) {
	for _, l := range links {
		if l.Rel == Contains {
			to = append(to, l.Target)
		}
	}
	return to
}

// relink notes what th is linked to by its description now, and tells it when it
// contains others than before. The caller holds mu.
func (t *Twins) relink(th *thing, before *description) {
	var was, is []string
	if before != nil {
		was = contained(before.links)
	}
	delete(t.linking, th.id)
	if th.td != nil {
		if is = contained(th.td.links); len(is) > 0 {
			t.linking[th.id] = true
		}
	}
	if !slices.Equal(was, is) {
		t.linked = append(t.linked, realtime.Linked{Thing: th.id, Contains: is})
	}
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

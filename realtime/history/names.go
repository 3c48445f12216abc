package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

const (
	// maxNames bounds the strings of one property that have a number. A property
	// with more is free text and no state.
	maxNames = 1000
	// maxName bounds one of them, in bytes.
	maxName = 256
)

// names are the strings that string properties have had, each with its number.
// A number once given stays: samples hold it. They are in a file, one line for
// each, that is on disk before the first sample that needs it.
type names struct {
	path string

	mu    sync.RWMutex
	of    map[string]*dictionary // by thing and property
	fresh []nameLine             // not on disk yet
}

type dictionary struct {
	list []string
	at   map[string]int
}

// A nameLine is one line of the file. Removed takes back all names of a thing.
type nameLine struct {
	Thing    string `json:"thing"`
	Property string `json:"property,omitempty"`
	Name     string `json:"name,omitempty"`
	Removed  bool   `json:"removed,omitempty"`
}

func newNames(dir string) *names {
	return &names{path: filepath.Join(dir, "names.jsonl"), of: map[string]*dictionary{}}
}

func columnKey(thing, property string) string { return thing + "\x00" + property }

// number is the number of a string, a new one when it has none. ok is false for
// what gets none.
func (n *names) number(thing, property, name string, described []string) (v float64, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	d := n.of[columnKey(thing, property)]
	if d == nil {
		d = &dictionary{at: map[string]int{}}
		n.of[columnKey(thing, property)] = d
		// The order of the description, so that 0, 1 and 2 mean what people
		// who read it expect.
		for _, s := range described {
			n.add(d, thing, property, s)
		}
	}
	if i, ok := d.at[name]; ok {
		return float64(i), true
	}
	i, ok := n.add(d, thing, property, name)
	return float64(i), ok
}

// add is called under mu.
func (n *names) add(d *dictionary, thing, property, name string) (int, bool) {
	if i, ok := d.at[name]; ok {
		return i, true
	}
	if len(d.list) >= maxNames || len(name) > maxName {
		return 0, false
	}
	i := len(d.list)
	d.at[name] = i
	d.list = append(slices.Clip(d.list), name) // who was given the list before keeps it
	n.fresh = append(n.fresh, nameLine{Thing: thing, Property: property, Name: name})
	return i, true
}

// list is the names of a property by their numbers. Nobody writes into it.
func (n *names) list(thing, property string) []string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if d := n.of[columnKey(thing, property)]; d != nil {
		return d.list
	}
	return nil
}

// forget takes back all names of a thing.
func (n *names) forget(thing string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.drop(thing)
	n.fresh = append(n.fresh, nameLine{Thing: thing, Removed: true})
}

// drop is called under mu.
func (n *names) drop(thing string) {
	for k := range n.of {
		if len(k) > len(thing) && k[:len(thing)] == thing && k[len(thing)] == 0 {
			delete(n.of, k)
		}
	}
}

// load reads the file. A line that a kill left unfinished is cut off: no sample
// used it yet.
func (n *names) load() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.of, n.fresh = map[string]*dictionary{}, nil
	b, err := os.ReadFile(n.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	whole := bytes.LastIndexByte(b, '\n') + 1
	if whole < len(b) {
		if err := os.Truncate(n.path, int64(whole)); err != nil {
			return err
		}
	}
	at := 0
	for line := range bytes.Lines(b[:whole]) {
		at++
		var l nameLine
		if err := json.Unmarshal(line, &l); err != nil {
			return fmt.Errorf("%s, line %d: %w", n.path, at, err)
		}
		if l.Removed {
			n.drop(l.Thing)
			continue
		}
		d := n.of[columnKey(l.Thing, l.Property)]
		if d == nil {
			d = &dictionary{at: map[string]int{}}
			n.of[columnKey(l.Thing, l.Property)] = d
		}
		if _, ok := d.at[l.Name]; !ok {
			d.at[l.Name] = len(d.list)
			d.list = append(d.list, l.Name)
		}
	}
	return nil
}

// save writes the new names to disk.
func (n *names) save() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.fresh) == 0 {
		return nil
	}
	f, err := os.OpenFile(n.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	before, err := f.Seek(0, io.SeekEnd)
	w := bufio.NewWriter(f)
	e := json.NewEncoder(w)
	for _, l := range n.fresh {
		err = errors.Join(err, e.Encode(l))
	}
	if err = errors.Join(err, w.Flush(), f.Sync()); err != nil {
		// Half a line would make the next one unreadable.
		return errors.Join(err, f.Truncate(before), f.Close())
	}
	n.fresh = nil
	return f.Close()
}

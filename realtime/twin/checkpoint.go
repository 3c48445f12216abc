package twin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strconv"

	"echotwin/realtime"
)

// A checkpoint is one JSON document after the other, first a saved with only a
// seq, then things by id, then commands in their order, the keys of older ones, then alarms by id. It is cut into chunks
// wherever they are full; before each stands a line that says which it is.
const (
	checkpointVersion = 1
	maxChunk          = 256 << 10
	chunkHeader       = 256 // at most
)

// A chunkLine stands before each chunk.
type chunkLine struct {
	Version int    `json:"twins"`
	Part    int    `json:"part"`
	Of      int    `json:"of"`
	Sum     uint32 `json:"sum"` // CRC-32 of all parts together
}

// saved is one document of a checkpoint.
type saved struct {
	Seq     uint64    `json:"seq,omitempty"`
	Removed uint64    `json:"removed,omitempty"` // the newest bundle that removed a thing
	Thing   string    `json:"thing,omitempty"`
	Online  string    `json:"online,omitempty"`
	Newest  int64     `json:"newest,omitempty"`
	Marked  bool      `json:"marked,omitempty"` // marks were told once
	Silent  bool      `json:"silent,omitempty"`
	Guessed bool      `json:"guessed,omitempty"`
	Said    int64     `json:"said,omitempty"`  // presence
	Quiet   int64     `json:"quiet,omitempty"` // presence
	Props   []savedAs `json:"props,omitempty"`
	Command *command  `json:"command,omitempty"`
	Holds   bool      `json:"holds,omitempty"` // the command holds its key
	Spent   *spentKey `json:"spent,omitempty"` // a key whose command is forgotten
	Alarm   *alarm    `json:"alarm,omitempty"`
}

// savedAs is a property in a checkpoint. appendTo writes it by hand, since
// Apply waits while a checkpoint is made.
type savedAs struct {
	Name     string          `json:"n"`
	Value    json.RawMessage `json:"v"`
	TS       int64           `json:"ts"`
	At       int64           `json:"at"`
	Seq      uint64          `json:"seq"`
	Kind     string          `json:"k"`
	Bad      bool            `json:"bad"`
	BadSaid  int64           `json:"said"`
	BadQuiet int64           `json:"quiet"`
	Mean     float64         `json:"mean"`
	Gaps     int64           `json:"gaps"`
	Desired  *Desired        `json:"d"`
}

// Checkpoint is all that Restore needs to go on from seq: last values, marks,
// learnt paces, commands and alarms, in chunks of at most 256 KB. Descriptions are not
// in it. It belongs to one epoch of the log: keep it with that log.
func (t *Twins) Checkpoint() (seq uint64, chunks [][]byte) {
	t.mu.RLock()
	seq = t.seq
	all := strconv.AppendUint([]byte(`{"seq":`), seq, 10)
	all = append(strconv.AppendUint(append(all, `,"removed":`...), t.removed, 10), "}\n"...)
	for _, id := range t.ids(nil) {
		all = t.things[id].appendTo(all)
	}
	var commands []saved
	for _, id := range t.commands.order {
		c := t.commands.byID[id]
		commands = append(commands, saved{Command: c, Holds: c.Key != "" && t.commands.keys[c.owner()] == id})
	}
	for _, k := range t.commands.spent.list() {
		commands = append(commands, saved{Spent: &k})
	}
	for _, al := range t.alarms.sorted() {
		commands = append(commands, saved{Alarm: al})
	}
	t.mu.RUnlock()
	for _, c := range commands {
		if b, err := json.Marshal(c); err == nil { // its parts came from JSON
			all = append(append(all, b...), '\n')
		}
	}
	return seq, cut(all)
}

// cut makes chunks of a checkpoint.
func cut(all []byte) [][]byte {
	const room = maxChunk - chunkHeader
	sum := crc32.ChecksumIEEE(all)
	of := (len(all) + room - 1) / room
	chunks := make([][]byte, 0, of)
	for part := range slices.Chunk(all, room) {
		head := fmt.Sprintf(`{"twins":%d,"part":%d,"of":%d,"sum":%d}`+"\n", checkpointVersion, len(chunks), of, sum)
		chunks = append(chunks, append([]byte(head), part...))
	}
	return chunks
}

// join puts the chunks of one checkpoint together.
func join(chunks [][]byte) ([]byte, error) {
	var all []byte
	var sum uint32
	for i, c := range chunks {
		line, part, _ := bytes.Cut(c, []byte("\n"))
		var h chunkLine
		if err := json.Unmarshal(line, &h); err != nil {
			return nil, fmt.Errorf("chunk %d: %w", i, err)
		}
		switch {
		case h.Version != checkpointVersion:
			return nil, fmt.Errorf("chunk %d is of version %d, this program reads %d", i, h.Version, checkpointVersion)
		case h.Part != i || h.Of != len(chunks) || i > 0 && h.Sum != sum:
			return nil, fmt.Errorf("chunk %d of %d is part %d of %d of some checkpoint", i, len(chunks), h.Part, h.Of)
		}
		sum = h.Sum
		all = append(all, part...)
	}
	if len(chunks) == 0 || crc32.ChecksumIEEE(all) != sum {
		return nil, errors.New("the checkpoint is not complete")
	}
	return all, nil
}

// Restore takes over a checkpoint, before the first Apply, and tells what it
// brought back; Apply goes on from seq. With an error nothing has changed, and
// the whole log must be applied. Values that are too old by now are stale at
// once. Describe may come before or after.
func (t *Twins) Restore(chunks [][]byte) (seq uint64, err error) {
	all, err := join(chunks)
	if err != nil {
		return 0, fmt.Errorf("restoring twins: %w", err)
	}
	var docs []saved
	for d := json.NewDecoder(bytes.NewReader(all)); ; {
		var s saved
		if err := d.Decode(&s); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return 0, fmt.Errorf("restoring twins: %w", err)
		}
		docs = append(docs, s)
	}
	t.turn.Lock()
	defer t.turn.Unlock()
	t.mu.Lock()
	if t.seq > 0 {
		t.mu.Unlock()
		return 0, fmt.Errorf("restoring twins: bundle %d is applied already", t.seq)
	}
	for _, s := range docs {
		t.restore(s)
	}
	seq = t.seq
	t.mu.Unlock()
	t.tellAll()
	return seq, nil
}

func (t *Twins) restore(s saved) {
	t.seq, t.removed = max(t.seq, s.Seq), max(t.removed, s.Removed)
	if c := s.Command; c != nil && t.commands.byID[c.ID] == nil {
		t.commands.set(c)
		t.commands.order = append(t.commands.order, c.ID)
		if s.Holds {
			t.commands.keys[c.owner()] = c.ID
		}
		t.commands.forget(c.TS.UnixMilli())
	}
	if k := s.Spent; k != nil {
		t.commands.spent.add(*k, k.At)
	}
	if s.Alarm != nil {
		t.alarms.restore(s.Alarm)
	}
	if s.Thing == "" {
		return
	}
	th := t.thing(s.Thing)
	if th == nil {
		t.stats.Refused += uint64(len(s.Props))
		return
	}
	th.online, th.newest, th.wasMarked = s.Online, s.Newest, s.Marked
	th.silent, th.guessed, th.presenceSaid, th.presenceQuiet = s.Silent, s.Guessed, s.Said, s.Quiet
	t.looks(th)
	now := t.cfg.Now().UnixMilli()
	for _, sp := range s.Props {
		p := th.props[sp.Name]
		if p == nil {
			p = &property{name: sp.Name}
			th.props[sp.Name] = p
			t.watchProperty(th, p)
		}
		p.restore(sp)
		t.aging(th, p, now)
	}
	th.counted()
	t.lookAll(th)
}

func (p *property) restore(s savedAs) {
	p.value, p.ts, p.at, p.seq = s.Value, s.TS, s.At, s.Seq
	p.kind, p.bad, p.badSaid, p.badQuiet = kindNamed(s.Kind), s.Bad, s.BadSaid, s.BadQuiet
	p.pace, p.desired = pace{mean: s.Mean, n: s.Gaps}, s.Desired
	p.judge()
}

// appendTo writes the thing as a saved. One that never said anything has
// nothing to restore.
func (th *thing) appendTo(b []byte) []byte {
	names := make([]string, 0, len(th.props))
	for name, p := range th.props {
		if p.value != nil || p.bad || p.desired != nil {
			names = append(names, name)
		}
	}
	if len(names) == 0 && th.online == "" && !th.wasMarked && th.td != nil {
		return b
	}
	slices.Sort(names)
	b = quote(append(b, `{"thing":`...), th.id)
	b = quote(append(b, `,"online":`...), th.online)
	b = strconv.AppendInt(append(b, `,"newest":`...), th.newest, 10)
	if th.wasMarked {
		b = append(b, `,"marked":true`...)
	}
	if th.silent {
		b = append(b, `,"silent":true`...)
	}
	if th.guessed {
		b = append(b, `,"guessed":true`...)
	}
	if th.presenceSaid != 0 {
		b = strconv.AppendInt(append(b, `,"said":`...), th.presenceSaid, 10)
	}
	if th.presenceQuiet != 0 {
		b = strconv.AppendInt(append(b, `,"quiet":`...), th.presenceQuiet, 10)
	}
	b = append(b, `,"props":[`...)
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = th.props[name].appendTo(b)
	}
	return append(b, "]}\n"...)
}

func (p *property) appendTo(b []byte) []byte {
	r := p.lasting()
	b = quote(append(b, `{"n":`...), p.name)
	if r.value != nil {
		b = append(append(b, `,"v":`...), r.value...)
	}
	b = strconv.AppendInt(append(b, `,"ts":`...), r.ts, 10)
	b = strconv.AppendInt(append(b, `,"at":`...), r.at, 10)
	b = strconv.AppendUint(append(b, `,"seq":`...), r.seq, 10)
	if p.kind != kindAny {
		b = quote(append(b, `,"k":`...), p.kind.String())
	}
	if p.bad {
		b = append(b, `,"bad":true`...)
	}
	if p.badSaid != 0 {
		b = strconv.AppendInt(append(b, `,"said":`...), p.badSaid, 10)
	}
	if p.badQuiet != 0 {
		b = strconv.AppendInt(append(b, `,"quiet":`...), p.badQuiet, 10)
	}
	if p.pace.n != 0 {
		b = strconv.AppendFloat(append(b, `,"mean":`...), p.pace.mean, 'g', -1, 64)
		b = strconv.AppendInt(append(b, `,"gaps":`...), p.pace.n, 10)
	}
	if p.desired != nil {
		if d, err := json.Marshal(p.desired); err == nil { // its value came from JSON
			b = append(append(b, `,"d":`...), d...)
		}
	}
	return append(b, '}')
}

// quote appends s as a JSON string.
func quote(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			q, err := json.Marshal(s)
			if err != nil { // a string never fails
				return append(b, `""`...)
			}
			return append(b, q...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// everything is an update that tells all values and marks. The caller holds mu.
func (t *Twins) everything() realtime.Update {
	u := realtime.Update{Seq: t.seq}
	for _, id := range t.ids(nil) {
		th := t.things[id]
		c := realtime.Change{Thing: id, TS: stamp(th.newest)}
		for _, p := range th.props {
			if p.value != nil {
				c.Values = append(c.Values, realtime.Value{Name: p.name, JSON: p.value})
				c.Seqs = append(c.Seqs, p.seq)
			}
		}
		if m := th.marks(); th.wasMarked || len(m.Stale) > 0 || len(m.Quality) > 0 || len(m.Desired) > 0 || m.Online != "" {
			c.Marks = m
		}
		if len(c.Values) > 0 || c.Marks != nil {
			u.Changes = append(u.Changes, c)
		}
		if t.linking[id] {
			u.Linked = append(u.Linked, realtime.Linked{Thing: id, Contains: contained(th.td.links)})
		}
	}
	return u
}

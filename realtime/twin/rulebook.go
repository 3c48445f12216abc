package twin

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"echotwin/realtime"
)

// A RuleStore keeps one document, on disk and for all nodes.
type RuleStore interface {
	GetRevision(ctx context.Context, key string) ([]byte, uint64, error)
	Create(ctx context.Context, key string, value []byte) (revision uint64, err error)
	Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
	Watch(ctx context.Context, fn func(key string, value []byte)) error
}

// rulesKey is the one key of the store: rules are few and changed together with
// their number, and its revision puts all changes into one order.
const rulesKey = "rules"

// RulebookConfig is what a Rulebook needs from outside.
type RulebookConfig struct {
	Twins   *Twins
	Store   RuleStore
	Changed error // what Store.Update answers when another was first
	Exists  error // what Store.Create answers
	Missing error // what Store.GetRevision answers

	// Check says what is wrong with a PromQL expression. nil refuses all.
	Check  func(promql string) error
	Now    func() time.Time // nil means time.Now
	Logger *slog.Logger     // nil means slog.Default()
}

// A Rulebook is the alarm rules by the API. Every node follows the store; two who
// write at once are put in order, on one node or on two.
type Rulebook struct {
	cfg RulebookConfig

	trying chan struct{} // holds one: an expression that is tried, at a time

	mu   sync.Mutex // one write at a time on this node
	take sync.Mutex // guards what is below, and that it is taken in order
	set  *ruleSet
}

// NewRulebook returns a Rulebook that knows nothing yet.
func NewRulebook(cfg RulebookConfig) *Rulebook {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Rulebook{cfg: cfg, trying: make(chan struct{}, 1), set: newRuleSet(0, nil)}
}

// A storedRule is one rule in the store.
type storedRule struct {
	Rule    json.RawMessage `json:"rule"`
	By      string          `json:"by,omitempty"`
	Changed int64           `json:"changed"` // ms
}

// Load takes what the store has.
func (b *Rulebook) Load(ctx context.Context) error {
	if err := b.refresh(ctx); err != nil {
		return fmt.Errorf("reading the alarm rules: %w", err)
	}
	return nil
}

// Run follows what other nodes change until ctx ends.
func (b *Rulebook) Run(ctx context.Context) error {
	return b.cfg.Store.Watch(ctx, func(string, []byte) {
		if err := b.refresh(ctx); err != nil && ctx.Err() == nil {
			b.cfg.Logger.Error("the alarm rules were changed and cannot be read", "error", err)
		}
	})
}

func (b *Rulebook) refresh(ctx context.Context) error {
	all, revision, err := b.read(ctx)
	if err == nil {
		b.apply(all, revision)
	}
	return err
}

// read is what the store has; the first time that is made.
func (b *Rulebook) read(ctx context.Context) (all map[string]storedRule, revision uint64, err error) {
	text, revision, err := b.cfg.Store.GetRevision(ctx, rulesKey)
	if errors.Is(err, b.cfg.Missing) {
		if _, err = b.cfg.Store.Create(ctx, rulesKey, []byte("{}")); err == nil || errors.Is(err, b.cfg.Exists) {
			text, revision, err = b.cfg.Store.GetRevision(ctx, rulesKey)
		}
	}
	if err != nil {
		return nil, 0, err
	}
	all = map[string]storedRule{}
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, 0, fmt.Errorf("the alarm rules in the store: %w", err)
	}
	return all, revision, nil
}

// apply makes the rules of a revision those that count, unless newer ones do. A
// rule that the program does not understand is reported and keeps none out.
func (b *Rulebook) apply(all map[string]storedRule, revision uint64) {
	b.take.Lock()
	defer b.take.Unlock()
	if revision <= b.set.version {
		return
	}
	rules := make(map[string]*rule, len(all))
	for id, s := range all {
		if old := b.set.byID[id]; old != nil && old.changed == s.Changed && old.raw == string(s.Rule) {
			rules[id] = old // with what it knows of its evaluation
			continue
		}
		// What passed once was right then, so history need not be there to check it.
		r, problem := parseRule(id, s.Rule, func(string) error { return nil })
		if problem != nil {
			b.cfg.Logger.Error("an alarm rule in the store was not taken", "rule", id, "error", problem)
			continue
		}
		r.raw = string(s.Rule)
		r.since(s.By, s.Changed)
		rules[id] = r
	}
	b.set = newRuleSet(revision, rules)
	b.cfg.Twins.setRules(b.set)
}

// since notes who wrote the rule and when.
func (r *rule) since(by string, changed int64) {
	r.by, r.changed = by, changed
	for _, a := range r.kinds {
		if a != nil {
			a.from = changed
		}
	}
}

func (b *Rulebook) now() *ruleSet {
	b.take.Lock()
	defer b.take.Unlock()
	return b.set
}

// List is all rules, by id.
func (b *Rulebook) List() []Rule {
	set := b.now()
	stands := b.cfg.Twins.ruleStatus()
	out := make([]Rule, 0, len(set.byID))
	for _, id := range slices.Sorted(maps.Keys(set.byID)) {
		out = append(out, set.byID[id].answer(stands))
	}
	return out
}

// Rule is one rule; false when there is none with that id.
func (b *Rulebook) Rule(id string) (Rule, bool) {
	r := b.now().byID[id]
	if r == nil {
		return Rule{}, false
	}
	return r.answer(b.cfg.Twins.ruleStatus()), true
}

func (r *rule) answer(stands map[string]RuleStatus) Rule {
	return Rule{ID: r.id, Tag: r.tag, Pattern: r.pattern, Asks: r.expr != nil, Others: r.others, doc: r.doc, by: r.by, changed: r.changed, status: stands[r.id]}
}

// A RuleChange is what somebody wants to write.
type RuleChange struct {
	By    string
	Match Match
	// May says whether they may write such a rule, as it was and as it will be.
	May func(Rule) error
}

// Put writes a rule. With an empty id it is a new one, whose id is in the
// document or made here. It says whether there was none before.
func (b *Rulebook) Put(ctx context.Context, id string, doc []byte, c RuleChange) (Rule, bool, error) {
	if id == "" {
		var named struct {
			ID string `json:"id"`
		}
		_ = json.Unmarshal(doc, &named) // whatever is wrong is said with its place when it is read
		id = named.ID
		if id == "" {
			id = "rule-" + strings.ToLower(rand.Text()[:8])
		}
	}
	return b.change(ctx, id, c, func(*rule) ([]byte, error) { return doc, nil })
}

// Patch changes a rule by a JSON Merge Patch.
func (b *Rulebook) Patch(ctx context.Context, id string, patch []byte, c RuleChange) (Rule, error) {
	p, problem := readPatch(patch, "rule")
	if problem != nil {
		return Rule{}, problem
	}
	r, _, err := b.change(ctx, id, c, func(old *rule) ([]byte, error) {
		if old == nil {
			return nil, noRule(id)
		}
		return patchedBy(p, old.doc)
	})
	return r, err
}

// Remove takes a rule away. Its alarms are cleared, and say why.
func (b *Rulebook) Remove(ctx context.Context, id string, c RuleChange) error {
	_, _, err := b.change(ctx, id, c, func(old *rule) ([]byte, error) {
		if old == nil {
			return nil, noRule(id)
		}
		return nil, nil
	})
	return err
}

func noRule(id string) error {
	return realtime.Wrong("no_rule", "there is no alarm rule {rule}", "rule", clip(id)).Of(realtime.CodeNotFound)
}

// change replaces a rule by what next makes of it; nil removes it.
func (b *Rulebook) change(ctx context.Context, id string, c RuleChange, next func(old *rule) ([]byte, error)) (r Rule, created bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	lost := func(err error) bool { return errors.Is(err, b.cfg.Changed) }
	err = realtime.PastRivals(ctx, lost, func() error {
		r, created, err = b.try(ctx, id, c, next)
		return err
	})
	if lost(err) {
		return Rule{}, false, realtime.Wrong("rules_busy", "others change the rules all the time; try again").Of(realtime.CodeConflict)
	}
	return r, created, err
}

func (b *Rulebook) try(ctx context.Context, id string, c RuleChange, next func(old *rule) ([]byte, error)) (Rule, bool, error) {
	all, revision, err := b.read(ctx)
	if err != nil {
		return Rule{}, false, err
	}
	b.apply(all, revision)
	old := b.now().byID[id]
	if err := c.check(old); err != nil {
		return Rule{}, false, err
	}
	doc, err := next(old)
	if err != nil {
		return Rule{}, false, err
	}
	var r *rule
	if doc == nil {
		delete(all, id)
	} else {
		var problem *realtime.Problem
		if r, problem = parseRule(id, doc, b.cfg.Check); problem != nil {
			return Rule{}, false, problem
		}
		r.since(c.By, b.cfg.Now().UnixMilli())
		if err := c.may(r); err != nil {
			return Rule{}, false, err
		}
		text, err := realtime.Marshal(r.doc)
		if err != nil {
			return Rule{}, false, err
		}
		all[id] = storedRule{text, r.by, r.changed}
	}
	text, err := realtime.Marshal(all)
	if err != nil {
		return Rule{}, false, err
	}
	if err := roomForRules(all, len(text), r); err != nil {
		return Rule{}, false, err
	}
	if revision, err = b.cfg.Store.Update(ctx, rulesKey, text, revision); err != nil {
		return Rule{}, false, err
	}
	b.apply(all, revision)
	if r == nil {
		return Rule{}, false, nil
	}
	return r.answer(b.cfg.Twins.ruleStatus()), old == nil, nil
}

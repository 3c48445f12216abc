package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// flush writes what is new into the store. What cannot be written is kept for
// the next time.
func (s *seen) flush(ctx context.Context) error {
	now := time.Now().UTC().Truncate(time.Millisecond)
	s.mu.Lock()
	taken, left := s.new, s.left
	s.new, s.left = map[seenKey]Use{}, map[seenKey]bool{}
	for k := range s.here {
		delete(left, k)
		u := taken[k]
		u.Nodes = map[string]time.Time{s.node: now}
		taken[k] = u
	}
	s.mu.Unlock()
	shards := map[string][]seenKey{}
	for k := range taken {
		shards[k.shard()] = append(shards[k.shard()], k)
	}
	for k := range left {
		if _, ok := taken[k]; !ok {
			shards[k.shard()] = append(shards[k.shard()], k)
		}
	}
	var failed []error
	for shard, keys := range shards {
		err := s.change(ctx, shard, func(m map[string]Use) bool {
			for _, k := range keys {
				u := later(m[k.id], taken[k])
				u.At = u.At.UTC().Truncate(time.Millisecond)
				if left[k] {
					delete(u.Nodes, s.node)
				}
				maps.DeleteFunc(u.Nodes, func(_ string, at time.Time) bool { return now.Sub(at) > connectedFor })
				m[k.id] = u
			}
			return true
		})
		if err == nil {
			continue
		}
		failed = append(failed, err)
		for _, k := range keys {
			if u, ok := taken[k]; ok {
				s.add(k, u)
			}
		}
		s.mu.Lock()
		for _, k := range keys {
			if left[k] && s.here[k] == 0 {
				s.left[k] = true
			}
		}
		s.mu.Unlock()
	}
	return errors.Join(failed...)
}

// change has f change a record, which other nodes write, too; false leaves it.
func (s *seen) change(ctx context.Context, shard string, f func(map[string]Use) bool) error {
	return again(ctx, func() error {
		m, revision, err := s.read(ctx, shard)
		if err != nil && !errors.Is(err, s.notFound) {
			return err
		}
		missing := err != nil
		if !f(m) {
			return nil
		}
		forgetOldest(m)
		b, err := json.Marshal(m)
		if err != nil {
			return err
		}
		if missing {
			_, err = s.store.Create(ctx, shard, b)
		} else {
			_, err = s.store.Update(ctx, shard, b, revision)
		}
		if errors.Is(err, s.exists) || errors.Is(err, s.changed) {
			return ErrChanged
		}
		return err
	})
}

// forgetOldest keeps a record to its bound.
func forgetOldest(m map[string]Use) {
	if len(m) <= maxSeenShard {
		return
	}
	ids := slices.SortedFunc(maps.Keys(m), func(a, b string) int { return m[a].At.Compare(m[b].At) })
	for _, id := range ids[:len(m)-maxSeenShard] {
		delete(m, id)
	}
}

func (s *seen) read(ctx context.Context, shard string) (map[string]Use, uint64, error) {
	m := map[string]Use{}
	b, revision, err := s.store.GetRevision(ctx, shard)
	if err != nil {
		return m, 0, err
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, 0, fmt.Errorf("record %q: %w", shard, err)
	}
	return m, revision, nil
}

// Uses are the last uses of one kind of credentials, by their public ids. Of
// Nodes only those are in it that the device is connected to now.
func (a *Auth) Uses(ctx context.Context, kind Kind) (map[string]Use, error) {
	s := a.seen
	if kind == ByDevice {
		if err := s.meet(ctx, a.devices); err != nil {
			return nil, err
		}
	}
	records, err := s.store.All(ctx)
	if err != nil {
		return nil, err
	}
	all := map[string]Use{}
	for shard, b := range records {
		if !strings.HasPrefix(shard, string(kind)+"-") {
			continue
		}
		m := map[string]Use{}
		if err := json.Unmarshal(b, &m); err != nil {
			return nil, fmt.Errorf("record %q: %w", shard, err)
		}
		maps.Copy(all, m)
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, u := range s.new {
		if k.kind == kind {
			all[k.id] = later(all[k.id], u)
		}
	}
	for id, u := range all {
		maps.DeleteFunc(u.Nodes, func(node string, at time.Time) bool { return node == s.node || now.Sub(at) > connectedFor })
		if s.here[seenKey{kind, id}] > 0 {
			if u.Nodes == nil {
				u.Nodes = map[string]time.Time{}
			}
			u.Nodes[s.node] = now
			all[id] = u
		}
	}
	return all, nil
}

// forget drops the uses of credentials that are no more.
func (s *seen) forget(ctx context.Context, kind Kind, is func(id string) bool) error {
	all, err := s.store.All(ctx)
	if err != nil {
		return err
	}
	for shard := range all {
		if !strings.HasPrefix(shard, string(kind)+"-") {
			continue
		}
		err := s.change(ctx, shard, func(m map[string]Use) bool {
			had := len(m)
			maps.DeleteFunc(m, func(id string, _ Use) bool { return !is(id) })
			return len(m) < had
		})
		if err != nil {
			return err
		}
	}
	return nil
}

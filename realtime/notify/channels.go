package notify

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"echotwin/realtime"
)

// List is all channels, the oldest first.
func (n *Notify) List(ctx context.Context) ([]Channel, error) {
	all, err := n.cfg.Channels.All(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]Channel, 0, len(all))
	for key, value := range all {
		var k kept
		if len(value) > 0 && json.Unmarshal(value, &k) == nil && k.ID == key {
			out = append(out, k.public())
		}
	}
	slices.SortFunc(out, func(a, b Channel) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out, nil
}

// Get is one channel.
func (n *Notify) Get(ctx context.Context, key string) (Channel, error) {
	k, _, err := n.read(ctx, key)
	if err != nil {
		return Channel{}, err
	}
	return k.public(), nil
}

func (n *Notify) read(ctx context.Context, key string) (*kept, uint64, error) {
	value, revision, err := n.cfg.Channels.GetRevision(ctx, key)
	if errors.Is(err, n.cfg.Missing) || err == nil && len(value) == 0 {
		return nil, 0, realtime.Wrong("no_channel", "there is no channel {channel}", "channel", clip(key, 80)).Of(realtime.CodeNotFound)
	}
	if err != nil {
		return nil, 0, err
	}
	k := &kept{}
	if err := json.Unmarshal(value, k); err != nil {
		return nil, 0, fmt.Errorf("notify: the channel %s: %w", key, err)
	}
	return k, revision, nil
}

// there says whether a channel is in the store.
func (n *Notify) there(ctx context.Context, key string) (bool, error) {
	_, _, err := n.read(ctx, key)
	var p *realtime.Problem
	if errors.As(err, &p) && p.Code == realtime.CodeNotFound {
		return false, nil
	}
	return err == nil, err
}

// Add makes a channel. The answer is the only one with its secret.
func (n *Notify) Add(ctx context.Context, by string, d Draft) (Channel, error) {
	n.change.Lock()
	defer n.change.Unlock()
	now := n.now()
	k := &kept{Channel: Channel{ID: strings.ToLower(rand.Text()[:12]), Created: now, Changed: now, By: by}}
	if _, err := k.fill(&d, now); err != nil {
		return Channel{}, err
	}
	if err := n.can(k); err != nil {
		return Channel{}, err
	}
	all, err := n.cfg.Channels.All(ctx)
	if err != nil {
		return Channel{}, err
	}
	if len(all) >= maxChannels {
		return Channel{}, realtime.Wrong("channels_many", "there are {max} channels already", "max", maxChannels).Of(realtime.CodeConflict)
	}
	value, err := json.Marshal(k)
	if err != nil {
		return Channel{}, err
	}
	// It begins with what comes from now on.
	if err := n.start(ctx, k); err != nil {
		return Channel{}, err
	}
	if _, err := n.cfg.Channels.Create(ctx, k.ID, value); err != nil {
		return Channel{}, err
	}
	n.take(k.ID, k)
	return k.Channel, nil
}

// can says whether this server can send what a channel wants.
func (n *Notify) can(k *kept) error {
	if n.senders[k.Kind] == nil {
		return &realtime.Problem{Code: realtime.CodeConflict, At: "/kind", Message: noMail, Reason: "no_mail"}
	}
	return nil
}

// start makes the state of a new channel.
func (n *Notify) start(ctx context.Context, k *kept) error {
	s := state{}
	if k.Enabled {
		end, err := n.cfg.Facts.End(ctx)
		if err != nil {
			return err
		}
		s.Cursor, s.Moved = end, n.now()
	}
	value, err := json.Marshal(&s)
	if err != nil {
		return err
	}
	_, err = n.cfg.States.Create(ctx, k.ID, value)
	return err
}

// Put replaces a channel. The answer has a secret when it is a new one.
func (n *Notify) Put(ctx context.Context, by, key string, d Draft) (Channel, error) {
	var fresh bool
	k, err := n.edit(ctx, key, func(k *kept) (err error) {
		k.By = by
		if fresh, err = k.fill(&d, n.now()); err == nil {
			err = n.can(k)
		}
		return err
	})
	if err != nil {
		return Channel{}, err
	}
	if fresh {
		return k.Channel, nil
	}
	return k.public(), nil
}

// edit changes a channel by fn, on top of what others write meanwhile.
func (n *Notify) edit(ctx context.Context, key string, fn func(k *kept) error) (k *kept, err error) {
	n.change.Lock()
	defer n.change.Unlock()
	err = realtime.PastRivals(ctx, n.lost, func() error {
		k, err = n.try(ctx, key, fn)
		return err
	})
	if n.lost(err) {
		err = realtime.Wrong("channel_busy", "others change this channel all the time; try again").Of(realtime.CodeConflict)
	}
	return k, err
}

// lost says that another node was first.
func (n *Notify) lost(err error) bool { return errors.Is(err, n.cfg.Changed) }

func (n *Notify) try(ctx context.Context, key string, fn func(k *kept) error) (*kept, error) {
	k, revision, err := n.read(ctx, key)
	if err != nil {
		return nil, err
	}
	was := k.Changed
	if err := fn(k); err != nil {
		return nil, err
	}
	if k.Changed = n.now(); !k.Changed.After(was) {
		k.Changed = was.Add(time.Millisecond)
	}
	value, err := json.Marshal(k)
	if err != nil {
		return nil, err
	}
	if _, err := n.cfg.Channels.Update(ctx, key, value, revision); err != nil {
		return nil, err
	}
	n.take(key, k)
	return k, nil
}

// Remove takes a channel away, with what it has waiting.
func (n *Notify) Remove(ctx context.Context, key string) error {
	n.change.Lock()
	defer n.change.Unlock()
	if _, _, err := n.read(ctx, key); err != nil {
		return err
	}
	if err := n.cfg.Channels.Delete(ctx, key); err != nil {
		return err
	}
	n.take(key, nil)
	return n.cfg.States.Delete(ctx, key)
}

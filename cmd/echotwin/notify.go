package main

import (
	"context"
	"crypto/rand"

	"github.com/prometheus/client_golang/prometheus"

	"echotwin/realtime"
	"echotwin/realtime/bus"
	"echotwin/realtime/notify"
)

// openNotify makes what tells others of alarms.
func (s *stages) openNotify(ctx context.Context) error {
	channels, err := s.bus.Bucket(ctx, "notify")
	if err != nil {
		return err
	}
	states, err := s.bus.Bucket(ctx, "notify-state")
	if err != nil {
		return err
	}
	mailer, err := s.cfg.mailer()
	if err != nil {
		return err
	}
	node := "alone" // the next process of this folder is the same
	if s.cfg.Nats != "" {
		node = rand.Text()
	}
	s.notify = notify.New(notify.Config{
		Channels: channels, States: states, Facts: s.facts, Changed: bus.ErrChanged, Exists: bus.ErrExists, Missing: bus.ErrNotFound,
		Node: node, Public: s.cfg.PublicURL, Mail: mailer, Logger: s.log,
	})
	return nil
}

// alarmed lets the channels look when there is a step of an alarm.
func (s *stages) alarmed(u realtime.Update) {
	for _, f := range u.Facts {
		if f.Type == "alarm" {
			s.notify.Alarmed(u.Seq)
			return
		}
	}
}

func (s *stages) collectNotify(ch chan<- prometheus.Metric) {
	n := s.notify.Stats()
	metric(ch, gauge, "notify_channels", "Channels that tell others of alarms.", float64(n.Channels))
	metric(ch, gauge, "notify_enabled_channels", "Of them, those that are not disabled.", float64(n.Enabled))
	metric(ch, gauge, "notify_waiting", "Messages that are not delivered yet, of all nodes.", float64(n.Waiting))
	metric(ch, counter, "notify_steps_total", "Steps of alarms that this node made messages of.", float64(n.Steps))
	metric(ch, counter, "notify_folded_steps_total", "Of them, those that were too many for messages of their own.", float64(n.Folded))
	metric(ch, counter, "notify_lost_total", "Times that facts were dropped before a channel had read them.", float64(n.Lost))
	metric(ch, counter, "notify_disabled_total", "Channels that were disabled because their receiver wants no more.", float64(n.Disabled))
	by(ch, counter, "notify_messages_total", "Messages that this node is through with.", "status", map[string]uint64{notify.Delivered: n.Delivered, notify.Failed: n.Failed})
	attempts := prometheus.NewDesc("echotwin_notify_attempts_total", "Attempts of this node to deliver a message.", []string{"kind", "result"}, nil)
	for kind, tries := range n.Attempts {
		ch <- prometheus.MustNewConstMetric(attempts, counter, float64(tries.Good), kind, "ok")
		ch <- prometheus.MustNewConstMetric(attempts, counter, float64(tries.Bad), kind, "failed")
	}
}

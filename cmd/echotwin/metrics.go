package main

import (
	"github.com/prometheus/client_golang/prometheus"
)

// A collector turns the counters of the stages into metrics when they are
// asked for, so that counting costs a stage no more than its own counter.
type collector func(chan<- prometheus.Metric)

// Describe sends nothing: which metrics there are is known when they are collected.
func (c collector) Describe(chan<- *prometheus.Desc)    {}
func (c collector) Collect(ch chan<- prometheus.Metric) { c(ch) }

func metric(ch chan<- prometheus.Metric, kind prometheus.ValueType, name, help string, v float64) {
	ch <- prometheus.MustNewConstMetric(prometheus.NewDesc("echotwin_"+name, help, nil, nil), kind, v)
}

func by[K ~string](ch chan<- prometheus.Metric, kind prometheus.ValueType, name, help, label string, vs map[K]uint64) {
	d := prometheus.NewDesc("echotwin_"+name, help, []string{label}, nil)
	for k, v := range vs {
		ch <- prometheus.MustNewConstMetric(d, kind, float64(v), string(k))
	}
}

// register adds everything that the stages count to /metrics (P10).
func (s *stages) register(r *prometheus.Registry) {
	r.MustRegister(s.hub.Collector(), collector(s.collectLine), collector(s.collectDoor), collector(s.collectHistory), collector(s.collectNotify))
}

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

func (s *stages) collectLine(ch chan<- prometheus.Metric) {
	b, in, tw := s.bus.Stats(), s.ingest.Stats(), s.twins.Stats()
	metric(ch, gauge, "bus_messages", "Bundles that the log keeps.", float64(b.Messages))
	metric(ch, gauge, "bus_bytes", "Bytes that the log takes on disk.", float64(b.Bytes))
	storing := 1.0
	if s.fault() != nil {
		storing = 0
	}
	metric(ch, gauge, "storing", "1 while what comes can be stored and acknowledged.", storing)
	metric(ch, gauge, "bus_segments", "Segments of the log.", float64(b.Segments))
	metric(ch, gauge, "bus_held_bundles", "Bundles that a reader of the log has not had yet.", float64(b.Held))
	metric(ch, gauge, "bus_last_seq", "Newest sequence number of the log.", float64(b.Last))

	f := s.facts.Stats()
	metric(ch, gauge, "facts_messages", "Facts that are kept.", float64(f.Messages))
	metric(ch, gauge, "facts_bytes", "Bytes that they take on disk.", float64(f.Bytes))
	metric(ch, gauge, "facts_waiting", "Facts of the log that are not stored once more yet.", float64(f.Waiting))
	metric(ch, gauge, "facts_stored_seq", "The bundle of the log up to which all facts are.", float64(f.Stored))
	metric(ch, counter, "facts_written_total", "Facts that this node stored.", float64(f.Written))
	metric(ch, counter, "facts_races_total", "Times that another node was first to store a fact.", float64(f.Races))

	metric(ch, counter, "ingest_readings_total", "Samples that are stored.", float64(in.Readings))
	metric(ch, counter, "ingest_values_total", "Property values in them.", float64(in.Values))
	metric(ch, counter, "ingest_facts_total", "Events, statuses, results and commands that are stored.", float64(in.Facts))
	metric(ch, counter, "ingest_clamped_total", "Stored samples whose time was in the future.", float64(in.Clamped))
	metric(ch, counter, "ingest_rejected_total", "Problems that senders were told of.", float64(in.Rejected))
	metric(ch, counter, "ingest_lost_total", "Samples and facts that the log did not confirm.", float64(in.Lost))
	metric(ch, counter, "ingest_bundles_total", "Writes to the log.", float64(in.Bundles))
	metric(ch, counter, "ingest_failures_total", "Writes to the log that failed.", float64(in.Failures))
	metric(ch, counter, "ingest_bytes_total", "Bytes written to the log.", float64(in.Bytes))
	metric(ch, counter, "ingest_commit_seconds_total", "Time that writes to the log took until they were on disk.", in.Latency.Seconds())
	metric(ch, gauge, "ingest_queued_bytes", "Bytes that wait for the log.", float64(in.Queued))

	metric(ch, gauge, "twin_things", "Things, described or not.", float64(tw.Things))
	metric(ch, gauge, "twin_undescribed_things", "Things without a description.", float64(tw.Undescribed))
	metric(ch, gauge, "twin_seq", "Newest applied bundle.", float64(tw.Seq))
	metric(ch, counter, "twin_late_total", "Values measured before the one they would have replaced.", float64(tw.Late))
	metric(ch, counter, "twin_bad_total", "Values of the wrong type.", float64(tw.Bad))
	metric(ch, counter, "twin_refused_total", "Values beyond the limits on things and properties.", float64(tw.Refused))
	metric(ch, gauge, "twin_open_commands", "Commands that still can move.", float64(tw.OpenCommands))
}

func (s *stages) collectHistory(ch chan<- prometheus.Metric) {
	h := s.history.Stats()
	metric(ch, gauge, "history_seq", "Place in the log up to which everything is in history.", float64(h.Seq))
	metric(ch, gauge, "history_series", "Series of the last hours.", float64(h.Series))
	metric(ch, gauge, "history_bytes", "Bytes that samples take on disk.", float64(h.Bytes))
	metric(ch, counter, "history_segments_total", "Files of buckets that were made.", float64(h.Segments))
	metric(ch, counter, "history_samples_total", "Samples that were stored.", float64(h.Samples))
	metric(ch, counter, "history_queries_total", "Questions that were asked.", float64(h.Queries))
	metric(ch, counter, "history_late_total", "Stored samples that were measured before the newest of their property.", float64(h.Late))
	metric(ch, counter, "history_clamped_total", "Stored samples whose time was in the future.", float64(h.Clamped))
	by(ch, counter, "history_unkept_total", "Values that are in the log and not in history.", "reason", map[string]uint64{
		"too_old": h.TooOld, "repeated": h.Repeated, "type": h.Unkept, "names": h.Unnamed, "outside": h.Outside, "series": h.Refused,
	})
}

func (s *stages) collectDoor(ch chan<- prometheus.Metric) {
	if s.door == nil {
		return
	}
	d := s.door.Stats()
	metric(ch, gauge, "mqtt_clients", "Devices that are connected.", float64(d.Clients))
	metric(ch, counter, "mqtt_messages_total", "Messages that devices published.", float64(d.Messages))
	by(ch, counter, "mqtt_refused_total", "What the door refused.", "reason", d.Refused)
	metric(ch, counter, "mqtt_commands_total", "Commands that their device acknowledged.", float64(d.Commands))
	by(ch, counter, "mqtt_unsent_total", "Commands that no device acknowledged.", "reason", d.Unsent)
}

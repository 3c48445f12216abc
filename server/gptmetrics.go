package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"echotwin/gpt"
)

// runsCollector shows the assistant's figures.
type runsCollector struct{ runs *gpt.Runs }

var (
	runsEnded   = prometheus.NewDesc("echotwin_gpt_runs_total", "Runs that ended, by how: a finish, or the code of a failure.", []string{"end"}, nil)
	runsRefused = prometheus.NewDesc("echotwin_gpt_refused_total", "Questions that were refused, by code.", []string{"code"}, nil)
	runsRunning = prometheus.NewDesc("echotwin_gpt_running", "Runs now, queued ones included.", nil, nil)
	runsTokens  = prometheus.NewDesc("echotwin_gpt_tokens_total", "Tokens, by direction.", []string{"direction"}, nil)
	runsFirst   = prometheus.NewDesc("echotwin_gpt_first_text_seconds", "Time from question to first text.", nil, nil)
)

func (runsCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{runsEnded, runsRefused, runsRunning, runsTokens, runsFirst} {
		to <- d
	}
}

func (c runsCollector) Collect(to chan<- prometheus.Metric) {
	s := c.runs.Stats()
	counter := func(d *prometheus.Desc, n uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	for end, n := range s.Ended {
		counter(runsEnded, n, end)
	}
	for code, n := range s.Refused {
		counter(runsRefused, n, string(code))
	}
	counter(runsTokens, s.TokensIn, "in")
	counter(runsTokens, s.TokensOut, "out")
	to <- prometheus.MustNewConstMetric(runsRunning, prometheus.GaugeValue, float64(s.Running))
	buckets := map[float64]uint64{}
	for i, b := range s.FirstBounds {
		buckets[b] = s.FirstCount[i]
	}
	to <- prometheus.MustNewConstHistogram(runsFirst, s.FirstN, s.FirstSum, buckets)
}

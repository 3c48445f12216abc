package server

import "github.com/labstack/echo/v4"

func historyOperations() []operation {
	const tag = "history"
	const note = "The API of Prometheus, so Grafana and every client of it can ask. Every number is a sample of echotwin_value{thing,property,site}. Basic authentication takes a token as the password."
	const path = "/prometheus/api/v1/"
	failures := []int{400, 422, 500, 503}
	ops := []operation{
		{method: "GET", path: "/api/history", tag: tag, summary: "How properties of a thing went", access: reader,
			params: []string{"historyThing", "historyProperty", "from", "to", "buckets", "historyFormat", "ticket"}, answer: "Trend", errors: []int{400, 404, 422, 503},
			note: "Buckets with minimum, maximum, mean, last value and number of samples; a step without any sample has none. With Accept: text/csv or application/x-ndjson one line for each sample, or for each bucket when buckets is given, streamed. Live values go on after seq."},
	}
	both := func(name, summary string, params ...string) {
		ops = append(ops,
			operation{method: "GET", path: path + name, tag: tag, summary: summary, access: reader, params: params, answer: "PrometheusAnswer", errors: failures, failure: "PrometheusError", note: note},
			operation{method: "POST", path: path + name, tag: tag, summary: summary, access: reader, body: "PrometheusForm", bodyType: echo.MIMEApplicationForm, answer: "PrometheusAnswer", errors: append([]int{413}, failures...), failure: "PrometheusError", note: note})
	}
	one := func(name, summary string, params ...string) {
		ops = append(ops, operation{method: "GET", path: path + name, tag: tag, summary: summary, access: reader, params: params, answer: "PrometheusAnswer", errors: failures, failure: "PrometheusError", note: note})
	}
	both("query", "PromQL at one moment", "promQuery", "promTime", "promTimeout")
	both("query_range", "PromQL over a range", "promQuery", "promStart", "promEnd", "promStep", "promTimeout")
	both("series", "Which series are there?", "promMatch", "promStart", "promEnd", "promLimit")
	both("labels", "Which labels are there?", "promMatch", "promStart", "promEnd", "promLimit")
	one("label/{name}/values", "Which values does a label have?", "promLabel", "promMatch", "promStart", "promEnd", "promLimit")
	one("metadata", "What do the metrics mean?")
	one("status/buildinfo", "Which version of the API is this?")
	return ops
}

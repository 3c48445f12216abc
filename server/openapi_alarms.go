package server

// alarmOperations is what stands, and what people do about it.
func alarmOperations() []operation {
	const tag = "alarms"
	one := []string{"alarm"}
	return []operation{
		{method: "GET", path: "/api/alarms", tag: tag, summary: "Alarms that stand, by priority, then the newest first", access: reader, params: []string{"alarmState", "alarmThing", "alarmPriority", "limit", "after", "ticket"}, answer: "Alarms", errors: []int{400, 409, 422},
			note: "An alarm stands until its cause is gone and somebody has acknowledged it. The states active and unacked leave out what is shelved or suppressed; with shelved those are among them that stand no more. 409 says that the alarm of after has left the list."},
		{method: "GET", path: "/api/alarms/summary", tag: tag, summary: "How many alarms there are", access: reader, params: []string{"alarmThing", "ticket"}, answer: "AlarmSummary", errors: []int{400},
			note: "What is shelved or suppressed is counted there and nowhere else. flood says that more than 20 were raised within 10 seconds just now, of all things."},
		{method: "GET", path: "/api/alarms/history", tag: tag, summary: "The steps of alarms, the newest first", access: reader, params: []string{"alarmFrom", "alarmTo", "alarmThing", "alarmPriority", "commandFormat", "limit", "after", "ticket"}, answer: "Alarms", errors: []int{400, 422, 503},
			note: "Each as the alarm was then, for as long as facts are kept. Link: rel=\"next\" says more; a page may then be shorter than limit. With Accept: text/csv a table."},
		{method: "GET", path: "/api/alarms/{id}", tag: tag, summary: "One alarm", access: reader, params: append([]string{"ticket"}, one...), answer: "Alarm", errors: []int{404}},
		{method: "POST", path: "/api/alarms/{id}/ack", tag: tag, summary: "Say that you look after an alarm", access: user, params: one, body: "AckAlarm", answer: "Alarm", errors: []int{400, 404, 413, 422, 503},
			note: "Needs the role operator. One that is acknowledged already stays as it is. The answer comes when it is on disk."},
		{method: "POST", path: "/api/alarms/ack", tag: tag, summary: "The same for up to 500 alarms at once", access: user, body: "AckAlarms", answer: "Alarms", errors: []int{400, 404, 413, 422, 503}},
		{method: "POST", path: "/api/alarms/{id}/shelve", tag: tag, summary: "Put an alarm aside for a while", access: user, params: one, body: "ShelveAlarm", answer: "Alarm", errors: []int{400, 404, 409, 413, 422, 503},
			note: "Needs the role operator, a reason, and at most 604800 seconds. Shelving it again sets a new end. 409 when it stands no more."},
		{method: "POST", path: "/api/alarms/{id}/unshelve", tag: tag, summary: "End that before its time", access: user, params: one, answer: "Alarm", errors: []int{404, 503}},
	}
}

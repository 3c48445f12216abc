package server

// alarmOperations is what stands, and what people do about it.
func alarmOperations() []operation {
	const tag = "alarms"
	one, rule := []string{"alarm"}, []string{"alarmRule"}
	return []operation{
		{method: "GET", path: "/api/alarms", tag: tag, summary: "Alarms that stand, by priority, then the newest first", access: reader, params: []string{"alarmState", "alarmThing", "alarmPriority", "limit", "after", "ticket"}, answer: "Alarms", errors: []int{400, 409, 422},
			note: "An alarm stands until its cause is gone and somebody has acknowledged it. The states active and unacked leave out what is shelved or suppressed; with shelved those are among them that stand no more. 409 says that the alarm of after has left the list."},
		{method: "GET", path: "/api/alarms/summary", tag: tag, summary: "How many alarms there are", access: reader, params: []string{"alarmThing", "ticket"}, answer: "AlarmSummary", errors: []int{400},
			note: "What is shelved or suppressed is counted there and nowhere else. flood says that more than 20 were raised within 10 seconds just now, of all things."},
		{method: "GET", path: "/api/alarms/history", tag: tag, summary: "The steps of alarms, the newest first", access: reader, params: []string{"alarmFrom", "alarmTo", "alarmThing", "alarmPriority", "commandFormat", "limit", "after", "ticket"}, answer: "Alarms", errors: []int{400, 422, 503},
			note: "Each as the alarm was then, for as long as facts are kept. Link: rel=\"next\" says more; a page may then be shorter than limit. With Accept: text/csv a table, which without limit has all steps of the range; in it messageCode stands beside the message, and whyCode beside why, the reason for which it was cleared."},
		{method: "GET", path: "/api/alarms/rules", tag: tag, summary: "Alarm rules by the API, and how they stand", access: reader, params: []string{"limit", "after", "ticket"}, answer: "AlarmRules", errors: []int{400, 422},
			note: "By id. Whoever is limited to some things gets the rules about those only, also by what suppress looks at, and none with promql."},
		{method: "POST", path: "/api/alarms/rules", tag: tag, summary: "Add an alarm rule", access: user, body: "AlarmRule", status: 201, answer: "AlarmRule", errors: []int{400, 409, 413, 422, 429, 503},
			note: "Needs the role engineer. What a rule names of a property stands in place of what the description says of it; of several rules the one that names the thing most closely does. 422 says by JSON pointer what is wrong. At most 500 rules, 50 of them with promql."},
		{method: "POST", path: "/api/alarms/rules/try", tag: tag, summary: "What an alarm rule would find now", access: user, body: "AlarmRule", answer: "AlarmRuleTrial", errors: []int{400, 413, 422, 503},
			note: "Needs the role engineer. Checks the rule as a write does and writes nothing. An expression is asked once, for 5 s at most, and one at a time."},
		{method: "GET", path: "/api/alarms/rules/{id}", tag: tag, summary: "One alarm rule", access: reader, params: append([]string{"ifNoneMatch", "ticket"}, rule...), answer: "AlarmRule", errors: []int{404}},
		{method: "PUT", path: "/api/alarms/rules/{id}", creates: true, tag: tag, summary: "Add or replace an alarm rule", access: user, params: append([]string{"ifMatch", "ifNoneMatch"}, rule...), body: "AlarmRule", answer: "AlarmRule", errors: []int{400, 409, 412, 413, 422, 429, 503},
			note: "Needs the role engineer. 201 when there was none. An alarm that stands stays while its cause is there by the new rule, and says the new limit; otherwise it clears, with a reason."},
		{method: "PATCH", path: "/api/alarms/rules/{id}", tag: tag, summary: "Change an alarm rule by a JSON Merge Patch", access: user, params: append([]string{"ifMatch"}, rule...), body: "MergePatch", answer: "AlarmRule", errors: []int{400, 404, 409, 412, 413, 422, 429, 503}},
		{method: "DELETE", path: "/api/alarms/rules/{id}", tag: tag, summary: "Remove an alarm rule", access: user, params: append([]string{"ifMatch"}, rule...), status: 204, errors: []int{404, 409, 412, 503},
			note: "Needs the role engineer. Its alarms clear and say why, unless the description has the same limit and the value is beyond it."},
		{method: "GET", path: "/api/alarms/{id}", tag: tag, summary: "One alarm", access: reader, params: append([]string{"ticket"}, one...), answer: "Alarm", errors: []int{404}},
		{method: "POST", path: "/api/alarms/{id}/ack", tag: tag, summary: "Say that you look after an alarm", access: user, params: one, body: "AckAlarm", answer: "Alarm", errors: []int{400, 404, 413, 422, 503},
			note: "Needs the role operator. One that is acknowledged already stays as it is. The answer comes when it is on disk."},
		{method: "POST", path: "/api/alarms/ack", tag: tag, summary: "The same for up to 500 alarms at once", access: user, body: "AckAlarms", answer: "Alarms", errors: []int{400, 404, 413, 422, 503}},
		{method: "POST", path: "/api/alarms/{id}/shelve", tag: tag, summary: "Put an alarm aside for a while", access: user, params: one, body: "ShelveAlarm", answer: "Alarm", errors: []int{400, 404, 409, 413, 422, 503},
			note: "Needs the role operator, a reason, and at most 604800 seconds. Shelving it again sets a new end. 409 when it stands no more."},
		{method: "POST", path: "/api/alarms/{id}/unshelve", tag: tag, summary: "End that before its time", access: user, params: one, answer: "Alarm", errors: []int{404, 503}},
	}
}

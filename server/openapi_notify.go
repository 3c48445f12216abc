package server

// notifyOperations is who outside is told of alarms.
func notifyOperations() []operation {
	const tag, all, one = "notifications", "/api/notify/channels", "/api/notify/channels/{id}"
	channel := []string{"channel"}
	return []operation{
		{method: "GET", path: all, tag: tag, summary: "Who is told of alarms, and of which", access: admin, answer: "Channels", errors: []int{503}},
		{method: "POST", path: all, tag: tag, summary: "Tell somebody of alarms", access: admin, body: "NewChannel", status: 201, answer: "Channel", errors: []int{400, 409, 413, 422, 503},
			note: "The answer is the only one with the secret that signs. Messages follow Standard Webhooks; see docs/notify.md for what they hold, how they are signed and how they are tried again."},
		{method: "GET", path: one, tag: tag, summary: "One channel", access: admin, params: channel, answer: "Channel", errors: []int{404, 503}},
		{method: "PUT", path: one, tag: tag, summary: "Replace a channel", access: admin, params: channel, body: "NewChannel", answer: "Channel", errors: []int{400, 404, 409, 413, 422, 503},
			note: "The kind stays what it is, and so does a secret that is not given. The answer has the secret when it is a new one; the former one signs beside it for 24 hours."},
		{method: "DELETE", path: one, tag: tag, summary: "Remove a channel, with what waits for it", access: admin, params: channel, status: 204, errors: []int{404, 503}},
		{method: "POST", path: one + "/test", tag: tag, summary: "Send a message now and say what came of it", access: admin, params: channel, answer: "Delivery", errors: []int{404, 409, 503},
			note: "Once, also to a channel that is disabled. 200 with the status failed means that the receiver did not take it; code and error say why."},
		{method: "GET", path: one + "/deliveries", tag: tag, summary: "What waits for a channel, and what became of the last 50 messages", access: admin, params: channel, answer: "Deliveries", errors: []int{404, 503}, note: "The newest first."},
	}
}

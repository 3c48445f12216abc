// Package notify tells people and programs outside of alarms: by webhooks and
// by e-mail.
//
// # Channels
//
// A Channel says where to, and which steps of which alarms. Channels are kept in
// a Store that all nodes share. Each has a State beside it, in one record: how
// far it has read the facts, what waits to be delivered, and what became of the
// last deliveries. Every change of it is a write that succeeds only if nobody
// else wrote meanwhile, so a step is taken by one node, once, together with the
// move of the cursor.
//
// # Delivery
//
// At least once. A node says in the record that it is about to send, sends, and
// writes what came of it. When it is killed in between, it sends again, or
// another node does as soon as the claim has run out: under the same id, so that
// who receives can drop the second. What fails in a way that may pass is tried
// again, more and more seldom, for most of a day.
//
// Each channel is worked by itself, so one that hangs delays no other. What it
// has waiting is bounded; behind that, steps wait in the store of facts. Steps
// that are too many for single messages come as one that says how many they are.
// Steps that went from the store before they were sent are told as lost.
package notify

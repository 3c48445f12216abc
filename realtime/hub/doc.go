// Package hub fans changes out to connected clients over WebSocket, SSE and
// lines of JSON.
//
// # Delivery
//
// Publish never waits for a client and never queues state: a client that cannot
// take a frame stays dirty and gets the newest values at its next turn. Facts
// (events, alarms, steps of commands) are never merged; a client too slow for
// them is told how many it missed (resync). The answer to a subscription is a
// snapshot, and every later change follows: a client may see one twice, never a
// gap that it cannot notice.
//
// # What a cursor claims
//
// snapshot, update and fact frames move a client's cursor. The seq of one claims
// that the client now has all state and all facts up to there, for what it has
// subscribed to, so that a resume from it can lose nothing:
//
//   - before facts all changed state is sent, whatever the rate, in an update
//     that claims no more than the first fact's seq-1;
//   - facts that share a seq say "more":true on all but the last, and a page of a
//     snapshot with "more":true is no cursor either;
//   - a subscription with a slower rate holds the claim back to what it was last
//     given, and a fact that still waits holds it back to before itself.
//
// The prev of an update is the seq of the frame before that moved the cursor.
// hello and resumed only say where the server is; ping repeats the cursor.
//
// Facts that the ring has no more are read from Config.Archive, by the client's
// own reader and never by a shard, and go out before those of the ring. What
// neither has is told by resync. Begin gives a hub its past, so that a cursor
// outlives a restart.
//
// After resume the first update has the client's own cursor as its prev, and an
// update that says the whole claim ends it, empty if need be. Resume replaces
// all subscriptions of its connection. A cursor of another epoch, from before
// this server's memory or ahead of it gets snapshots and the reason. So does one
// from before a restart when an object has changed between the two: a JSON Merge
// Patch must name the members that are gone, and they are not known any more.
//
// A fact belongs to a subscription by place when its thing stands there, or stood
// there when it happened, as far as is remembered of what has left.
//
// # Who writes
//
// Publish changes the record of a thing and wakes a round. A round closes what
// has changed since the last one, encodes each changed thing once and hands
// itself to the shards, one goroutine each, which own the connections. Only the
// shard that owns a connection writes to it, control frames included, with one
// write that never waits. Readers hand what they read to the shard and end when
// the connection does. Where a socket cannot be written to without waiting (TLS,
// HTTP/2), a goroutine of its own holds at most one write.
//
// # What is expected of the caller
//
// Publish gets updates in the order of their seq, with names and JSON that
// ingest has checked. Viewer.See and Viewer.May are called often and under the
// hub's lock: they must be fast and must not call the hub.
package hub

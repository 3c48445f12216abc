// Package mqtt is the door that devices come through: an MQTT broker inside
// the program, or a client of an outside one. It takes readings in and carries
// commands out. It is no general broker: what is not one of the topics below
// is refused.
//
//	telemetry/<thing>                    device   an object or an array of objects
//	telemetry/<thing>/properties/<name>  device   one JSON value
//	event/<thing>/<name>                 device   any JSON
//	status/<thing>                       device   online or offline, also as its last will
//	result/<cmd>                         device   {"ok":true,"output":…} or {"ok":false,"error":"…"}
//	command/<thing>/<action>/<cmd>       server   the validated input
//
// # What an acknowledgement means
//
// PUBACK (and PUBREC, for QoS 2 of MQTT 3.1.1) is sent when Ingest has returned
// without an error, so when the reading is stored. QoS 0 is stored too, without
// evidence. The messages of one connection are stored one after the other, so
// a device that sends faster than the log takes them is slowed down by TCP;
// nothing is queued here. QoS 2 gives no more than QoS 1 across a lost connection,
// because no session outlives its connection; MQTT 5 devices are told that
// QoS 1 is the maximum. The retain flag is accepted and has no effect.
//
// # What a refusal looks like
//
// Every refusal is counted (Stats), logged, and, where the topic names a thing
// that the device may speak for, recorded there as the event "refused", at most
// one every ten seconds for each thing, with the count of what it stands for.
// An MQTT 5 device also gets a reason code and a reason string. An MQTT 3.1.1
// device gets its PUBACK, since the protocol has no other answer and it would
// send the same for ever.
//
// When the log cannot store, nothing is acknowledged. An MQTT 5 device is told
// 0x83 at once. An MQTT 3.1.1 device is held for a few seconds while the door
// tries again, and then loses its connection, because clients of 3.1.1 send
// again only after they have connected again.
//
// # Who may do what
//
// With Config.Open everybody may publish and look at everything; nobody may
// publish command/…. Otherwise a device signs in with its own credentials, may
// publish only for things that it owns (its last will included, which is
// checked when it connects), may subscribe only to command/<own thing>/…, and
// only the credentials that a command was sent to may publish its result. Only
// the server publishes command/….
//
// # Commands
//
// Send writes to one connection and returns nil on that connection's PUBACK.
// The device of a thing is the newest connection that subscribed, with QoS 1 or
// more, to a filter that names the thing in full, such as command/<thing>/#.
// Nothing waits for a device that is not there, and nothing is sent again on a
// new connection.
//
// # Presence
//
// status/<thing> says it, sent by the device or as its will. A connection that
// said online and ends without DISCONNECT is taken to have said offline, unless
// another one has said online for the same thing since. When
// a client id connects again, the old connection has ended, with its will
// stored, before the new one is answered.
package mqtt

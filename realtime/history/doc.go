// Package history keeps what things said, as time series, and answers what they
// said when. It is a view of the log: everything in it can be read from there
// again for as long as the log is kept.
//
// # What is kept
//
// Every number, boolean and string that a device sent is a sample of
// echotwin_value{thing,property,site}; booleans and strings carry the label
// type as well, and are kept as numbers: false is 0, true is 1, and a string is
// its place in the list of names of its property, which is kept beside. Arrays,
// objects and null are in the log and not here.
//
// A bundle is in history whole or not at all, and once: the place in the log is
// written with the samples, so a kill -9 loses and repeats nothing. A sample
// that was measured at the same millisecond as another of its property gets the
// next free one; one that repeats time and value is the same sample. A sample
// older than Config.Late before the newest one is counted and not kept.
//
// # Who waits for whom
//
// Offer never blocks. History falls behind without holding anybody up, and
// reads from the log what it was not handed. Run opens the store, which may take
// a while after a crash, and until then every question is answered by a Problem
// with CodeUnavailable that says so.
//
// # Who may see what
//
// Every question carries a Scope; what lies outside is as if it were not there.
package history

// Package simulator is the demo line: a bottling line that does not exist,
// calculated as if it did, whose devices speak MQTT to the door like any other.
//
// # What moves
//
// Sixteen things, described by the Thing Descriptions in things/. A syrup tank
// empties through a pump, a valve and the filler's bowl, and is refilled; bottles
// go from the depalletiser over three conveyors, that hold what their next machine
// cannot take yet, to the case packer; bearings warm up with speed and wear and
// cool down in minutes; the compressor works against what the machines use and
// what leaks. Everything is a state with a time constant, so a command shows its
// effect when a real one would: CV-02 at 60 % instead of 80 % makes 9,000 bottles
// an hour instead of 11,900, fills its belt, and cools its bearing.
//
// # What goes wrong
//
// On a schedule drawn from Config.Seed: half a minute after the start an air hose
// comes off, the pressure falls below its limit of 5.8 bar within a minute of the
// start and is back soon after; the filler stops for moments, the air leaks, CV-02's bearing loses its grease and passes its limit of 75 °C within
// ten minutes, the labeller's counter stops reporting and grows stale, a reel of
// labels ends, a belt jams. All of it passes.
//
// # How it speaks
//
// One connection for each thing, with the last will offline on its status, QoS 1,
// its properties together in one message at the rate that its description
// says (echotwin:period). Values are noisy, bounded by the measuring range, and rounded
// to the decimals of the description. A conveyor obeys setSpeed and answers
// result/<cmd>; while it stands for a fault it answers ok:false. Without a door
// the line goes on, and its devices come back with the door.
package simulator

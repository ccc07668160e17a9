// Package remote makes load with generators on other machines: the protocol between the coordinator of a run and its
// generators.
//
// A coordinator connects to each generator, sends it the plan, lets it prepare each phase, compares clocks, and has
// all of them begin at one instant. Generators send what they record while they run. Both sides are state machines
// that know neither a clock nor a network, coordinator.go and generator.go, with thin loops around them: hub.go and
// session.go. message.go has the messages, frame.go their format, auth.go the proof that both sides hold the key,
// outbox.go the messages that wait to be sent, and fold.go converts what a generator recorded to the coordinator's
// clock. Start reading at message.go.
package remote

// Package remote makes load with generators on other machines: the protocol between the coordinator of a run and its
// generators.
//
// A coordinator connects to each generator, hands it the plan, lets it prepare each phase, compares clocks, and has
// all of them begin at one instant. Generators send what they record while they run. Both sides are state machines
// that know neither a clock nor a network, coordinator.go and generator.go, with thin loops around them: hub.go and
// session.go. message.go has what is said, frame.go how it is written, auth.go how both ends prove that they hold the
// key, outbox.go what waits to be sent, and fold.go brings what a generator recorded to the coordinator's clock. Start
// reading at message.go.
package remote

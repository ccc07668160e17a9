// Package remote makes load with generators on other machines. It has the protocol between the coordinator of a run
// and its generators.
//
// The coordinator connects to each generator, sends it the plan, lets it prepare each phase, compares clocks, and
// starts all generators at the same instant. Generators send what they record while they run. Both sides are state
// machines without a clock and without a network, in coordinator.go and generator.go, with thin loops around them:
// hub.go, hub_run.go and session.go. message.go has the messages, frame.go their format, auth.go the proof that both
// sides have the key, outbox.go the messages that wait to be sent, and inbox.go those that were received. fold.go
// converts what a generator recorded to the coordinator's clock. Start reading at message.go.
package remote

// Package live follows a run while it goes on. It is a state machine that takes the events of a record one by one, and
// returns the state of the run at any moment.
//
// live.go has the state of the run and of its phases. load.go counts the requests of the phase under way, in bounded
// memory however long it lasts. series.go reduces the points of plots over time. checks.go asks package judge whether
// checks would hold now. Nothing here uses a clock, a file or a goroutine. Start reading at Run.
package live

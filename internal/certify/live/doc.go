// Package live follows a run while it goes on: a state machine that takes the events of a record one by one and gives
// the state of the run at any moment.
//
// live.go has the machine and the phases; load.go counts the requests of the phase under way, within bounds however
// long it lasts; series.go thins the points of plots over time. The judge decides whether a check would hold now;
// checks.go asks it while a run goes on. Nothing here knows a clock, a file or a goroutine. Start reading at Run.
package live

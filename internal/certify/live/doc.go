// Package live follows a run as it happens: a state machine that takes the events of a record one by one and gives
// what there is to see of the run at any moment.
//
// live.go has the machine and the phases; load.go counts the requests of the phase under way, within bounds however
// long it lasts; series.go thins what is drawn over time. Whether a check would hold now is the judge's to say;
// checks.go reads its answer while a run is not over. Nothing here knows a clock, a file or a goroutine. Start
// reading at Run.
package live

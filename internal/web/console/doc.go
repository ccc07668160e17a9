// Package console is the web interface of certification runs: the runs with their trends and comparisons, a run while
// it goes on, and a form that starts one.
//
// console.go has the pages' paths, and guard.go decides who may request them: start reading at New. source.go finds
// runs in the database and in a directory of reports, records.go those that are being written; list.go, report.go,
// trend.go and compare.go are the pages about runs that have ended. watch.go follows records and informs browsers,
// live.go draws what they contain so far. command.go makes a command line from a form, child*.go runs it. Pages are
// templates in assets; plots and parts of reports come from package certify/report. A script never makes markup from
// text.
package console

// Package console is the web interface of certification runs: the runs with their trends and comparisons, a run as it
// happens, and a form that starts one.
//
// console.go has the pages' addresses and guard.go who may ask for them: start reading at New. source.go finds runs in
// the database and in a directory of reports, records.go those that are being written; list.go, report.go, trend.go
// and compare.go are the pages about runs that have ended. watch.go follows records and tells browsers, live.go draws
// what it sees. command.go makes a command line of a form, child.go runs it. Pages are templates in assets; plots and
// parts of reports come from package certify/report. A script never makes anything of text but text.
package console

// Package report is the result of a certification for people and programs: the JSON file, JUnit, an HTML page, text
// for a terminal, and the comparison of results. It does not judge anything.
//
// report.go has the types of the JSON file; json.go reads and writes it, schema.go has its schema, and save.go writes
// all files of a report. text.go, junit.go and html.go are the other forms; charts.go, plot.go and series.go draw the
// page's plots. page_view.go and sweep_charts.go prepare what the page shows. parts.go exports the page's parts for
// other pages. diff.go compares two reports, many.go more than two, and trend.go all reports of a test case. sweep.go
// has sweeps, and generators.go the machines that made the load. verify.go compares a report with the one derived from
// its events. number.go formats figures, and paint.go colours verdicts. Start reading at Report.
package report

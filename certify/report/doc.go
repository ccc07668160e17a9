// Package report is the result of a certification as people and programs read it: the JSON file, JUnit, one HTML page,
// text for a terminal, and the comparison of two results. It judges nothing.
//
// report.go has the types, which are the JSON file; json.go reads and writes it, schema.go has its schema, and save.go
// writes all files of a report. text.go, junit.go and html.go are the other forms; charts.go, plot.go and series.go
// draw the page's plots. page_view.go and sweep_charts.go prepare what the page shows. diff.go compares two reports,
// many.go more, trend.go all of a test case; sweep.go has sweeps, generators.go those who made the load; verify.go
// compares a report with what its events give. number.go and paint.go write figures and colours. Start reading at
// Report.
package report

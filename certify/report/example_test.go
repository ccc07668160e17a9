package report_test

import (
	"fmt"
	"log"

	"github.com/hxp-enterprise/mixtral/certify/report"
)

// number returns a figure of a report, where nil means a missing figure.
func number(x float64) *float64 { return &x }

// Reports are plain values that can be declared, written, read and compared.
func ExampleDiff() {
	before := &report.Report{TestCase: "TC-MINE", Profile: "quick", Status: report.Pass,
		SchemaVersion: report.SchemaVersion, Checks: []report.Check{{ID: "mean", Verdict: report.Pass, Gate: true,
			Measured: number(120), Interval: &[2]float64{110, 130}, Op: "<", Target: number(500), Unit: "ms"}}}
	data, err := report.JSON(before)
	if err != nil {
		log.Fatal(err)
	}
	after, err := report.Parse(data)
	if err != nil {
		log.Fatal(err)
	}
	after.Checks[0].Measured, after.Checks[0].Interval = number(180), &[2]float64{165, 195}
	for _, c := range report.Diff(before, after).Changes {
		fmt.Println(c.What, c.How, c.Reason)
	}
	// Output: mean worse +50 %
}

// A program that reads reports from elsewhere holds them against the schema, and asks which checks decided.
func ExampleDeciding() {
	data, err := report.JSON(&report.Report{TestCase: "TC-MINE", Profile: "quick", Status: report.Fail,
		SchemaVersion: report.SchemaVersion, Preconditions: []report.Precondition{}, Phases: []report.Phase{},
		Reconciliation: []report.Reconciled{}, Environment: map[string]string{},
		Fingerprints: map[string]string{}, Checks: []report.Check{
			{ID: "mean", Verdict: report.Fail, Gate: true, Reason: "180 ms, the target is below 120 ms"},
			{ID: "errors", Verdict: report.Pass, Gate: true}}})
	if err != nil {
		log.Fatal(err)
	}
	if err := report.Validate(data); err != nil {
		log.Fatal(err)
	}
	r, err := report.Parse(data)
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range report.Deciding(r) {
		fmt.Println(c.ID, c.Verdict, c.Reason)
	}
	// Output: mean FAIL 180 ms, the target is below 120 ms
}

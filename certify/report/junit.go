package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// Elements of JUnit's XML, as CI systems read them.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name       string      `xml:"name,attr"`
		Tests      int         `xml:"tests,attr"`
		Failures   int         `xml:"failures,attr"`
		Errors     int         `xml:"errors,attr"`
		Skipped    int         `xml:"skipped,attr"`
		Time       string      `xml:"time,attr"`
		Timestamp  string      `xml:"timestamp,attr"`
		Properties []junitProp `xml:"properties>property"`
		Cases      []junitCase `xml:"testcase"`
		Out        string      `xml:"system-out,omitempty"`
	}
	junitProp struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Name    string       `xml:"name,attr"`
		Class   string       `xml:"classname,attr"`
		Time    string       `xml:"time,attr"`
		Failure *junitReason `xml:"failure,omitempty"`
		Error   *junitReason `xml:"error,omitempty"`
		Skipped *junitReason `xml:"skipped,omitempty"`
		Out     string       `xml:"system-out,omitempty"`
	}
	junitReason struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr,omitempty"`
		Text    string `xml:",chardata"`
	}
)

// WriteJUnit writes the report as JUnit XML. Each check is a test case: FAIL is a failure and INVALID an error. A
// check without a gate that is not met is skipped, so that no CI system fails because of it.
func WriteJUnit(w io.Writer, r *Report) error {
	suite := junitSuite{Name: xmlText(r.TestCase),
		Timestamp: time.UnixMilli(int64(r.Timestamp * 1000)).UTC().Format("2006-01-02T15:04:05")}
	total := 0.0
	for _, p := range r.Phases {
		total = max(total, p.StartS+p.DurationS)
	}
	suite.Time = fmt.Sprintf("%.3f", total)
	suite.Properties = []junitProp{{"status", string(r.Status)}, {"profile", xmlText(r.Profile)},
		{"target", xmlText(r.Target.URL)}, {"model", xmlText(r.Target.Model)}}
	for _, c := range r.Checks {
		suite.Tests++
		jc := junitCase{Name: xmlText(c.ID + ": " + c.Clause), Class: xmlText(r.TestCase), Time: "0",
			Out: xmlText(measuredLine(c))}
		why := &junitReason{Message: xmlText(c.Reason), Type: string(c.Verdict), Text: xmlText(measuredLine(c))}
		switch c.Verdict {
		case Fail:
			suite.Failures++
			jc.Failure = why
		case Invalid:
			suite.Errors++
			jc.Error = why
		case Info:
			if strings.HasPrefix(c.Reason, "not a gate") {
				suite.Skipped++
				why.Type, why.Text = "", ""
				jc.Skipped = why
			}
		}
		suite.Cases = append(suite.Cases, jc)
	}
	out := r.Notices
	for _, p := range r.Phases {
		for _, x := range p.Reasons {
			out = append(out[:len(out):len(out)], "phase "+p.ID+" failed: "+x.String())
		}
		if p.Retried > 0 {
			out = append(out[:len(out):len(out)], fmt.Sprintf("phase %s: %s sent again on a new connection", p.ID,
				Number(float64(p.Retried))))
		}
	}
	suite.Out = xmlText(strings.Join(out, "\n"))
	all := junitSuites{Name: "mixtral certify", Tests: suite.Tests, Failures: suite.Failures, Errors: suite.Errors,
		Suites: []junitSuite{suite}}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// xmlText removes characters that XML 1.0 does not allow. The encoder escapes the rest.
func xmlText(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' || r >= 0x20 && r != 0xfffe && r != 0xffff {
			return r
		}
		return -1
	}, s)
}

// measuredLine formats what was measured like "412 ms (390 to 436), target < 2,000 ms".
func measuredLine(c Check) string {
	if c.Measured == nil {
		return ""
	}
	s := figureText(*c.Measured, c.Unit)
	if c.Interval != nil {
		lo, _ := written(c.Interval[0], c.Unit)
		hi, _ := written(c.Interval[1], c.Unit)
		s += " (" + lo + " to " + hi + ")"
	}
	if c.Target != nil {
		s += ", target " + c.Op + " " + figureText(*c.Target, c.Unit)
	}
	return s
}

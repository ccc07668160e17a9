package report

import (
	"bytes"
	"strings"
	"testing"
)

// TestReasonsAreShownEverywhere checks that all formats show the reasons, and that a server's text in them cannot
// control a terminal or a browser.
func TestReasonsAreShownEverywhere(t *testing.T) {
	r := &Report{TestCase: "TC", Phases: []Phase{{ID: "open", Scheduled: 20104, Failed: 20104, Retried: 3,
		Reasons: []Reason{{Class: "status", Status: 422, Message: "unknown field seed <b>\x1b[31m", Count: 20100,
			Of: 20104}}}}}
	for name, write := range map[string]func(*bytes.Buffer) error{
		"table": func(b *bytes.Buffer) error { return Text(b, r) },
		"HTML":  func(b *bytes.Buffer) error { return WriteHTML(b, r, Series{}) },
		"JUnit": func(b *bytes.Buffer) error { return WriteJUnit(b, r) },
		"JSON": func(b *bytes.Buffer) error {
			data, err := JSON(r)
			b.Write(data)
			return err
		},
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		out := b.String()
		for _, want := range []string{"422", "unknown field seed", "20,100 of 20,104"} {
			if !strings.Contains(out, want) && name != "JSON" {
				t.Errorf("%s does not say %q", name, want)
			}
		}
		if name == "JSON" && (!strings.Contains(out, `"unknown field seed`) || !strings.Contains(out, `"count": 20100`)) {
			t.Errorf("JSON does not say it: %s", out)
		}
		if strings.Contains(out, "\x1b") || name == "HTML" && strings.Contains(out, "seed <b>") {
			t.Errorf("%s hands on what a server wrote", name)
		}
		if name != "JSON" && !strings.Contains(out, "sent again on a new connection") {
			t.Errorf("%s does not tell of the requests that were sent again", name)
		}
	}
}

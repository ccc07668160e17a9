package certify

import (
	"bytes"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// TestAnswersOfFixedLengthIgnoreTheirEnd checks that a model that stops early does not make a load with fixed answer
// lengths lighter, and that no other load becomes heavier.
func TestAnswersOfFixedLengthIgnoreTheirEnd(t *testing.T) {
	yes, no := true, false
	fixed := &testcases.Distribution{Shape: testcases.ShapeFixed, Mean: 8}
	spread := &testcases.Distribution{Shape: testcases.ShapeUniform, Min: 1, Max: 9}
	for _, tt := range []struct {
		traffic testcases.Traffic
		want    bool
	}{
		{testcases.Traffic{Input: spread, Output: fixed}, true},
		{testcases.Traffic{Input: spread, Output: fixed, Exact: &no}, false},
		{testcases.Traffic{Input: spread, Output: spread}, false},
		{testcases.Traffic{Input: spread, Output: spread, Exact: &yes}, true},
		{testcases.Traffic{Input: spread}, false},
	} {
		c := testcases.Defaults()
		c.ID, c.Request.MaxTokens = "T", 16
		ph := testcases.Phase{ID: "p", Kind: testcases.KindClosed, Requests: 1, Traffic: &tt.traffic}
		c.Profiles = map[string]testcases.Phases{"quick": {ph}}
		loaded := &testcases.Loaded{Case: &c}
		p := &plan{o: Options{Profile: "quick", Seed: 1}, loaded: loaded, c: &c, phases: c.Profiles["quick"]}
		if err := p.readTraffic(); err != nil {
			t.Fatal(err)
		}
		a := newAsker(p, "m")
		if got := bytes.Contains(a.job(0, ph, 0).Body, []byte(`"ignore_eos":true`)); got != tt.want {
			t.Errorf("%+v: ignore_eos is sent: %v", tt.traffic, got)
		}
		if a.exact != tt.want {
			t.Errorf("%+v: the proof has it: %v", tt.traffic, a.exact)
		}
		a.form.leftOut = append(a.form.leftOut, evidence.LeftOut{Field: "ignore_eos"})
		if bytes.Contains(a.job(0, ph, 0).Body, []byte("ignore_eos")) {
			t.Error("it is sent to a server that refuses it")
		}
	}
	if !(&testcases.Traffic{File: "f", Format: testcases.FormatAzure}).IgnoresEnd() {
		t.Error("a trace says how long answers were")
	}
}

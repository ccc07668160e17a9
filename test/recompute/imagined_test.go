package recompute_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/judge"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// imagined is a record that is made up event by event.
type imagined struct {
	t *testing.T
	b bytes.Buffer
}

// begin begins the record of a run of a case; more is what the header says of the target beside the usual.
func begin(t *testing.T, caseFile string, seed uint64, more map[string]string) *imagined {
	t.Helper()
	l, err := testcases.Load(caseFile)
	if err != nil {
		t.Fatal(err)
	}
	target := map[string]string{"kind": "url", "url": "http://x", "model": "m", "resources": "none", "metrics": "none"}
	for k, v := range more {
		target[k] = v
	}
	r := &imagined{t: t}
	r.write(0, "header", map[string]any{"schema_version": 1, "start": "2026-03-04T05:06:07Z", "case": l.Case,
		"profile": "quick", "seed": seed, "rules": 3, "environment": map[string]string{"cpu": "imagined"},
		"fingerprints": map[string]string{}, "target": target})
	r.write(1, "client", map[string]any{"streams": 1, "rps": 100})
	return r
}

// write adds an event at a time in ns.
func (r *imagined) write(at float64, kind string, v any) {
	r.t.Helper()
	if err := json.NewEncoder(&r.b).Encode(map[string]any{"at": int64(at), kind: v}); err != nil {
		r.t.Fatal(err)
	}
}

// judged gives the judge's report of a made-up record, and the record as these tests read it.
func judged(t *testing.T, data []byte) (object, *record) {
	t.Helper()
	d, err := judge.DeriveReader(t.Context(), "made up", bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	text, err := report.JSON(d.Report)
	if err != nil {
		t.Fatal(err)
	}
	return parsed(t, text), readRecord(t, bytes.NewReader(data))
}

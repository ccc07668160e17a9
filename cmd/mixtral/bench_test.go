package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
)

// TestBenchPeaks: bench gives a peak above 0 for every tier of the machine, lowest first, in JSON and as text. A tier
// whose products are not measured shows 0, and shares of it mean nothing.
func TestBenchPeaks(t *testing.T) {
	var out, errs bytes.Buffer
	a := &app{ctx: t.Context(), stdout: &out, stderr: &errs, getenv: func(string) string { return "" }}
	if code := run(a, []string{"bench", "--model", "synth:tiny", "--prompt", "8", "--generate", "2", "--parallel",
		"1", "--repeat", "1", "--threads", "1", "--json"}); code != exitOK {
		t.Fatal(code, errs.String())
	}
	var r benchResult
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Peaks) != len(kernel.Tiers()) {
		t.Fatalf("peaks %+v, want one for each of %q", r.Peaks, kernel.Tiers())
	}
	for i, p := range r.Peaks {
		if p.Tier != kernel.Tiers()[i] || !(p.GOPs > 0) {
			t.Errorf("peak %d is %+v, want %s above 0", i, p, kernel.Tiers()[i])
		}
	}
	out.Reset()
	if err := r.print(&out); err != nil {
		t.Fatal(err)
	}
	for _, tier := range kernel.Tiers() {
		m := regexp.MustCompile(`GOP/s:.* ` + tier + ` ([0-9.]+)(,|\n)`).FindStringSubmatch(out.String())
		if m == nil {
			t.Errorf("no peak of %s in %s", tier, out.String())
		} else if v, err := strconv.ParseFloat(m[1], 64); err != nil || v <= 0 {
			t.Error(fmt.Sprintf("the peak of %s is %q", tier, m[1]), err)
		}
	}
}

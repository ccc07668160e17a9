package report

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
)

func how(t *testing.T, c Comparison, what string) string {
	t.Helper()
	for _, x := range c.Changes {
		if x.What == what {
			return x.How
		}
	}
	t.Fatalf("nothing about %q in %+v", what, c.Changes)
	return ""
}

func TestDiff(t *testing.T) {
	a := sample()
	if c := Diff(a, sample()); c.Worse() || len(c.Warnings) > 0 {
		t.Errorf("a report differs from itself: %+v", c)
	}

	b := sample()
	*b.Checks[0].Measured, *b.Checks[0].Interval = 800, [2]float64{780, 820}
	if got := how(t, Diff(a, b), "latency-single"); got != Worse {
		t.Errorf("twice the latency is %s", got)
	}
	if got := how(t, Diff(b, a), "latency-single"); got != Better {
		t.Errorf("half the latency is %s", got)
	}

	b = sample()
	*b.Checks[0].Measured, *b.Checks[0].Interval = 440, [2]float64{430, 450} // overlaps with 390 to 436
	if got := how(t, Diff(a, b), "latency-single"); got != Same {
		t.Errorf("overlapping intervals are %s", got)
	}

	b = sample()
	*b.Checks[1].Measured = 0.61 // without an interval, this is within the noise
	if got := how(t, Diff(a, b), "quality"); got != Same {
		t.Errorf("1.6 %% of a figure without an interval is %s", got)
	}
	*b.Checks[1].Measured = 0.9
	b.Checks[1].Verdict = Pass
	if got := how(t, Diff(a, b), "quality"); got != Better {
		t.Errorf("FAIL to PASS is %s", got)
	}
	if got := how(t, Diff(b, a), "quality"); got != Worse {
		t.Errorf("PASS to FAIL is %s", got)
	}

	b = sample()
	b.Checks = b.Checks[1:]
	if got := how(t, Diff(a, b), "latency-single"); got != Differ {
		t.Errorf("a check that is gone is %s", got)
	}
	b.Profile = "full"
	if c := Diff(a, b); len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "profile") {
		t.Errorf("warnings %q", c.Warnings)
	}
}

// TestDiffOfTwoRunsOfOneServer compares two healthy runs, one on an idle machine and one on a busier machine. None of
// the differences is a regression.
func TestDiffOfTwoRunsOfOneServer(t *testing.T) {
	for _, tt := range []struct {
		name, op, unit       string
		before, after, limit float64
		want                 string
	}{
		{"a degradation about zero", "<=", "share", -0.0264, -0.0017, 0.10, Same},
		{"one that grew by more than its limit", "<=", "share", 0.01, 0.2, 0.10, Worse},
		{"Little's law, off by a trifle", "<=", "share", 0.0019, 0.0084, 0.05, Same},
		{"a percentile far below its limit", "<=", "ms", 7.95, 47.4, 2000, Same},
		{"a percentile that doubled", "<=", "ms", 700, 1400, 2000, Worse},
		{"a percentile a tenth longer", "<=", "ms", 1000, 1100, 2000, Same},
		{"the busiest second", "<=", "cores", 1.64, 1.83, 8, Same},
		{"half a core more", "<=", "cores", 1.2, 1.7, 8, Worse},
		{"a peak of memory", "<=", "GB", 0.0637, 0.0641, 90, Same},
		{"twice the memory", "<=", "GB", 20, 40, 90, Worse},
	} {
		a, b := sample(), sample()
		c := Check{ID: "x", Op: tt.op, Unit: tt.unit, Measured: &tt.before, Target: &tt.limit, Verdict: Pass,
			Gate: true}
		a.Checks = []Check{c}
		c.Measured = &tt.after
		b.Checks = []Check{c}
		if got := how(t, Diff(a, b), "x"); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// TestDiffOfAHinderedRun checks that a run on a machine that other programs used makes the server neither worse nor
// better.
func TestDiffOfAHinderedRun(t *testing.T) {
	shift := func(string) (float64, float64, bool) { return 100, 0.001, true }
	quiet, taken := sample(), sample()
	for i := range taken.Phases {
		taken.Phases[i].Taken = "other work took the machine"
	}
	*taken.Checks[0].Measured, *taken.Checks[0].Interval, taken.Checks[0].Phase = 800, [2]float64{780, 820}, "single"
	quiet.Checks[0].Phase = "single"
	for _, what := range []string{"latency-single", "single latency"} {
		if got := how(t, DiffWith(quiet, taken, shift), what); got != Differ {
			t.Errorf("%s is %s in the run that was hindered", what, got)
		}
	}
	if got := how(t, DiffWith(taken, quiet, shift), "latency-single"); got != Differ {
		t.Errorf("a run is %s than one that was hindered", got)
	}
	if got := how(t, DiffWith(taken, quiet, shift), "single latency"); got != Worse {
		t.Errorf("slower than a run that was hindered is %s", got)
	}
	taken.Checks[0].Verdict = Fail
	if got := how(t, DiffWith(quiet, taken, shift), "latency-single"); got != Worse {
		t.Errorf("a verdict of FAIL is %s", got)
	}
}

func TestDiffByEvents(t *testing.T) {
	shift := func(by, p float64) Shift {
		return func(string) (float64, float64, bool) { return by, p, true }
	}
	for _, tt := range []struct {
		by, p float64
		want  string
	}{{100, 0.001, Worse}, {-100, 0.001, Better}, {100, 0.2, Same}, {5, 1e-9, Same}} {
		if got := how(t, DiffWith(sample(), sample(), shift(tt.by, tt.p)), "single latency"); got != tt.want {
			t.Errorf("shift %v, p %v: %s, want %s", tt.by, tt.p, got, tt.want)
		}
	}
}

// What is worse in one direction is better in the other.
func TestDiffIsAntisymmetric(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		value := rapid.Float64Range(0.1, 1000)
		a, b := value.Draw(t, "a"), value.Draw(t, "b")
		wa, wb := rapid.Float64Range(0, 50).Draw(t, "wa"), rapid.Float64Range(0, 50).Draw(t, "wb")
		ia, ib := &[2]float64{a - wa, a + wa}, &[2]float64{b - wb, b + wb}
		if rapid.Bool().Draw(t, "bare") {
			ia = nil
		}
		larger := rapid.Bool().Draw(t, "larger is better")
		flip := map[string]string{Worse: Better, Better: Worse, Same: Same}
		noise := rapid.Float64Range(0, 50).Draw(t, "noise")
		there, back := changed(a, ia, b, ib, noise, larger), changed(b, ib, a, ia, noise, larger)
		if flip[there] != back {
			t.Fatalf("%s one way, %s the other", there, back)
		}
	})
}

func TestDifferences(t *testing.T) {
	have, err := JSON(sample())
	if err != nil {
		t.Fatal(err)
	}
	if d, err := Differences(have, bytes.Clone(have)); err != nil || len(d) != 0 {
		t.Errorf("%v %v", d, err)
	}
	for edit, want := range map[[2]string]string{
		{`"measured": 412.5`, `"measured": 41.25`}: "checks[latency-single].measured is 41.25, the events give 412.5",
		{`"status": "FAIL"`, `"status": "PASS"`}:   `status is "PASS", the events give "FAIL"`,
		{`"timestamp": 1772600767.25,`,
			``}: "timestamp is missing, the events give 1772600767.25",
		{`"profile": "quick",`, `"profile": "quick", "more": 1,`}:      "more is 1, the events give no such key",
		{`"profile": "quick",`, `"profile":  "quick",`}:                "written differently",
		{`"covers": [`, `"covers": ["X9",`}:                            "checks[latency-single].covers has 2 entries, the events give 1",
		{`"summary": {`, `"summary": null, "was": {`}:                  "summary is null",
		{`"measured": 412.5`, `"measured": "\u001b[31m\u001b[2Jfine"`}: `checks[latency-single].measured is "`,
	} {
		forged := bytes.Replace(have, []byte(edit[0]), []byte(edit[1]), 1)
		if bytes.Equal(forged, have) {
			t.Fatalf("%q is not in the report", edit[0])
		}
		d, err := Differences(forged, have)
		if err != nil || len(d) == 0 || !strings.Contains(strings.Join(d, "\n"), want) {
			t.Errorf("%q: %q %v, want %q", edit[1], d, err, want)
		}
		if strings.Contains(strings.Join(d, ""), "\x1b") {
			t.Error("a file's text reached the terminal raw")
		}
	}
	if _, err := Differences([]byte("{"), have); err == nil {
		t.Error("took half a file")
	}
}

func TestDiffText(t *testing.T) {
	b := sample()
	*b.Checks[0].Measured, *b.Checks[0].Interval = 800, [2]float64{780, 820}
	b.Environment["cpu"] = "another"
	var out bytes.Buffer
	if err := DiffText(&out, Diff(sample(), b), true); err != nil {
		t.Fatal(err)
	}
	golden(t, "diff.txt", out.Bytes())
}

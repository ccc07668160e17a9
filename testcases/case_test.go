package testcases

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const small = `schema_version: 1
id: TC-1
name: small
targets: {latency_ms: 100, throughput_rps: 5, concurrency: 2}
profiles:
  quick:
    - {id: one, kind: closed, requests: 5}
    - {id: rate, kind: open, duration_s: 2, ramp_s: 1}
    - {id: two, kind: closed, requests: 5, compare_to: one}
criteria: {P1: fast}
checks:
  - {id: lat, clause: fast, rule: mean_latency, phase: one, target: targets.latency_ms, covers: [P1]}
`

func parse(t *testing.T) *Case {
	t.Helper()
	c, err := Parse([]byte(small))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDefaultsFillWhatAFileLeavesOut(t *testing.T) {
	c := parse(t)
	if c.Limits != Defaults().Limits || !reflect.DeepEqual(c.Request, Defaults().Request) || c.Prompts != "builtin" {
		t.Errorf("limits %+v, request %+v, prompts %q", c.Limits, c.Request, c.Prompts)
	}
	quick := c.Profiles["quick"]
	if c.InFlight(quick[0]) != 2 || c.Rate(quick[1]) != 5 || c.MaxTokens(quick[0]) != 64 || c.Timeout(quick[0]) != 30 {
		t.Errorf("in flight %d, rate %g, max tokens %d, timeout %g", c.InFlight(quick[0]), c.Rate(quick[1]),
			c.MaxTokens(quick[0]), c.Timeout(quick[0]))
	}
}

func TestBadCasesNameTheKey(t *testing.T) {
	for _, tt := range []struct{ old, new, want string }{
		{"schema_version: 1", "schema_version: 9", "schema_version: must be 1, got 9"},
		{"id: TC-1", "id: ../x", "id: must be 1 to 64 letters"},
		{"name: small", `name: ""`, "name: must not be empty"},
		{"latency_ms: 100", "latency_ms: .nan", "targets.latency_ms: must be between"},
		{"latency_ms: 100", "latency: 100", `targets.latency: unknown key "latency" (did you mean "latency_ms"?); known keys: latency_ms, `},
		{"latency_ms: 100", "latency_ms: [1]", "latency_ms"},
		{"concurrency: 2", "concurrency: -2", "targets.concurrency: must be between 0 and 1000000, got -2"},
		{"kind: closed, requests: 5}", "kind: shut, requests: 5}",
			"profiles.quick[0].kind: must be one of warmup, closed"},
		{"id: rate", "id: one", `profiles.quick[1].id: "one" is already the id of an earlier phase`},
		{"ramp_s: 1", "ramp_s: 2", "profiles.quick[1].ramp_s: must be below duration_s"},
		{"kind: open, duration_s: 2, ramp_s: 1", "kind: open", "profiles.quick[1].duration_s: an open phase needs"},
		{"compare_to: one", "compare_to: rate",
			"profiles.quick[2].compare_to: must name an earlier phase of kind closed"},
		{"rule: mean_latency", "rule: mean", "checks[0].rule: must be one of answers_valid"},
		{"rule: mean_latency", "rule: percentile_latency", "checks[0].p: rule percentile_latency needs a percentile"},
		{"phase: one", "phase: three", `checks[0].phase: profile quick has no phase "three"`},
		{"target: targets.latency_ms", "target: targets.speed",
			"checks[0].target: must be a number among targets or limits"},
		{"covers: [P1]", "covers: [P2]", `checks[0].covers: must name keys of criteria; unknown key "P2"`},
		{", covers: [P1]", "", "criteria.P1: no check covers it"},
		{"name: small", "name: small\nname: again", "name"},
		{"name: small", "name: [", "line"},
	} {
		if !strings.Contains(small, tt.old) {
			t.Fatalf("no %q in the case", tt.old)
		}
		_, err := Parse([]byte(strings.Replace(small, tt.old, tt.new, 1)))
		if !errors.Is(err, ErrInvalid) || tt.want != "line" && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.new, err, tt.want)
		}
	}
}

func TestErrorsShowTheLine(t *testing.T) {
	_, err := Parse([]byte(strings.Replace(small, "latency_ms: 100", "latency_ms: -100", 1)))
	want := "line 4: targets.latency_ms: must be between 0 and 1e+09, got -100"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v", err)
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	c := parse(t)
	c.Targets.LatencyMS, c.Targets.Quality, c.Name = -1, 2, ""
	if n := len(Problems(c.Validate())); n != 3 {
		t.Errorf("%d problems, want 3: %v", n, c.Validate())
	}
}

func TestSet(t *testing.T) {
	c := parse(t)
	for _, s := range []string{"targets.throughput_rps=80", "profiles.quick.rate.duration_s = 30",
		"profiles.quick.0.requests=9", "checks.lat.gate=false", "limits.caching_declared=true", "name=other",
		"criteria.P1=quick", "request.headers.X-Team.name=search", "request.body.top_p=0.5", "request.body.user=me",
		"profiles.quick.one.prompts=[a/b, c/d]", "checks.lat.covers=P1"} {
		if err := c.Set(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	quick := c.Profiles["quick"]
	if c.Targets.ThroughputRPS != 80 || quick[1].DurationS != 30 || quick[0].Requests != 9 ||
		c.Checks[0].Gate == nil || *c.Checks[0].Gate || !c.Limits.CachingDeclared || c.Name != "other" ||
		c.Criteria["P1"] != "quick" || c.Request.Headers["X-Team.name"] != "search" ||
		c.Request.Body["top_p"] != 0.5 || c.Request.Body["user"] != "me" ||
		!slices.Equal(quick[0].Prompts, []string{"a/b", "c/d"}) || !slices.Equal(c.Checks[0].Covers, []string{"P1"}) {
		t.Errorf("%+v", c)
	}
	if c.Rate(quick[1]) != 80 {
		t.Errorf("the open phase follows the target: %g", c.Rate(quick[1]))
	}
	for s, want := range map[string]string{
		"targets.speed=3":              `targets.speed: unknown key "speed"; known keys: concurrency, cpu_cores, goodput`,
		"targets=3":                    "targets: must name a single value",
		"targets.latency_ms=fast":      `targets.latency_ms: must be a number, got "fast"`,
		"targets.latency_ms=NaN":       "targets.latency_ms: must be a number",
		"targets.concurrency=1.5":      "targets.concurrency: must be a whole number",
		"checks.lat.gate=perhaps":      "checks.lat.gate: must be true or false",
		"profiles.quick.rest.rps=1":    `unknown key "rest"; known keys: one, rate, two`,
		"profiles.slow.one.rps=1":      `unknown key "slow"; known keys: quick`,
		"profiles.quick.one.prompts.0": "must be KEY=VALUE",
		"checks.lat.covers.0=P2":       "is a list of plain values",
		"profiles.quick=x":             "must name a single value",
		"name.first=x":                 "has nothing below it",
	} {
		if err := c.Set(s); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", s, err, want)
		}
	}
}

func TestNumbersByPath(t *testing.T) {
	c := parse(t)
	if n, err := c.Number("targets.concurrency"); err != nil || n != 2 {
		t.Errorf("%g, %v", n, err)
	}
	if _, err := c.Number("name"); !errors.Is(err, ErrInvalid) {
		t.Errorf("a text is not a number: %v", err)
	}
}

func TestEveryRuleIsReachable(t *testing.T) {
	for _, info := range Rules() {
		c := parse(t)
		c.Checks[0].Rule, c.Checks[0].P = info.Rule, 0
		if info.Percentile {
			c.Checks[0].P = 0.9
		}
		if info.Needs == needsLimit {
			c.Checks[0].Limit, c.Checks[0].Target = 1, ""
		}
		if info.Rule == RuleKnee {
			ph := &c.Profiles["quick"][0]
			*ph = Phase{ID: ph.ID, Kind: KindSweep, Sweep: &Sweep{Over: OverRate, From: 1, To: 2}}
			c.Profiles["quick"] = c.Profiles["quick"][:1]
		}
		giveTask(c, info.Rule)
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", info.Rule, err)
		}
	}
}

// TestSweepsOfACase checks that --sweep gives the sweep the objectives of the case's open phase.
func TestSweepsOfACase(t *testing.T) {
	for _, tt := range []struct {
		id, spec, objectives string
		from, to             float64
		gate                 bool
	}{
		{"CHAT-INTERACTIVE", "rate=0.5..20", "ttft:p90<500ms,tpot:p90<50ms,goodput>=0.95", 0.5, 20, true},
		{"MLPERF-MIXTRAL-8X7B-SERVER", "rate", "ttft:p99<2s,tpot:p99<200ms", 0.625, 160, true},
		{"MLPERF-MIXTRAL-8X7B-SERVER", "concurrency=1..8", "ttft:p99<2s,tpot:p99<200ms", 1, 8, false},
		{Default, "concurrency", "latency:mean<2s", 1, 160, true},
	} {
		l, err := Load(tt.id)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Case.OnlySweep("full", tt.spec, 3); err != nil {
			t.Fatal(err)
		}
		if err := l.Case.Validate(); err != nil {
			t.Errorf("%s %s: %v", tt.id, tt.spec, err)
		}
		ph, ok := l.Case.Profiles[SweepProfile].ByID(KneePhase)
		s, of := l.Case.SweepOf(ph)
		if !ok || s.Objectives != tt.objectives || s.From != tt.from || s.To != tt.to || of.DurationS != 3 ||
			of.MaxS != 12 {
			t.Errorf("%s %s: %+v", tt.id, tt.spec, s)
		}
		check := l.Case.Checks[len(l.Case.Checks)-1]
		if check.Rule != RuleKnee || *check.Gate != tt.gate {
			t.Errorf("%s %s: check %+v", tt.id, tt.spec, check)
		}
	}
}

func TestSweepsThatAreWrong(t *testing.T) {
	for key, ph := range map[string]Phase{
		"sweep.to":         {Sweep: &Sweep{Over: OverRate, From: 5, To: 5}},
		"sweep.over":       {Sweep: &Sweep{Over: "speed", From: 1, To: 5}},
		"sweep.from":       {Sweep: &Sweep{Over: OverConcurrency, From: 1.5, To: 5}},
		"sweep.within":     {Sweep: &Sweep{Over: OverRate, From: 1, To: 5, Within: 0.9}},
		"sweep.confidence": {Sweep: &Sweep{Over: OverRate, From: 1, To: 5, Confidence: 1}},
		"sweep.objectives": {Sweep: &Sweep{Over: OverRate, From: 1, To: 5, Objectives: "speed:p99<2s"}},
		"sweep":            {Sweep: &Sweep{Over: OverRate, From: 1, To: 5}, RPS: 3},
		"sweep ":           {},
	} {
		c := parse(t)
		ph.ID, ph.Kind = "knee", KindSweep
		c.Profiles["quick"] = append(c.Profiles["quick"], ph)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "]."+strings.TrimSpace(key)) {
			t.Errorf("%s: %v", key, err)
		}
	}
	c := parse(t)
	c.Profiles["quick"][0].Sweep = &Sweep{Over: OverRate, From: 1, To: 2}
	if c.Validate() == nil {
		t.Error("a sweep in a phase of another kind")
	}
}

func FuzzSweep(f *testing.F) {
	for _, s := range []string{"rate", "rate=1..64", "concurrency=1..128", "rate=..", "rate=1e308..2e308", "=1..2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		c := parse(t)
		if c.OnlySweep("quick", spec, 1) != nil {
			return
		}
		ph, _ := c.Profiles[SweepProfile].ByID(KneePhase)
		if !(ph.Sweep.From > 0) || !(ph.Sweep.To > ph.Sweep.From) {
			t.Errorf("%q: %+v", spec, ph.Sweep)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(small))
	f.Add([]byte("{}"))
	f.Add([]byte("profiles: {quick: [{kind: idle}]}\nchecks: [{}]"))
	f.Add([]byte("&a [*a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data)
		if err != nil {
			if wrong := tellsPlaces(err, string(data)); wrong != nil {
				t.Error(wrong)
			}
			return
		}
		if err := c.Validate(); err != nil {
			t.Errorf("parsed, but %v", err)
		}
		if math.IsNaN(c.Targets.LatencyMS) {
			t.Error("a target is not a number")
		}
	})
}

// FuzzSet checks that any assignment is accepted or is an error that matches ErrInvalid, and that the case can be
// validated afterwards.
func FuzzSet(f *testing.F) {
	for _, s := range []string{"targets.throughput_rps=80", "profiles.quick.sustained.duration_s=30",
		"checks.latency.gate=false", "checks.0.id=x", "=", ".=.", "profiles.quick=1",
		"targets=3", "targets.latency_ms=nan", "targets.latency_ms=1e400", "environment.=1",
		"profiles.quick.0.requests=99999999999", "id", "traceability.x.y=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, assignment string) {
		c, err := Parse([]byte(small))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Set(assignment); err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("not ErrInvalid: %v", err)
			}
			return
		}
		if err := c.Validate(); err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("not ErrInvalid: %v", err)
		}
		key, _, _ := strings.Cut(assignment, "=")
		if n, err := c.Number(strings.TrimSpace(key)); err == nil && math.IsNaN(n) {
			t.Error("no number")
		}
	})
}

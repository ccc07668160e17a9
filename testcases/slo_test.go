package testcases

import (
	"errors"
	"strings"
	"testing"
)

func TestObjectivesBecomeChecks(t *testing.T) {
	c := parse(t)
	if err := c.AddSLO("ttft:p99<2s,tpot:mean<200ms,goodput>=95%"); err != nil {
		t.Fatal(err)
	}
	if err := c.AddSLO("one=latency:p90<1s"); err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	got := map[string]Check{}
	for _, x := range c.Checks {
		got[x.ID] = x
	}
	for id, want := range map[string]Check{
		"slo-rate-ttft-p99":   {Rule: RuleTTFTPercentile, Phase: "rate", P: 0.99, Limit: 2000},
		"slo-rate-tpot-mean":  {Rule: RuleTPOTMean, Phase: "rate", Limit: 200},
		"slo-rate-goodput":    {Rule: RuleGoodput, Phase: "rate", Limit: 0.95},
		"slo-one-latency-p90": {Rule: RulePercentileLatency, Phase: "one", P: 0.9, Limit: 1000},
	} {
		x := got[id]
		if x.Rule != want.Rule || x.Phase != want.Phase || x.P != want.P || x.Limit != want.Limit || x.Clause == "" {
			t.Errorf("%s is %+v", id, x)
		}
	}
	if len(c.Checks) != 5 || strings.Count(c.Objectives("rate"), "<") != 2 {
		t.Errorf("%d checks, objectives %v", len(c.Checks), c.Objectives("rate"))
	}
	data, err := c.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(data)
	if err != nil || len(again.Checks) != 5 {
		t.Errorf("read again: %v, %d checks", err, len(again.Checks))
	}
	if err := c.AddSLO("rate=itl:p50<1s"); err != nil || len(c.Checks) != 3 {
		t.Errorf("replaced: %v, %d checks", err, len(c.Checks))
	}
}

func TestBadObjectivesNameTheKey(t *testing.T) {
	for arg, want := range map[string]string{
		"ttft<2s":                       "it has no statistic",
		"two=goodput>=1":                "below 1",
		"goodput<3":                     "goodput>=SHARE",
		"goodput>=NaN":                  "goodput>=SHARE",
		"ttft:p99<2s,ttft:p99<3s":       "has an objective already",
		"tokens:p99<2s":                 "unknown metric",
		"nowhere=ttft:p99<2s":           `profile quick has no phase "nowhere"`,
		"ttft:p99<2s,tpot:p99<200light": "not a duration",
	} {
		c := parse(t)
		err := errors.Join(c.AddSLO(arg), c.Validate())
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", arg, err, want)
		}
	}
}

func TestRulesWithoutAValueNameTheTarget(t *testing.T) {
	for rule, want := range map[string]string{"ttft_mean": "targets.ttft_ms", "itl_mean": "targets.itl_ms",
		"tpot_mean": "targets.tpot_ms", "goodput": "targets.goodput"} {
		text := strings.Replace(small, "rule: mean_latency, phase: one, target: targets.latency_ms",
			"rule: "+rule+", phase: one", 1)
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", rule, err)
		}
		if _, err := Parse([]byte(strings.Replace(text, "phase: one, cov", "phase: one, limit: 0.5, cov",
			1))); err != nil {
			t.Errorf("%s with a limit: %v", rule, err)
		}
	}
}

package testcases

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/slo"
)

// goodputName begins an objective about the share of requests that meet all other objectives.
const goodputName = "goodput"

// AddSLO adds objectives for phases, such as "ttft:p99<2s,tpot:p99<200ms,goodput>=95%", with "PHASE=" in front for one
// phase. Without a phase they are for every open phase that all profiles have or, if there is none, for every such
// closed phase. They replace earlier objectives of a phase. Errors match ErrInvalid.
func (c *Case) AddSLO(arg string) error {
	phase, list := "", arg
	if before, after, ok := strings.Cut(arg, "="); ok && !strings.ContainsAny(before, "<>:,") {
		phase, list = strings.TrimSpace(before), after
	}
	if _, err := parseObjectives(list); err != nil {
		return &Problem{Key: "slo", Reason: err.Error()}
	}
	phases := []string{phase}
	if phase == "" {
		if phases = c.loadPhases(); len(phases) == 0 {
			return &Problem{Key: "slo", Reason: "needs an open, closed or sweep phase that every profile has"}
		}
	}
	for _, id := range phases {
		c.dropSLO(id)
		if c.SLO == nil {
			c.SLO = map[string]string{}
		}
		c.SLO[id] = list
	}
	return c.ExpandSLO()
}

// loadPhases returns the ids of the open phases that every profile has or, without these, of the closed or the sweep
// phases.
func (c *Case) loadPhases() []string {
	for _, kind := range []Kind{KindOpen, KindClosed, KindSweep} {
		var ids []string
		for i, name := range slices.Sorted(maps.Keys(c.Profiles)) {
			var here []string
			for _, ph := range c.Profiles[name] {
				if ph.Kind == kind && (i == 0 || slices.Contains(ids, ph.ID)) {
					here = append(here, ph.ID)
				}
			}
			ids = here
		}
		if len(ids) > 0 {
			return ids
		}
	}
	return nil
}

// sloPrefix is the beginning of the ids of the checks that are made from a phase's objectives.
func sloPrefix(phase string) string { return "slo-" + phase + "-" }

// dropSLO removes the checks that were made from a phase's objectives.
func (c *Case) dropSLO(phase string) {
	if _, ok := c.SLO[phase]; ok {
		c.Checks = slices.DeleteFunc(c.Checks, func(x Check) bool {
			return strings.HasPrefix(x.ID, sloPrefix(phase)) && x.Phase == phase
		})
	}
}

// ExpandSLO makes a check for each objective of SLO. It can be called again after SLO has changed. Parse calls it.
// Errors match ErrInvalid.
func (c *Case) ExpandSLO() error {
	for _, phase := range slices.Sorted(maps.Keys(c.SLO)) {
		c.dropSLO(phase)
		if c.phaseOf(phase).Kind == KindSweep { // the objectives judge its steps
			for _, phases := range c.Profiles {
				for i := range phases {
					if phases[i].ID == phase && phases[i].Sweep != nil {
						phases[i].Sweep.Objectives = c.SLO[phase]
					}
				}
			}
			continue
		}
		checks, err := parseObjectives(c.SLO[phase])
		if err != nil {
			return &Problem{Key: "slo." + phase, Reason: err.Error(), alone: true}
		}
		for _, x := range checks {
			x.ID, x.Phase = sloPrefix(phase)+x.ID, phase
			x.Clause += " in phase " + phase
			c.Checks = append(c.Checks, x)
		}
	}
	return nil
}

// parseObjectives makes a check for each objective in a list. Their ids do not have the phase yet.
func parseObjectives(list string) ([]Check, error) {
	var out []Check
	for part := range strings.SplitSeq(list, ",") {
		part = strings.TrimSpace(part)
		var x Check
		if strings.HasPrefix(part, goodputName) {
			share, err := parseGoodput(part)
			if err != nil {
				return nil, err
			}
			x = Check{ID: goodputName, Rule: RuleGoodput, Limit: share,
				Clause: fmt.Sprintf("At least %g %% of the requests meet every objective", 100*share)}
		} else {
			objectives, err := slo.Parse(part)
			if err != nil {
				return nil, err
			}
			o := objectives[0]
			x = Check{ID: fmt.Sprintf("%s-%s", o.Metric, o.Statistic()), Rule: objectiveRules[o.Metric][0],
				P: o.Percentile, Limit: o.Limit * 1000, Clause: o.String()}
			if o.Percentile > 0 {
				x.Rule = objectiveRules[o.Metric][1]
			}
		}
		if slices.ContainsFunc(out, func(y Check) bool { return y.ID == x.ID }) {
			return nil, fmt.Errorf("%q: this statistic has an objective already", part)
		}
		out = append(out, x)
	}
	return out, nil
}

// objectiveRules has the rules for the mean and for a percentile of each metric.
var objectiveRules = map[slo.Metric][2]Rule{
	slo.TTFT:    {RuleTTFTMean, RuleTTFTPercentile},
	slo.TPOT:    {RuleTPOTMean, RuleTPOTPercentile},
	slo.ITL:     {RuleITLMean, RuleITLPercentile},
	slo.Latency: {RuleMeanLatency, RulePercentileLatency},
}

// parseGoodput reads "goodput>=0.95" or "goodput>=95%".
func parseGoodput(s string) (float64, error) {
	bad := fmt.Errorf("%w: must be goodput>=SHARE with a share above 0 and below 1, such as goodput>=0.95 or "+
		"goodput>=95%%, got %q", slo.ErrSyntax, s)
	value, ok := strings.CutPrefix(strings.TrimSpace(strings.TrimPrefix(s, goodputName)), ">")
	if !ok {
		return 0, bad
	}
	value = strings.TrimSpace(strings.TrimPrefix(value, "="))
	value, percent := strings.CutSuffix(value, "%")
	share, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if percent {
		share /= 100
	}
	if err != nil || !(share > 0 && share < 1) {
		return 0, bad
	}
	return share, nil
}

// Objectives returns the objectives of a phase in the form of `mixtral certify --slo`, for planning. They are those of
// its checks about latencies that count in the verdict and have a limit. It returns "" if there are none.
func (c *Case) Objectives(phase string) string {
	var out []string
	for _, x := range c.Checks {
		limit := c.Limit(x)
		if x.Phase != phase || !(limit > 0) || x.Gate != nil && !*x.Gate {
			continue
		}
		for _, m := range slo.Metrics {
			if of := objectiveRules[m]; slices.Contains(of[:], x.Rule) {
				out = append(out, slo.Objective{Metric: m, Percentile: x.P, Limit: limit / 1000}.String())
			}
		}
	}
	return strings.Join(out, ",")
}

// Limit returns the number that a check's figure is compared with: the check's limit, the value that its target names,
// or the target of its rule. 0: none.
func (c *Case) Limit(x Check) float64 {
	if x.Limit > 0 {
		return x.Limit
	}
	if x.Target != "" {
		v, err := c.Number(x.Target)
		if err != nil {
			return 0
		}
		return v
	}
	switch t := &c.Targets; x.Rule {
	case RuleTTFTMean, RuleTTFTPercentile:
		return t.TTFTMS
	case RuleTPOTMean, RuleTPOTPercentile:
		return t.TPOTMS
	case RuleITLMean, RuleITLPercentile:
		return t.ITLMS
	case RuleGoodput:
		return t.Goodput
	case RuleMeanLatency, RulePercentileLatency:
		return t.LatencyMS
	case RuleKnee:
		if s := c.phaseOf(x.Phase).Sweep; s != nil {
			return c.kneeTarget(s.Over)
		}
	}
	return 0
}

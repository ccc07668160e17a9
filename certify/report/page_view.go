package report

import (
	"slices"

	"github.com/hxp-enterprise/mixtral/testcases"
)

// section is a heading of the page, for its table of contents.
type section struct{ ID, Name string }

// contents lists the sections of the page.
func (d *pageData) contents() []section {
	out := []section{{"checks", "Checks"}}
	add := func(have bool, id, name string) {
		if have {
			out = append(out, section{id, name})
		}
	}
	add(d.Report.Against != nil, "against", "Earlier run")
	add(len(d.Sweeps) > 0, "sweep", "Sweep")
	add(true, "phases", "Phases")
	add(true, "resources", "Resources")
	add(len(d.Quality) > 0, "quality", "Quality")
	add(true, "metrics", "Metrics")
	add(true, "client", "Client’s error")
	add(len(d.Generators) > 0, "generators", "Generators")
	add(len(d.Criteria) > 0, "traceability", "Traceability")
	add(len(d.Preconditions) > 0, "preconditions", "Preconditions")
	add(true, "provenance", "Provenance")
	return out
}

// keyPhase is the phase whose times are in the tiles: the first open loop with times of tokens, or else the first
// closed one. Without any, it is the step with the highest load at which a sweep held.
func keyPhase(r *Report) (name string, p *Phase) {
	for _, kind := range []testcases.Kind{testcases.KindOpen, testcases.KindClosed} {
		for i := range r.Phases {
			if q := &r.Phases[i]; q.Kind == kind && q.Step == "" && q.TTFT != nil {
				return q.ID, q
			}
		}
	}
	for _, s := range r.Sweeps {
		var best *Step
		for i := range s.Steps {
			if x := &s.Steps[i]; x.Likely && (s.Knee == nil || x.Load <= *s.Knee) && (best == nil ||
				x.Load > best.Load) {
				best = x
			}
		}
		for i := range r.Phases {
			if best != nil && r.Phases[i].ID == best.Phase {
				return Number(best.Load) + " " + s.Unit, &r.Phases[i]
			}
		}
	}
	return "", nil
}

// tokenFigures are the tiles of figures without a target in the specification.
func tokenFigures(r *Report) []figure {
	name, p := keyPhase(r)
	if p == nil {
		return nil
	}
	var out []figure
	for _, x := range []struct {
		name  string
		rules []testcases.Rule
		d     *Dist
	}{{"Time to first token", []testcases.Rule{testcases.RuleTTFTMean, testcases.RuleTTFTPercentile}, p.TTFT},
		{"Time per output token", []testcases.Rule{testcases.RuleTPOTMean, testcases.RuleTPOTPercentile}, p.TPOT}} {
		if x.d == nil {
			continue
		}
		f := figure{Name: x.name, Value: Number(x.d.Mean), Unit: "ms", Goal: "mean in " + name}
		if x.d.P99 != nil {
			f.Goal = "p99 " + Number(*x.d.P99) + " ms, in " + name
		}
		for _, c := range r.Checks {
			if slices.Contains(x.rules, c.Rule) && c.Phase == p.ID && c.Target != nil && graver(c.Verdict,
				f.Verdict) {
				f.Goal, f.Verdict = "target "+op(c.Op)+" "+Number(*c.Target)+" ms", c.Verdict
				if c.Measured != nil {
					f.Value = Number(*c.Measured)
				}
			}
		}
		out = append(out, f)
	}
	if p.OutputTPS > 0 {
		f := figure{Name: "Output tokens", Value: Number(p.OutputTPS), Unit: "tokens/s", Goal: "in " + name}
		if p.OutputMean > 0 {
			f.Goal = Number(p.PromptMean) + " in and " + Number(p.OutputMean) + " out a request"
		}
		out = append(out, f)
	}
	for _, s := range r.Sweeps {
		f := figure{Name: kneeName(r, s), Value: opt(s.Knee), Unit: s.Unit, Goal: "no end proven"}
		switch {
		case s.Low != nil && s.High != nil:
			f.Goal = Number(*s.Low) + " to " + Number(*s.High) + ", " + Number(100*s.Confidence) + " % sure"
		case s.Low != nil:
			f.Goal = "above " + Number(*s.Low)
		case s.High != nil:
			f.Goal = "below " + Number(*s.High)
		}
		for _, c := range r.Checks {
			if c.Rule == testcases.RuleKnee && c.Phase == s.Phase && c.Gate {
				f.Verdict = c.Verdict
			}
		}
		out = append(out, f)
	}
	return out
}

func kneeName(r *Report, s Sweep) string {
	if len(r.Sweeps) == 1 {
		return "Knee"
	}
	return "Knee of " + s.Phase
}

// opened says whether the page shows a phase unfolded: the one whose times are in the tiles, and those that decided
// the verdict. A run has about ten phases, so the others are folded.
func opened(r *Report, p Phase) bool {
	name, key := keyPhase(r)
	if key != nil && p.ID == key.ID && name != "" {
		return true
	}
	return slices.ContainsFunc(Deciding(r), func(c Check) bool { return c.Phase == p.ID })
}

// sweepView is a sweep with its charts.
type sweepView struct {
	Sweep
	Rows   []Step
	Charts []Chart
}

func sweepViews(r *Report) []sweepView {
	var out []sweepView
	for i, s := range r.Sweeps {
		out = append(out, sweepView{s, s.byLoad(), sweepCharts(s, i)})
	}
	return out
}

// changeRows returns the figures that changed, the worse ones first, and the number of those that did not.
func changeRows(a *Against) (rows []Change, same int) {
	if a == nil {
		return nil, 0
	}
	for _, how := range []string{Worse, Better, Differ} {
		for _, c := range a.Changes {
			if c.How == how {
				rows = append(rows, c)
			}
		}
	}
	for _, c := range a.Changes {
		if c.How == Same {
			same++
		}
	}
	return rows, same
}

// howClass is the CSS class of a change.
func howClass(how string) string {
	switch how {
	case Worse:
		return "fail"
	case Better:
		return "pass"
	}
	return "info"
}

// stepClass is the CSS class of a step's verdict.
func stepClass(x Step) string {
	switch x.Verdict {
	case StepHeld:
		return "pass"
	case StepMissed:
		return "fail"
	}
	return "info"
}

// stepWord is a step's verdict in words. For an unclear one it says what is more likely.
func stepWord(x Step) string {
	if x.Verdict != StepUnclear {
		return string(x.Verdict)
	}
	return map[bool]string{true: "rather held", false: "rather missed"}[x.Likely]
}

// serverPairs are the server's reports about itself, except what the head of the page already shows.
func serverPairs(r *Report) []pair {
	var out []pair
	for _, p := range pairs(r.Server) {
		if p.Key != "model" || p.Value != r.Target.Model {
			out = append(out, p)
		}
	}
	return out
}

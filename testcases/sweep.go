package testcases

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Sweep is the search of a phase of kind sweep for the knee, the highest load at which the objectives are met. Each
// step offers one load, until an interval around the knee is narrow enough. The phase's duration_s, requests, max_s
// and ramp_s are those of one step.
type Sweep struct {
	// What varies: "rate" (arrivals per second) or "concurrency" (requests in flight).
	Over SweepOver `yaml:"over" json:"over"`
	// The lowest load, which is tried first.
	From float64 `yaml:"from" json:"from"`
	// The highest load.
	To float64 `yaml:"to" json:"to"`
	// Objectives that a step must meet, such as "ttft:p99<2s,tpot:p99<200ms,goodput>=0.95". Default: the objectives of
	// the profile's first open phase that has any, else of its first closed phase that has any, else
	// targets.latency_ms. Every sweep also requires that failures stay within limits.error_budget, and a sweep over
	// rates that the backlog does not grow.
	Objectives string `yaml:"objectives" json:"objectives,omitempty"`
	// The search ends when the interval around the knee is no wider than this share of the knee; 0: 0.05.
	Within float64 `yaml:"within" json:"within,omitempty"`
	// Confidence of the interval around the knee; 0: 0.95.
	Confidence float64 `yaml:"confidence" json:"confidence,omitempty"`
	// Maximum number of steps; 0: 24.
	Steps int `yaml:"steps" json:"steps,omitempty"`
	// How long to wait for answers after the last request of a step, in seconds; 0: as long as the step.
	DrainS float64 `yaml:"drain_s" json:"drain_s,omitempty"`
	// Pause between two steps, in seconds; 0: 1.
	RestS float64 `yaml:"rest_s" json:"rest_s,omitempty"`
}

// SweepOver names what a sweep varies.
type SweepOver string

// The values of SweepOver.
const (
	OverRate        SweepOver = "rate"
	OverConcurrency SweepOver = "concurrency"
)

var sweepOvers = []SweepOver{OverRate, OverConcurrency}

// Unit returns the unit of the load.
func (o SweepOver) Unit() string {
	if o == OverConcurrency {
		return "in flight"
	}
	return "requests/s"
}

// LoadUnit returns the unit of the load that a sweep's phase varies. A rate counts conversations if the traffic has
// turns.
func (p *Phase) LoadUnit() string {
	if p.Sweep != nil && p.Sweep.Over == OverRate && p.Traffic.Talks() {
		return "conversations/s"
	}
	if p.Sweep == nil {
		return ""
	}
	return p.Sweep.Over.Unit()
}

// Defaults of a sweep, and of its phase.
const (
	sweepWithin     = 0.05
	sweepConfidence = 0.95
	sweepSteps      = 24
	sweepRestS      = 1
	sweepStepS      = 10
	sweepRampShare  = 0.1
	sweepMaxTimes   = 4 // of a step's duration; at a low rate a step ends there, before it has its requests
)

// filled returns the sweep with its defaults.
func (s Sweep) filled() Sweep {
	fill := func(v *float64, by float64) {
		if *v == 0 {
			*v = by
		}
	}
	fill(&s.Within, sweepWithin)
	fill(&s.Confidence, sweepConfidence)
	fill(&s.RestS, sweepRestS)
	if s.Steps == 0 {
		s.Steps = sweepSteps
	}
	return s
}

// SweepOf returns the sweep of a phase and the phase, both with all defaults: the objectives, and the length of a
// step.
func (c *Case) SweepOf(ph Phase) (Sweep, Phase) {
	s := Sweep{}
	if ph.Sweep != nil {
		s = *ph.Sweep
	}
	s = s.filled()
	if ph.DurationS == 0 {
		ph.DurationS = sweepStepS
	}
	if ph.MaxS == 0 {
		ph.MaxS = sweepMaxTimes * ph.DurationS
	}
	if ph.RampS == 0 {
		ph.RampS = sweepRampShare * ph.DurationS
	}
	if s.DrainS == 0 {
		s.DrainS = ph.DurationS
	}
	if s.Objectives == "" {
		s.Objectives = c.sweepObjectives(ph.ID)
	}
	return s, ph
}

// sweepObjectives returns the objectives of the case's first open phase that has any or, without one, of its first
// closed phase that has any. It searches the profiles with the sweep first.
func (c *Case) sweepObjectives(id string) string {
	names := slices.Sorted(maps.Keys(c.Profiles))
	slices.SortStableFunc(names, func(a, b string) int {
		_, inA := c.Profiles[a].ByID(id)
		_, inB := c.Profiles[b].ByID(id)
		switch {
		case inA == inB:
			return 0
		case inA:
			return -1
		}
		return 1
	})
	for _, kind := range []Kind{KindOpen, KindClosed} {
		for _, name := range names {
			for _, ph := range c.Profiles[name] {
				if ph.Kind == kind {
					if o := c.gatedObjectives(ph.ID); o != "" {
						return o
					}
				}
			}
		}
	}
	if c.Targets.LatencyMS > 0 {
		return fmt.Sprintf("latency:mean<%s", millis(c.Targets.LatencyMS))
	}
	return ""
}

func millis(ms float64) time.Duration {
	return time.Duration(math.Round(ms * float64(time.Millisecond)))
}

// gatedObjectives returns the objectives of a phase's checks that count in the verdict, goodput included.
func (c *Case) gatedObjectives(phase string) string {
	out := c.Objectives(phase)
	for _, x := range c.Checks {
		if x.Phase == phase && x.Rule == RuleGoodput && (x.Gate == nil || *x.Gate) && c.Limit(x) > 0 {
			out = strings.TrimPrefix(out+",", ",") + goodputName + ">=" + strconv.FormatFloat(c.Limit(x), 'g', -1, 64)
		}
	}
	return out
}

// SweepChecks returns a check for each objective of a sweep, with a rule, a limit and the phase.
func (s Sweep) SweepChecks(phase string) []Check {
	if s.Objectives == "" {
		return nil
	}
	out, err := parseObjectives(s.Objectives)
	if err != nil {
		return nil // Validate has returned this error
	}
	for i := range out {
		out[i].Phase = phase
	}
	return out
}

// validate checks a sweep and its phase.
func (s *Sweep) validate(p *problems, c *Case, at string, ph Phase) {
	oneOf(p, at+".over", s.Over, sweepOvers)
	most := 1e6
	p.within(at+".from", s.From, 0.001, most)
	if !(s.To > s.From && s.To <= most) {
		p.add(at+".to", "must be above from (%g) and at most %g, got %g", s.From, most, s.To)
	}
	if s.Over == OverConcurrency && (s.From != math.Round(s.From) || s.To != math.Round(s.To)) {
		p.add(at+".from", "must be a whole number, as to, where concurrency varies: is %g, to %g", s.From, s.To)
	}
	f := s.filled()
	p.within(at+".within", f.Within, 0.005, 0.5)
	p.within(at+".confidence", f.Confidence, 0.5, 0.9999)
	p.count(at+".steps", f.Steps, 2, 100)
	p.within(at+".drain_s", s.DrainS, 0, maxPhaseS)
	p.within(at+".rest_s", s.RestS, 0, 3600)
	if s.Objectives != "" {
		if _, err := parseObjectives(s.Objectives); err != nil {
			p.value(at+".objectives", "%v", err)
		}
	} else if full, _ := c.SweepOf(ph); full.Objectives == "" && s.Over == OverConcurrency {
		p.addUsing([]string{"targets.", "checks", "slo"}, at+".objectives",
			"must be given: any number of requests in flight holds where nothing is asked")
	}
	if ph.Arrivals == ArrivalsTrace || len(ph.Stages) > 0 || ph.RPS != 0 || ph.RPSFactor != 0 || ph.Concurrency != 0 {
		p.add(at,
			"must stand without rps, rps_factor, concurrency, stages and arrivals of a trace: the sweep decides "+
				"the load")
	}
}

// KneePhase names the phase and the check that OnlySweep makes, and SweepProfile the profile.
const (
	KneePhase    = "knee"
	SweepProfile = "sweep"
)

// OnlySweep turns a case into one that only searches for the knee. It has a profile "sweep" with the warm-up of
// another profile and a phase "knee", whose requests are those of that profile's first open phase or, without one, of
// its first closed phase. spec is "rate=FROM..TO", "concurrency=FROM..TO", or either word alone for a range around the
// case's target. stepS is the length of a step, in seconds. A check "knee" compares the result with the target, if
// there is one. Errors match ErrInvalid.
func (c *Case) OnlySweep(profile, spec string, stepS float64) error {
	phases, ok := c.Profiles[profile]
	if !ok {
		return &Problem{Key: "profiles." + profile,
			Reason: "there is no such profile to take the sweep's requests from"}
	}
	s, err := c.parseSweep(spec)
	if err != nil {
		return err
	}
	knee := Phase{ID: KneePhase, Kind: KindSweep, Sweep: s, DurationS: stepS}
	for _, kind := range []Kind{KindClosed, KindOpen} {
		for _, ph := range slices.Backward(phases) {
			if ph.Kind == kind {
				knee.Prompts, knee.Traffic, knee.MaxTokens, knee.TimeoutS = ph.Prompts, ph.Traffic, ph.MaxTokens,
					ph.TimeoutS
				if kind == KindOpen && ph.Arrivals != ArrivalsTrace {
					knee.Arrivals, knee.Burstiness = ph.Arrivals, ph.Burstiness
				}
			}
		}
	}
	s.Objectives = c.sweepObjectives(KneePhase)
	out := Phases{}
	for _, ph := range phases {
		if ph.Kind == KindWarmup {
			out = append(out, ph)
			break
		}
	}
	c.Profiles = map[string]Phases{SweepProfile: append(out, knee)}
	c.Checks = slices.DeleteFunc(c.Checks, func(x Check) bool { return !slices.Contains(sweepKeeps, x.Rule) })
	gate := c.kneeTarget(s.Over) > 0
	c.Checks = append(c.Checks, Check{ID: KneePhase, Rule: RuleKnee, Phase: KneePhase, Gate: &gate,
		Clause: "The highest load that keeps the objectives is at least the target"})
	for i := range c.Checks {
		c.Checks[i].Covers = nil
	}
	c.Criteria, c.SLO = nil, nil
	return nil
}

// sweepKeeps lists the rules about a whole run, whose checks stay in a case that only searches for the knee.
var sweepKeeps = []Rule{RulePreconditions, RuleGenerator, RuleStepsComplete, RuleReportWritten}

// kneeTarget returns the load that the case demands, or 0.
func (c *Case) kneeTarget(over SweepOver) float64 {
	if over == OverConcurrency {
		return float64(c.Targets.Concurrency)
	}
	return c.Targets.ThroughputRPS
}

// sweepAround is the factor below and above the target that a sweep searches if no range is given.
const sweepAround = 16

func (c *Case) parseSweep(spec string) (*Sweep, error) {
	bad := func(why string) (*Sweep, error) {
		return nil, &Problem{Key: "sweep",
			Reason: fmt.Sprintf("%s: must be rate=FROM..TO or concurrency=FROM..TO, such "+
				"as rate=1..64, got %q", why, spec)}
	}
	name, span, given := strings.Cut(strings.TrimSpace(spec), "=")
	s := &Sweep{Over: SweepOver(name)}
	if !slices.Contains(sweepOvers, s.Over) {
		return bad("unknown load")
	}
	if !given {
		t := c.kneeTarget(s.Over)
		if t <= 0 {
			return bad("the case has no target to look around")
		}
		s.From, s.To = t/sweepAround, t*sweepAround
		if s.Over == OverConcurrency {
			s.From = math.Max(math.Round(s.From), 1)
		}
		return s, nil
	}
	from, to, ok := strings.Cut(span, "..")
	var errs [2]error
	s.From, errs[0] = strconv.ParseFloat(strings.TrimSpace(from), 64)
	s.To, errs[1] = strconv.ParseFloat(strings.TrimSpace(to), 64)
	if !ok || errs[0] != nil || errs[1] != nil || !finite(s.From) || !finite(s.To) || !(s.To > s.From) ||
		!(s.From > 0) {
		return bad("the range must be two numbers above 0, the greater one last")
	}
	return s, nil
}

package testcases

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
)

// kinds are the values that Phase.Kind may have.
var kinds = []Kind{KindWarmup, KindClosed, KindOpen, KindBatch, KindIdle, KindQuality, KindSweep, KindAudit}

// arrivals are the values that Phase.Arrivals may have.
var arrivals = []Arrivals{ArrivalsPoisson, ArrivalsConstant, ArrivalsGamma, ArrivalsTrace}

// idForm matches ids that can be used in file names, paths and report keys.
var idForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// problems collects all mistakes, so that one reading of a file shows them all.
type problems struct {
	all []error
	// what rules about several values compare at present, as in Problem.uses
	scope []string
}

// value adds a mistake that is in one value alone.
func (p *problems) value(key, reason string, args ...any) {
	p.all = append(p.all, &Problem{Key: key, Reason: fmt.Sprintf(reason, args...), alone: true})
}

// add adds a mistake that is in how several values go together: those of the scope.
func (p *problems) add(key, reason string, args ...any) { p.addUsing(nil, key, reason, args...) }

// addUsing adds a mistake that is in how the values of the scope and those of uses go together.
func (p *problems) addUsing(uses []string, key, reason string, args ...any) {
	p.all = append(p.all, &Problem{Key: key, Reason: fmt.Sprintf(reason, args...),
		uses: slices.Concat(p.scope, uses)})
}

// within demands lo ≤ v ≤ hi, which NaN does not satisfy.
func (p *problems) within(key string, v, lo, hi float64) {
	if !(v >= lo && v <= hi) {
		p.value(key, "must be between %g and %g, got %g", lo, hi, v)
	}
}

func (p *problems) count(key string, v, lo, hi int) {
	if v < lo || v > hi {
		p.value(key, "must be between %d and %d, got %d", lo, hi, v)
	}
}

func (p *problems) id(key, v string) {
	if !idForm.MatchString(v) {
		p.value(key, "must be 1 to 64 letters, digits, dots, dashes or underscores, got %q", v)
	}
}

func oneOf[S ~string](p *problems, key string, v S, allowed []S) {
	if !slices.Contains(allowed, v) {
		p.value(key, "must be one of %s, got %q", list(allowed), v)
	}
}

// list formats names for a message.
func list[S ~string](names []S) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = string(n)
	}
	return strings.Join(out, ", ")
}

// ruleNames are the values that Check.Rule may have.
func ruleNames() []Rule {
	out := make([]Rule, len(rules))
	for i, r := range rules {
		out[i] = r.Rule
	}
	return out
}

// Validate returns an error with everything that is wrong with a case. Problems lists its parts.
func (c *Case) Validate() error {
	var p problems
	if c.SchemaVersion != SchemaVersion {
		p.value("schema_version", "must be %d, got %d", SchemaVersion, c.SchemaVersion)
	}
	p.id("id", c.ID)
	if strings.TrimSpace(c.Name) == "" {
		p.value("name", "must not be empty")
	}
	p.count("environment.cpu_cores", c.Environment.CPUCores, 0, 1<<16)
	p.within("environment.memory_gb", c.Environment.MemoryGB, 0, 1e6)
	p.within("environment.storage_gb", c.Environment.StorageGB, 0, 1e9)
	p.within("environment.network_gbps", c.Environment.NetworkGbps, 0, 1e6)
	c.Targets.validate(&p)
	c.Limits.validate(&p)
	if c.Prompts == "" {
		p.value("prompts", `must be "builtin" or the path of a prompt file`)
	}
	p.count("request.max_tokens", c.Request.MaxTokens, 1, 1<<20)
	p.within("request.temperature", c.Request.Temperature, 0, 2)
	for key := range c.Metrics {
		if !slices.Contains(MetricNames(), key) {
			p.value("metrics."+key, "must be one of %s", strings.Join(MetricNames(), ", "))
		}
	}
	for _, key := range []string{"stream", "messages", "model"} {
		if c.Request.Body[key] != nil {
			p.value("request.body."+key, "must not be there: the run decides it")
		}
	}
	c.validateProfiles(&p)
	c.validateChecks(&p)
	return errors.Join(p.all...)
}

func (t *Targets) validate(p *problems) {
	p.within("targets.latency_ms", t.LatencyMS, 0, 1e9)
	p.within("targets.throughput_rps", t.ThroughputRPS, 0, 1e6)
	p.within("targets.quality", t.Quality, 0, 1)
	p.within("targets.memory_gb", t.MemoryGB, 0, 1e6)
	p.within("targets.cpu_cores", t.CPUCores, 0, 1<<16)
	p.count("targets.concurrency", t.Concurrency, 0, 1e6)
	p.within("targets.ttft_ms", t.TTFTMS, 0, 1e9)
	p.within("targets.tpot_ms", t.TPOTMS, 0, 1e9)
	p.within("targets.itl_ms", t.ITLMS, 0, 1e9)
	if !(t.Goodput >= 0 && t.Goodput < 1) {
		p.value("targets.goodput", "must be at least 0 and below 1, got %g: no number of requests proves that "+
			"all are good",
			t.Goodput)
	}
}

func (l *Limits) validate(p *problems) {
	p.within("limits.error_budget", l.ErrorBudget, 0, 1)
	p.within("limits.issue_delay_ms", l.IssueDelayMS, 0.01, 1e6)
	p.count("limits.max_in_flight", l.MaxInFlight, 1, 1e6)
	p.within("limits.stall_ms", l.StallMS, 0, 86400e3)
	p.within("limits.request_timeout_s", l.RequestTimeoutS, 0.1, 86400)
	p.within("limits.degradation_share", l.DegradationShare, 0, 10)
	p.within("limits.degradation_ms", l.DegradationMS, 0, 1e6)
	p.within("limits.leak_mb_per_hour", l.LeakMBPerHour, 0, 1e9)
	p.within("limits.leak_share", l.LeakShare, 0, 10)
	p.within("limits.cache_speedup", l.CacheSpeedup, 0, 1)
	p.within("limits.metrics_gap_ms", l.MetricsGapMS, 0, 1e6)
	p.within("limits.little_share", l.LittleShare, 0, 1)
	p.within("limits.confidence", l.Confidence, 0.5, 0.9999)
	p.within("limits.quality_tolerance", l.QualityTolerance, 0, 1)
	p.within("limits.baseline_share", l.BaselineShare, 0, 10)
}

func (c *Case) validateProfiles(p *problems) {
	if len(c.Profiles) == 0 {
		p.value("profiles", `must have at least one profile, such as "quick"`)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Profiles)) {
		key := "profiles." + name
		p.id(key, name)
		if len(c.Profiles[name]) == 0 {
			p.value(key, "must have at least one phase")
		}
		earlier := map[string]Kind{} // by id
		for i, ph := range c.Profiles[name] {
			at := fmt.Sprintf("%s[%d]", key, i)
			p.scope = []string{at + "."}
			if _, twice := earlier[ph.ID]; twice {
				p.value(at+".id", "%q is already the id of an earlier phase of this profile", ph.ID)
			}
			c.validatePhase(p, at, ph, earlier)
			earlier[ph.ID] = ph.Kind
		}
	}
	p.scope = nil
}

// phaseKeys lists the keys that say which phases there are, as for Problem.uses.
func (c *Case) phaseKeys() []string {
	keys := []string{"profiles"}
	for name, phases := range c.Profiles {
		for i := range phases {
			at := fmt.Sprintf("profiles.%s[%d].", name, i)
			keys = append(keys, at+"id", at+"kind", at+"sweep", at+"task")
		}
		keys = append(keys, "profiles."+name)
	}
	return keys
}

// maxPhaseS is a week, in seconds. A longer phase is a typing error.
const maxPhaseS = 7 * 86400

func (c *Case) validatePhase(p *problems, at string, ph Phase, earlier map[string]Kind) {
	p.id(at+".id", ph.ID)
	oneOf(p, at+".kind", ph.Kind, kinds)
	p.count(at+".concurrency", ph.Concurrency, 0, 1e6)
	p.count(at+".requests", ph.Requests, 0, 1e8)
	p.count(at+".max_tokens", ph.MaxTokens, 0, 1<<20)
	p.within(at+".rps", ph.RPS, 0, 1e6)
	p.within(at+".rps_factor", ph.RPSFactor, 0, 100)
	p.within(at+".duration_s", ph.DurationS, 0, maxPhaseS)
	p.within(at+".ramp_s", ph.RampS, 0, maxPhaseS)
	p.within(at+".max_s", ph.MaxS, 0, maxPhaseS)
	p.within(at+".timeout_s", ph.TimeoutS, 0, maxPhaseS)
	if ph.MaxS > 0 && ph.MaxS < ph.DurationS {
		p.add(at+".max_s", "must be at least duration_s (%g), got %g", ph.DurationS, ph.MaxS)
	}
	if ph.DurationS > 0 && ph.RampS >= ph.DurationS {
		p.add(at+".ramp_s", "must be below duration_s (%g), got %g: nothing would be left to judge", ph.DurationS,
			ph.RampS)
	}
	if ph.CompareTo != "" {
		if kind, ok := earlier[ph.CompareTo]; !ok || kind != ph.Kind {
			p.addUsing(c.phaseKeys(), at+".compare_to", "must name an earlier phase of kind %s, got %q", ph.Kind,
				ph.CompareTo)
		}
	}
	if ph.Task != nil {
		ph.Task.validate(p, at+".task", ph)
	}
	if (ph.Sweep != nil) != (ph.Kind == KindSweep) {
		p.add(at+".sweep", "phases of kind sweep need it, and others have none")
	} else if ph.Sweep != nil {
		ph.Sweep.validate(p, c, at+".sweep", ph)
	}
	if ph.Traffic != nil {
		ph.Traffic.validate(p, at+".traffic", ph)
	}
	c.validateArrivals(p, at, ph)
	switch ph.Kind {
	case KindSweep:
		if ph.Arrivals != "" {
			oneOf(p, at+".arrivals", ph.Arrivals, arrivals)
		}
	case KindOpen:
		if ph.Arrivals != "" {
			oneOf(p, at+".arrivals", ph.Arrivals, arrivals)
		}
		if ph.Arrivals == ArrivalsTrace || len(ph.Stages) > 0 {
			break
		}
		if c.Rate(ph) <= 0 {
			p.addUsing([]string{"targets.throughput_rps"}, at+".rps",
				"needs a rate here or in targets.throughput_rps")
		}
		if ph.DurationS <= 0 && ph.Requests <= 0 {
			p.add(at+".duration_s", "an open phase needs duration_s or requests")
		}
	case KindClosed, KindWarmup:
		if ph.DurationS <= 0 && ph.Requests <= 0 && !ph.Task.counts() {
			p.add(at+".duration_s", "a %s phase needs duration_s or requests", ph.Kind)
		}
	case KindBatch:
		if ph.Requests <= 0 && !ph.Task.counts() {
			p.add(at+".requests", "a batch phase needs the number of requests")
		}
	case KindIdle:
		if ph.DurationS <= 0 {
			p.add(at+".duration_s", "an idle phase needs a duration")
		}
	}
}

func (c *Case) validateChecks(p *problems) {
	phaseKeys := c.phaseKeys()
	for _, phase := range slices.Sorted(maps.Keys(c.SLO)) {
		if _, err := parseObjectives(c.SLO[phase]); err != nil {
			p.value("slo."+phase, "%v", err)
		}
		for _, name := range slices.Sorted(maps.Keys(c.Profiles)) {
			if _, ok := c.Profiles[name].ByID(phase); !ok {
				p.addUsing(phaseKeys, "slo."+phase, "profile %s has no phase %q", name, phase)
			}
		}
	}
	if len(c.Checks)+len(c.SLO) == 0 {
		p.value("checks", "must have at least one check")
	}
	ids, covered := map[string]bool{}, map[string]bool{}
	coverKeys := []string{"checks"}
	for i, ch := range c.Checks {
		at := fmt.Sprintf("checks[%d]", i)
		coverKeys = append(coverKeys, at+".covers")
		if c.ofSLO(ch) {
			c.validateSLOCheck(p, ch, ids[ch.ID])
			ids[ch.ID] = true
			continue
		}
		p.id(at+".id", ch.ID)
		if ids[ch.ID] {
			p.value(at+".id", "%q is already the id of an earlier check", ch.ID)
		}
		ids[ch.ID] = true
		if strings.TrimSpace(ch.Clause) == "" {
			p.value(at+".clause", "must be the sentence that the check keeps")
		}
		p.scope = append([]string{at + "."}, phaseKeys...)
		for _, id := range ch.Covers {
			covered[id] = true
			if _, ok := c.Criteria[id]; !ok {
				p.addUsing([]string{"criteria"}, at+".covers", "must name keys of criteria; unknown key %q", id)
			}
		}
		c.validateCheck(p, at, ch)
		p.scope = nil
	}
	for _, id := range slices.Sorted(maps.Keys(c.Criteria)) {
		if !covered[id] {
			p.addUsing(coverKeys, "criteria."+id, "no check covers it")
		}
	}
}

// ofSLO says whether ExpandSLO made the check.
func (c *Case) ofSLO(ch Check) bool {
	_, ok := c.SLO[ch.Phase]
	return ok && strings.HasPrefix(ch.ID, sloPrefix(ch.Phase))
}

// validateSLOCheck checks a check that ExpandSLO made. Its mistakes are those of the objectives: nobody wrote the
// check.
func (c *Case) validateSLOCheck(p *problems, ch Check, twice bool) {
	key := "slo." + ch.Phase
	if !idForm.MatchString(ch.ID) || twice {
		p.value(key, "its check has the id %q, which must be 1 to 64 letters, digits, dots, dashes or underscores, "+
			"and differ from those of other checks", ch.ID)
	}
	var of problems
	c.validateCheck(&of, "", ch)
	for _, found := range Problems(errors.Join(of.all...)) {
		if found.Key != ".phase" { // the objectives have this mistake already
			p.value(key, "its check %s: %s", strings.TrimPrefix(found.Key, "."), found.Reason)
		}
	}
}

func (c *Case) validateCheck(p *problems, at string, ch Check) {
	rule, ok := ch.Rule.Info()
	if !ok {
		p.value(at+".rule", "must be one of %s, got %q", list(ruleNames()), ch.Rule)
		return
	}
	c.validateTaskCheck(p, at, ch)
	if rule.Percentile && !(ch.P > 0 && ch.P < 1) {
		p.add(at+".p", "rule %s needs a percentile between 0 and 1 such as 0.99, got %g", ch.Rule, ch.P)
	}
	if !rule.Percentile && ch.P != 0 {
		p.add(at+".p", "must be left out: rule %s has no percentile", ch.Rule)
	}
	if ch.Rule == RuleKnee && ch.Phase != "" && c.phaseOf(ch.Phase).Kind != KindSweep {
		p.add(at+".phase", "rule %s needs a phase of kind sweep, got %q", ch.Rule, ch.Phase)
	}
	if ch.Rule != RuleKnee && rule.Phase && c.phaseOf(ch.Phase).Kind == KindSweep {
		p.add(at+".phase", "must be another phase: what a step of a sweep must hold stands in its objectives")
	}
	if rule.Phase && ch.Phase == "" {
		p.add(at+".phase", "rule %s needs a phase", ch.Rule)
	}
	if ch.Phase != "" {
		for _, name := range slices.Sorted(maps.Keys(c.Profiles)) {
			if _, ok := c.Profiles[name].ByID(ch.Phase); !ok {
				p.add(at+".phase", "profile %s has no phase %q", name, ch.Phase)
			}
		}
	}
	p.within(at+".limit", ch.Limit, 0, 1e9)
	if ch.Limit != 0 && ch.Target != "" {
		p.add(at+".limit", "must be left out where target is given (%s)", ch.Target)
	}
	if ch.Limit != 0 && rule.Op == "" {
		p.add(at+".limit", "must be left out: rule %s has none", ch.Rule)
	}
	if ch.Rule == RuleGoodput && ch.Limit >= 1 {
		p.add(at+".limit", "must be below 1, got %g: no number of requests proves that all are good", ch.Limit)
	}
	if rule.Needs == needsLimit && !(ch.Limit > 0) {
		p.add(at+".limit", "rule %s needs one above 0", ch.Rule)
	} else if rule.Needs != "" && !(c.Limit(ch) > 0) {
		p.addUsing(numbers, at+".target", "rule %s needs a value above 0 in %s, a target or a limit", ch.Rule,
			rule.Needs)
	}
	if ch.Target != "" {
		if _, err := c.Number(ch.Target); err != nil {
			p.value(at+".target", "must be a number among targets or limits, got %q", ch.Target)
		}
	}
}

// numbers are the sections whose numbers checks compare with, as for Problem.uses.
var numbers = []string{"targets.", "limits."}

// phaseOf returns the phase with an id, from any profile.
func (c *Case) phaseOf(id string) Phase {
	for _, name := range slices.Sorted(maps.Keys(c.Profiles)) {
		if ph, ok := c.Profiles[name].ByID(id); ok {
			return ph
		}
	}
	return Phase{}
}

// Rate returns the mean rate of an open phase, in arrivals per second.
func (c *Case) Rate(ph Phase) float64 {
	if len(ph.Stages) > 0 {
		return stagesRate(ph.Stages)
	}
	if ph.RPS > 0 {
		return ph.RPS
	}
	factor := ph.RPSFactor
	if factor == 0 {
		factor = 1
	}
	return factor * c.Targets.ThroughputRPS
}

// Least returns the least length of a phase, in seconds, as far as it is known before the phase runs.
func (c *Case) Least(ph Phase) float64 {
	s := ph.DurationS
	for _, stage := range ph.Stages {
		s += stage.DurationS
	}
	if ph.Kind == KindOpen && len(ph.Stages) == 0 && c.Rate(ph) > 0 {
		s = max(s, float64(ph.Requests)/c.Rate(ph))
	}
	return s
}

// InFlight returns the requests in flight of a closed phase: its own number, or the case's target.
func (c *Case) InFlight(ph Phase) int {
	switch {
	case ph.Concurrency > 0:
		return ph.Concurrency
	case ph.Kind == KindClosed && c.Targets.Concurrency > 0:
		return c.Targets.Concurrency
	}
	return 1
}

// MaxTokens returns the max_tokens of a phase's requests.
func (c *Case) MaxTokens(ph Phase) int {
	if ph.MaxTokens > 0 {
		return ph.MaxTokens
	}
	return c.Request.MaxTokens
}

// Timeout returns the time limit of one request of a phase, in seconds.
func (c *Case) Timeout(ph Phase) float64 {
	if ph.TimeoutS > 0 {
		return ph.TimeoutS
	}
	return c.Limits.RequestTimeoutS
}

// finite says whether v is neither NaN nor infinite.
func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

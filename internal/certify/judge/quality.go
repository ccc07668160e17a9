package judge

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// mark is the quality of one scheduled answer. A failed request has score 0.
type mark struct {
	prompt string
	score  float64
	scored *evidence.Score // nil for a failed request
	answer *request
}

// marks lists the answers of a phase with their scores. missing counts answers without a score.
func (r *run) marks(p *phase) (marks []mark, missing int) {
	scored := map[int]*evidence.Score{}
	for _, s := range r.scores {
		if s.Phase == p.plan.ID {
			scored[s.N] = s
		}
	}
	for _, q := range p.requests {
		switch s := scored[int(q.N)]; {
		case !q.OK():
			marks = append(marks, mark{prompt: q.Prompt, answer: q})
		case s != nil:
			marks = append(marks, mark{prompt: q.Prompt, score: s.Score, scored: s, answer: q})
		default:
			missing++
		}
	}
	return marks, missing
}

// quiet is the phase from which quality is read: the one that a quality check names, or else the first quality phase.
func (r *run) quiet() *phase {
	for i := range r.c.Checks {
		if c := &r.c.Checks[i]; c.Rule == testcases.RuleQuality && c.Phase != "" {
			return r.byID(c.Phase)
		}
	}
	for _, p := range r.phases {
		if p.plan.Kind == testcases.KindQuality {
			return p
		}
	}
	return nil
}

// loaded lists the phases under load whose texts were kept. id narrows the list to one phase; "" lists all.
func (r *run) loaded(id string) []*phase {
	quiet := r.quiet()
	var out []*phase
	for _, p := range r.phases {
		if p == quiet || !p.plan.KeepText && p.plan.ID != id {
			continue
		}
		if id == "" || id == p.plan.ID {
			out = append(out, p)
		}
	}
	return out
}

// meanByPrompt is the mean over prompts of each prompt's mean score, so that every prompt has the same weight.
func meanByPrompt(marks []mark) (mean float64, each map[string]float64) {
	sum, n := map[string]float64{}, map[string]int{}
	for _, m := range marks {
		sum[m.prompt] += m.score
		n[m.prompt]++
	}
	each = map[string]float64{}
	for _, k := range sortedKeys(sum) {
		each[k] = sum[k] / float64(n[k])
		mean += each[k] / float64(len(sum))
	}
	return mean, each
}

// qualityScore compares the mean score with the target. The prompts are the whole set that the case names and not a
// sample, so the mean itself decides. Its interval is shown if prompts were asked several times.
func qualityScore(r *run, c *testcases.Check) outcome {
	target, err := r.value(c, r.c.Targets.Quality)
	if err != nil {
		return invalid("%v", err)
	}
	p := r.quiet()
	if c.Phase != "" {
		p = r.byID(c.Phase)
	}
	if p == nil || p.ran == nil {
		return invalid("no quality phase ran")
	}
	marks, missing := r.marks(p)
	if len(marks) == 0 {
		return invalid("no answer was scored")
	}
	mean, each := meanByPrompt(marks)
	mean = significant(mean)
	o := outcome{measured: ptr(mean), op: ">=", target: ptr(target), unit: "score", verdict: report.Pass}
	weakest := sortedKeys(each)
	slices.SortStableFunc(weakest, func(a, b string) int { return cmpFloat(each[a], each[b]) })
	o.reason = fmt.Sprintf("%s to %s; weakest %s (%s)", plural(len(marks), "answer", "answers"),
		plural(len(each), "prompt", "prompts"), weakest[0], num(each[weakest[0]]))
	if len(marks) > len(each) {
		scores := make([]float64, len(marks))
		for i, m := range marks {
			scores[i] = m.score - each[m.prompt] // the spread between answers, not between prompts
		}
		_, lo, hi := meanInterval(scores, r.conf(), r.header.Rules)
		o.interval = band(mean+lo, mean+hi)
	}
	if cal := r.header.Calibration; cal != nil {
		o.reason += fmt.Sprintf("; calibrated: AUC %s, false passes %s at %s", num(cal.AUC), percent(cal.FalsePass),
			num(cal.Threshold))
	}
	if !(mean >= target) {
		o.verdict = report.Fail
		if why := r.whyLow(marks); why != "" {
			o.reason += "; it cost most: " + why
		}
	}
	if missing > 0 {
		o.verdict, o.reason = report.Invalid, plural(missing, "answer has", "answers have")+" no score; "+o.reason
	}
	return r.unlessSpoiled(o, p)
}

func cmpFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// whyLow is the first reason for the score of the answer with the lowest score.
func (r *run) whyLow(marks []mark) string {
	var low *mark
	for i := range marks {
		if m := &marks[i]; low == nil || m.score < low.score {
			low = m
		}
	}
	switch {
	case low == nil:
		return ""
	case low.scored == nil:
		return "requests that failed"
	case len(low.scored.Why) > 0:
		return low.scored.Why[0]
	}
	return ""
}

// qualityUnderLoad compares answers under load with those of the quality phase to the same prompts. It fails a drop
// above the tolerance that the spread of the answers does not explain. It also fails such a drop if it takes good
// answers below the target: against the target the mean itself decides, as in qualityScore.
func qualityUnderLoad(r *run, c *testcases.Check) outcome {
	tolerance, err := r.value(c, r.c.Limits.QualityTolerance)
	if err != nil {
		return invalid("%v", err)
	}
	quiet := r.quiet()
	if quiet == nil || quiet.ran == nil {
		return invalid("no quality phase ran to compare with")
	}
	before, _ := r.marks(quiet)
	if !slices.ContainsFunc(before, func(m mark) bool { return m.scored != nil }) {
		return invalid("no quiet answer was scored that those under load could be compared with")
	}
	_, base := meanByPrompt(before)
	var drops []float64
	var under []mark
	for _, p := range r.loaded(c.Phase) {
		marks, _ := r.marks(p)
		for _, m := range marks {
			if b, ok := base[m.prompt]; ok {
				under = append(under, m)
				drops = append(drops, b-m.score)
			}
		}
	}
	const fewest = 5
	if len(drops) < fewest {
		return invalid("%s under load can be compared, %d are the least", plural(len(drops), "answer", "answers"),
			fewest)
	}
	drop, lo, hi := meanInterval(drops, r.conf(), r.header.Rules)
	drop = significant(drop)
	score, _ := meanByPrompt(under)
	o := outcome{measured: ptr(drop), interval: band(lo, hi), op: "<=", target: ptr(tolerance), unit: "score",
		verdict: report.Pass,
		reason: fmt.Sprintf("%s under load score %s, %s from the quiet answers to the same prompts",
			plural(len(drops), "answer", "answers"), num(score), signed3(-drop))}
	target := r.c.Targets.Quality
	switch fell := significant(score) < target && significant(score+drop) >= target; {
	case drop <= tolerance:
	case fell:
		o.verdict = report.Fail
		o.reason += fmt.Sprintf(", which takes them below the target of %s", num(target))
	case lo > 0:
		o.verdict = report.Fail
	default:
		o.reason += "; the spread of the answers may explain it"
	}
	return r.unlessSpoiled(o, append(r.loaded(c.Phase), quiet)...)
}

func signed3(x float64) string {
	if x > 0 {
		return "+" + fmt.Sprintf("%.3f", x)
	}
	return fmt.Sprintf("%.3f", x)
}

// qualityReport is the report's section about quality.
func (r *run) qualityReport() report.Quality {
	var out report.Quality
	if cal := r.header.Calibration; cal != nil {
		out.Calibration = map[string]float64{"auc": cal.AUC, "false_pass": cal.FalsePass, "false_fail": cal.FalseFail,
			"threshold": cal.Threshold}
		for k, v := range cal.PerFault {
			out.Calibration["auc_"+strings.ReplaceAll(k, " ", "_")] = v
		}
	}
	quiet := r.quiet()
	if quiet == nil {
		return out
	}
	marks, _ := r.marks(quiet)
	if len(marks) == 0 {
		return out
	}
	mean, each := meanByPrompt(marks)
	out.Score, out.Quiet, out.PerPrompt, out.N = ptr(mean), ptr(mean), each, len(marks)
	for _, m := range marks {
		if m.scored != nil {
			out.Relevance += m.scored.Relevance / float64(len(marks))
			out.Coherence += m.scored.Coherence / float64(len(marks))
			out.Completeness += m.scored.Completeness / float64(len(marks))
		}
	}
	out.Review, out.ReviewErrors = reviews(marks)
	var under []mark
	for _, p := range r.loaded("") {
		m, _ := r.marks(p)
		under = append(under, m...)
	}
	if len(under) > 0 {
		mean, _ := meanByPrompt(under)
		out.UnderLoad = ptr(mean)
	}
	out.Worst, out.Samples = worstOf(marks), r.samplesOf(marks)
	return out
}

// reviews returns the mean of a reviewer's scores for the answers, and how many of its replies could not be used.
func reviews(marks []mark) (mean *float64, errors int) {
	sum, n := 0.0, 0
	for _, m := range marks {
		switch {
		case m.scored == nil:
		case m.scored.Review != nil:
			sum, n = sum+*m.scored.Review, n+1
		case m.scored.ReviewErr != "":
			errors++
		}
	}
	if n == 0 {
		return nil, errors
	}
	return ptr(sum / float64(n)), errors
}

const (
	mostSamples = 12  // the specification's nine prompts, and three more
	mostText    = 600 // runes of a sample answer: enough to see what the model does
)

// worstOf lists the reasons for the lowest scores, each once and five at most.
func worstOf(marks []mark) []string {
	sorted := slices.Clone(marks)
	slices.SortStableFunc(sorted, func(a, b mark) int { return cmpFloat(a.score, b.score) })
	var out []string
	for _, m := range sorted {
		if m.scored == nil || len(out) == 5 {
			continue
		}
		for _, why := range m.scored.Why {
			if line := m.prompt + ": " + why; !slices.Contains(out, line) && len(out) < 5 {
				out = append(out, line)
			}
		}
	}
	return out
}

// samplesOf shows the first scored answer to each prompt.
func (r *run) samplesOf(marks []mark) []report.QualitySample {
	var out []report.QualitySample
	seen := map[string]bool{}
	for _, m := range marks {
		if m.scored == nil || seen[m.prompt] || len(out) == mostSamples {
			continue
		}
		seen[m.prompt] = true
		text := []rune(m.answer.Text)
		short := string(text[:min(len(text), mostText)])
		if len(text) > mostText {
			short += " …"
		}
		out = append(out, report.QualitySample{Prompt: m.prompt, Question: r.header.Prompts[m.prompt], Text: short,
			Score: m.score, Why: m.scored.Why})
	}
	return out
}

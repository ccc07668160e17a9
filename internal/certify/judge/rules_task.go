package judge

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/base/stats"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// fewestGraded is the smallest sample of a task that is judged. With fewer answers, the interval of a share covers
// half of the range from 0 to 1.
const fewestGraded = 10

// graded compares the mean grade of a task's answers with the limit. A failed request has grade 0. If every question
// of the set was asked, the mean itself decides; for a sample the end of its interval does.
func graded(r *run, c *testcases.Check) outcome {
	p := r.byID(c.Phase)
	if p == nil || p.ran == nil {
		return invalid("%s", noPhase(c))
	}
	byN := map[int]*evidence.Grade{}
	for _, g := range r.grades {
		if g.Phase == c.Phase {
			byN[g.N] = g
		}
	}
	var values []float64
	of, failed, right, missing := 0, 0, 0, 0
	items, groups := map[string]bool{}, map[string][2]int{}
	shares := testcases.TaskRules[c.Rule] != testcases.TaskRouge // only ROUGE gives grades between 0 and 1
	for _, q := range p.requests {
		g, v := byN[int(q.N)], 0.0
		switch {
		case !q.OK():
			failed++
		case g == nil:
			missing++
			continue
		default:
			v = g.Values[c.Rule]
			of, items[g.Item] = g.Of, true
			n := groups[g.Group]
			n[1]++
			if v == 1 {
				n[0]++
			}
			groups[g.Group] = n
		}
		if v == 1 {
			right++
		}
		values = append(values, v)
	}
	if missing > 0 {
		return invalid("%s no grade", plural(missing, "answer has", "answers have"))
	}
	whole := of > 0 && len(items) >= of
	if n := len(values); n == 0 || n < fewestGraded && !whole {
		return invalid("%s: %d are the least", plural(n, "graded answer", "graded answers"), fewestGraded)
	}
	mean, lo, hi := meanInterval(values, r.conf(), r.header.Rules)
	if shares {
		mean = float64(right) / float64(len(values))
		lo, hi = stats.Wilson(right, len(values), r.conf())
	}
	mean, lo, hi = significant(mean), significant(lo), significant(hi)
	o := outcome{measured: ptr(mean), interval: band(lo, hi), op: ">=", target: ptr(c.Limit), unit: "share",
		verdict: report.Pass, reason: gradedReason(len(values), of, failed, whole, r.conf()) + weakest(groups)}
	if c.Rule == testcases.RuleNeedle && r.header.Rules >= 3 {
		o.reason += promptTokens(p.requests)
	}
	low, high := lo, hi
	if whole {
		low, high = mean, mean
	}
	switch {
	case low >= c.Limit:
	case high < c.Limit:
		o.verdict = report.Fail
		o.reason += firstWrong(p.requests, byN, c.Rule, right == 0 && r.header.Rules >= 3)
	case mean >= c.Limit:
		o.verdict = report.Invalid
		o.reason += "; " + moreNeeded(len(values), mean-lo, mean-c.Limit)
	default:
		o.verdict, o.reason = report.Invalid, o.reason+"; it is below the limit, but chance may explain it"
	}
	return r.unlessSpoiled(o, p)
}

func gradedReason(n, of, failed int, whole bool, conf float64) string {
	s := plural(n, "answer", "answers")
	switch {
	case whole:
		s += fmt.Sprintf(", every one of %s", plural(of, "question", "questions"))
	case of > 0:
		s += fmt.Sprintf(", a sample of %s", plural(of, "question", "questions"))
	}
	if failed > 0 {
		s += fmt.Sprintf(", %s without an answer", plural(failed, "request", "requests"))
	}
	return s + fmt.Sprintf("; the interval is at %s confidence", percent(conf))
}

// weakest names the groups of questions with the smallest share of correct answers; "" if there is only one group.
func weakest(groups map[string][2]int) string {
	if len(groups) < 2 {
		return ""
	}
	names := slices.Sorted(maps.Keys(groups))
	share := func(name string) float64 { return float64(groups[name][0]) / float64(groups[name][1]) }
	slices.SortStableFunc(names, func(a, b string) int { return cmpFloat(share(a), share(b)) })
	var parts []string
	for _, name := range names {
		if len(parts) < 3 && share(name) < 1 {
			parts = append(parts, fmt.Sprintf("%s %d of %d", name, groups[name][0], groups[name][1]))
		}
	}
	if len(parts) == 0 {
		return fmt.Sprintf("; every one of %d groups", len(names))
	}
	return "; weakest: " + strings.Join(parts, ", ")
}

// firstWrong shows the first wrong answer with a reason. If no answer was right, it may show the error of a failed
// request instead, because a server may refuse all questions of a kind.
func firstWrong(requests []*request, grades map[int]*evidence.Grade, rule testcases.Rule, none bool) string {
	for _, q := range requests {
		if g := grades[int(q.N)]; g != nil && g.Values[rule] < 1 && g.Why != "" {
			return "; such as " + g.Item + ": " + g.Why
		}
	}
	for _, q := range requests {
		if none && !q.OK() && q.Detail != "" {
			return "; such as " + q.Prompt + ": " + q.Detail
		}
	}
	return ""
}

// promptTokens says how long the prompts of a phase were, in tokens as the server counted them.
func promptTokens(requests []*request) string {
	least, most := 0, 0
	for _, q := range requests {
		if n := int(q.PromptTokens); q.OK() && q.HasUsage && n > 0 {
			most = max(most, n)
			if least == 0 || n < least {
				least = n
			}
		}
	}
	if most == 0 {
		return ""
	}
	return fmt.Sprintf("; prompts of %s to %s tokens by the server's usage", count(least), count(most))
}

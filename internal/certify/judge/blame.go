package judge

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// shownReasons is how many classes of failure a check's reason names: more would hide the commonest.
const shownReasons = 3

// reasonsOf finds the commonest reason of each class of failure, the class with most failures first. Messages that
// differ only in identifiers count as one; the first of them is shown.
func reasonsOf(requests []*request) []report.Reason {
	type key struct {
		class   evidence.Failure
		status  int
		message string
	}
	of, seen := map[evidence.Failure]int{}, map[key]*report.Reason{}
	var all []*report.Reason
	for _, q := range requests {
		if q.OK() || q.Fail == evidence.FailCanceled {
			continue
		}
		of[q.Fail]++
		text := cmp.Or(strings.TrimPrefix(q.Detail, fmt.Sprintf("status %d: ", q.Status)), "no message")
		k := key{q.Fail, q.Status, identifiers.ReplaceAllString(text, "#")}
		if seen[k] == nil {
			seen[k] = &report.Reason{Class: string(q.Fail), Status: q.Status, Message: text}
			all = append(all, seen[k])
		}
		seen[k].Count++
	}
	slices.SortStableFunc(all, func(a, b *report.Reason) int { // ties: the first that happened
		return cmp.Compare(b.Count, a.Count)
	})
	var out []report.Reason
	for _, x := range all {
		if !slices.ContainsFunc(out, func(y report.Reason) bool { return y.Class == x.Class }) {
			x.Of = of[evidence.Failure(x.Class)]
			out = append(out, *x)
		}
	}
	slices.SortStableFunc(out, func(a, b report.Reason) int { return cmp.Compare(b.Of, a.Of) })
	return out
}

// identifiers are the parts of a message that differ from request to request: numbers, and the hexadecimal forms of
// request ids and addresses.
var identifiers = regexp.MustCompile(`\b[0-9a-fA-F]*[0-9][0-9a-fA-F-]*\b|\b[\w-]*[0-9]{4}[\w-]*\b`)

// because adds to what a check found why requests failed.
func (r *run) because(requests []*request) string {
	if r.header.Rules < 1 {
		return ""
	}
	var out []string
	for _, x := range reasonsOf(requests) {
		if len(out) < shownReasons {
			out = append(out, x.String())
		}
	}
	if len(out) == 0 {
		return ""
	}
	return ": " + strings.Join(out, "; ")
}

// blameless counts failures that are not the server's, and says what they were.
func blameless(requests []*request) (n int, why string) {
	var theirs []*request
	for _, q := range requests {
		if q.Fail.Blameless() {
			theirs = append(theirs, q)
		}
	}
	if reasons := reasonsOf(theirs); len(reasons) > 0 {
		why = reasons[0].Message
	}
	return len(theirs), why
}

// spoiled says that more of a phase failed for reasons of the client or the case than the error budget allows: its
// times are then those of too few answers.
func (r *run) spoiled(p *phase) string {
	n, why := blameless(p.requests)
	if n == 0 || float64(n) <= r.c.Limits.ErrorBudget*float64(len(p.requests)) {
		return ""
	}
	return fmt.Sprintf("in phase %s %s of %s failed for no fault of the server: %s", p.plan.ID, count(n),
		plural(len(p.requests), "request", "requests"), why)
}

// unlessSpoiled makes a FAIL of answers INVALID where too many of them are missing for no fault of the server: each
// counts as worth nothing.
func (r *run) unlessSpoiled(o outcome, phases ...*phase) outcome {
	for _, p := range phases {
		if why := r.spoiled(p); why != "" && o.verdict == report.Fail && r.header.Rules >= 3 {
			return distrusted(o, why)
		}
	}
	return o
}

// leftOut says what the load went without, and what that costs the verdict.
func (r *run) leftOut() []string {
	costs := map[string]string{
		"stream_options": "token counts of streams are not known",
		"seed":           "whether the same request gives the same answer cannot be judged",
		"temperature":    "answers are sampled as the server likes, so audits that repeat a request prove less",
		"ignore_eos":     "answers may be shorter than the case asks for",
		"max_tokens":     "answers may be longer than the case asks for",
	}
	var out []string
	for _, x := range r.header.Target.LeftOut {
		if x.Instead != "" {
			out = append(out, fmt.Sprintf("The server refuses %q (%s): %q was sent in its place, which costs the "+
				"verdict nothing.", x.Field, x.Message, x.Instead))
			continue
		}
		out = append(out, fmt.Sprintf("The server refuses %q (%s): the load went without it. What that costs: %s.",
			x.Field, x.Message, cmp.Or(costs[x.Field], "requests are not what the case asks for")))
	}
	return out
}

// unheard says that each of these prompts has a failure that is not the server's.
func (r *run) unheard(prompts []string, unread []*request) bool {
	for _, key := range prompts {
		if !slices.ContainsFunc(unread, func(q *request) bool { return q.Prompt == key }) {
			return false
		}
	}
	return true
}

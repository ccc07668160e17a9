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

// shownReasons is how many classes of failure a check's reason names. More would hide the most common ones.
const shownReasons = 3

// reasonsOf finds the most common reason of each class of failure. The class with most failures comes first. Messages
// that differ only in identifiers count as one, and the first of them is shown.
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
	slices.SortStableFunc(all, func(a, b *report.Reason) int { // of equally common ones, the first that happened
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

// identifiers matches the parts of a message that differ from request to request: numbers, and request ids and
// addresses in hexadecimal.
var identifiers = regexp.MustCompile(`\b[0-9a-fA-F]*[0-9][0-9a-fA-F-]*\b|\b[\w-]*[0-9]{4}[\w-]*\b`)

// because says why requests failed, to be added to a check's reason.
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

// blameless counts the failures that are not the server's fault, and returns the most common message of one class of
// them.
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

// spoiled says that more requests of a phase failed because of the client or the case than the error budget allows; ""
// if not. Too few answers are then left to judge the phase.
func (r *run) spoiled(p *phase) string {
	n, why := blameless(p.requests)
	if n == 0 || float64(n) <= r.c.Limits.ErrorBudget*float64(len(p.requests)) {
		return ""
	}
	return fmt.Sprintf("in phase %s %s of %s failed for no fault of the server: %s", p.plan.ID, count(n),
		plural(len(p.requests), "request", "requests"), why)
}

// unlessSpoiled turns a FAIL of quality into INVALID if too many answers are missing for no fault of the server,
// because each of them counts as score 0.
func (r *run) unlessSpoiled(o outcome, phases ...*phase) outcome {
	for _, p := range phases {
		if why := r.spoiled(p); why != "" && o.verdict == report.Fail && r.header.Rules >= 3 {
			return distrusted(o, why)
		}
	}
	return o
}

// leftOut lists the fields that requests had to leave out, and how that limits the verdict.
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

// unheard says whether each of these prompts has a request in unread, which failed for no fault of the server.
func (r *run) unheard(prompts []string, unread []*request) bool {
	for _, key := range prompts {
		if !slices.ContainsFunc(unread, func(q *request) bool { return q.Prompt == key }) {
			return false
		}
	}
	return true
}

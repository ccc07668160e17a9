package judge

import (
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// unsure is the number of requests of a phase that the server may or may not have counted: those that failed for the
// client, and those that were sent again.
func (p *phase) unsure() int {
	n := p.failed
	for _, q := range p.requests {
		n += q.Retried
	}
	return n
}

// notUnderstood lists the names of a server's metrics if no scrape understood any of them; "" if one did, or if there
// are no metrics.
func (r *run) notUnderstood() string {
	var names []string
	for _, s := range r.scrapes {
		if s.v.Err == "" && len(s.v.Names) == 0 && len(s.v.Values)+len(s.v.Histograms) > 0 {
			return ""
		}
		if len(names) == 0 {
			names = s.v.Names
		}
	}
	const shown = 5
	if len(names) > shown {
		return strings.Join(names[:shown], ", ") + " and others"
	}
	return strings.Join(names, ", ")
}

// likeOurs is how many times longer or shorter, in tokens, the requests of other clients may be than this client's
// own. Beyond that the server's counters look invented.
const likeOurs = 20

// foreign says whether the server's counters consistently show more requests than the client made: the additional
// requests have tokens, and all of them are in every histogram. Then other clients use the server too. A server that
// invents requests would have to change all counters consistently.
func foreign(rows []report.Reconciled) bool {
	find := func(id string) *report.Reconciled {
		i := slices.IndexFunc(rows, func(x report.Reconciled) bool { return x.ID == id })
		if i < 0 || rows[i].Server == nil || rows[i].Client == nil || rows[i].Reason == notOffered {
			return nil
		}
		return &rows[i]
	}
	requests, tokens := find(evidence.MetricRequests), find(evidence.MetricGenerationTokens)
	if requests == nil || tokens == nil || requests.Verdict != report.Fail || *requests.Client <= 0 ||
		*tokens.Client <= 0 {
		return false
	}
	more := *requests.Server - *requests.Client
	if more <= 0 {
		return false
	}
	for _, id := range []string{"latency_count", "ttft_count"} {
		if x := find(id); x != nil && math.Abs(*x.Server-*requests.Server) > math.Max(1, 0.01**requests.Server) {
			return false
		}
	}
	for _, id := range []string{evidence.MetricGenerationTokens, evidence.MetricPromptTokens} {
		x := find(id)
		if x == nil || *x.Client <= 0 {
			continue
		}
		each := (*x.Server - *x.Client) / more * *requests.Client / *x.Client // tokens per request, theirs ÷ ours
		if each > likeOurs || each < 1.0/likeOurs {
			return false
		}
	}
	return true
}

// excuse turns FAIL into INVALID where requests of other clients can explain the difference. They cannot explain a
// counter that fell, or figures that are too old.
func excuse(rows []report.Reconciled) {
	for i := range rows {
		if x := &rows[i]; x.Verdict == report.Fail && x.ID != "monotone" && x.ID != "scrape_age" {
			x.Verdict = report.Invalid
			x.Reason += "; all counters agree on more requests than this client made: is somebody else " +
				"using the server?"
		}
	}
}

// untried are the dialects that are only known from what their vendors publish. No such server was tested, so a metric
// may count something else than its name says.
var untried = []string{"lmdeploy", "tensorrt-llm", "triton", "nim", "dynamo", "litellm"}

// doubtNames turns FAIL into INVALID where a misunderstood metric can explain the difference.
func doubtNames(rows []report.Reconciled, dialect string) {
	for i := range rows {
		if x := &rows[i]; x.Verdict == report.Fail && x.ID != "scrape_age" {
			x.Verdict = report.Invalid
			x.Reason += "; what the metrics of " + dialect + " count is taken from their published names, so that " +
				"the difference may be a misunderstanding"
		}
	}
}

// otherWords are notices about finish reasons and models that the server's answers name differently than the client
// does.
func (r *run) otherWords() []string {
	var out []string
	ends, models := map[string]string{}, map[string]int{}
	answers := 0
	for _, p := range r.phases {
		for _, q := range p.requests {
			if !q.OK() {
				continue
			}
			answers++
			if end := q.Ended(); end != q.Finish && r.header.Rules >= 3 {
				ends[q.Finish] = end
			}
			if q.OtherModel != "" {
				models[q.OtherModel]++
			}
		}
	}
	for _, name := range sortedKeys(ends) {
		out = append(out, fmt.Sprintf("The server says finish_reason %q where OpenAI's API says %q.", name,
			ends[name]))
	}
	const shown = 5
	for i, name := range sortedKeys(models) {
		if i == shown {
			out = append(out, fmt.Sprintf("Answers name %s more.", plural(len(models)-shown, "model", "models")))
			break
		}
		out = append(out, fmt.Sprintf("The model %q was asked for; %s of %s answers say that they are of %q.",
			r.header.Target.Model, count(models[name]), count(answers), name))
	}
	return out
}

// A stream that a proxy or the server holds back arrives in groups of chunks. It is recognised by its first firstGaps
// gaps, if each is atOnceGap microseconds at most in more than mostTogether of the answers. A model would have to
// generate 5,000 tokens/s for one user to be as fast.
const (
	firstGaps    = 3
	atOnceGap    = 200
	mostTogether = 0.5
)

// together is the share of answers whose first chunks came at once, among the answers with at least firstGaps gaps.
func together(answers iter.Seq[*request]) float64 {
	n, all := 0, 0
	for q := range answers {
		if !q.OK() || q.gapCount < firstGaps {
			continue
		}
		all++
		i, together := 0, true
		for g := range q.Gaps() {
			if together = together && g <= atOnceGap; i == firstGaps-1 || !together {
				break
			}
			i++
		}
		if together {
			n++
		}
	}
	return float64(n) / math.Max(float64(all), 1)
}

// judgedOf iterates over the judged requests of phases.
func judgedOf(phases []*phase) iter.Seq[*request] {
	return func(yield func(*request) bool) {
		for _, p := range phases {
			for _, q := range p.judged {
				if !yield(q) {
					return
				}
			}
		}
	}
}

// doubtFirst turns FAIL into INVALID for the times to the first token if the client does not know when the first token
// was generated. That is so if streams are held back on the way, or begin with reasoning that is not shown.
func doubtFirst(rows []report.Reconciled, spans []span) {
	all, hidden := 0, 0
	var phases []*phase
	for _, s := range spans {
		phases = append(phases, s.phase)
		for _, q := range s.phase.answered() {
			all++
			if q.hidden > 0 && q.Thoughts == 0 {
				hidden++
			}
		}
	}
	why := ""
	switch share := together(judgedOf(phases)); {
	case share > mostTogether:
		why = fmt.Sprintf("; the first chunks of %s of the answers came at once, so that a proxy on the way may hold "+
			"streams back", percent(share))
	case hidden > 0:
		why = fmt.Sprintf("; %s of %s answers began with reasoning that is not shown", count(hidden), count(all))
	default:
		return
	}
	for i := range rows {
		if x := &rows[i]; x.Verdict == report.Fail && x.ID != "ttft_count" {
			x.Verdict = report.Invalid
			x.Reason += why
		}
	}
}

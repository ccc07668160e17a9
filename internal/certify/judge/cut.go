package judge

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// unread says why the metrics that a server offers could not be read; "" if one scrape was.
func (r *run) unread() string {
	why := ""
	for _, s := range r.scrapes {
		switch {
		case s.v.Err == "" && len(s.v.Values)+len(s.v.Histograms) > 0:
			return ""
		case s.v.Unread:
			why = orElse(why, s.v.Err)
		}
	}
	return why
}

// cutMetrics lists which of the server's metrics were not kept because they were too many, each kind once.
func (r *run) cutMetrics() []string {
	const shown = 5
	var all []string
	for _, s := range r.scrapes {
		for _, c := range s.v.Cut {
			kind, _, _ := strings.Cut(c, ":")
			if len(all) < shown && !slices.ContainsFunc(all, func(x string) bool {
				return strings.HasPrefix(x, kind)
			}) {
				all = append(all, c)
			}
		}
	}
	return all
}

// cut are notices about what was too large to be kept.
func (r *run) cut() []string {
	var out []string
	if all := r.cutMetrics(); len(all) > 0 {
		out = append(out, "Of the server's metrics not everything was kept: "+strings.Join(all, "; ")+".")
	}
	answers, first := 0, ""
	for _, p := range r.phases {
		for _, q := range p.requests {
			if q.Cut != "" {
				answers++
				first = orElse(first, q.Cut)
			}
		}
	}
	if answers > 0 {
		out = append(out, fmt.Sprintf("Of %s not everything was kept: %s.",
			plural(answers, "answer", "answers"), first))
	}
	if r.end != nil && r.end.LeftOut > 0 {
		out = append(out, plural(r.end.LeftOut, "event was", "events were")+" too large for the record.")
	}
	return out
}

// comparedReasons are the finish reasons by which requests are compared. There are none if a scrape could not keep
// them all, or if there are more than evidence.MaxReasons.
func comparedReasons(spans []span, reasons map[string]bool) map[string]bool {
	cut := func(s *evidence.Scrape) bool {
		return slices.ContainsFunc(s.Cut, func(c string) bool {
			return strings.HasPrefix(c, "requests by finish reason")
		})
	}
	if len(reasons) > evidence.MaxReasons ||
		slices.ContainsFunc(spans, func(s span) bool { return cut(s.before) || cut(s.after) }) {
		return nil
	}
	return reasons
}

// severalTokens is the number of tokens per chunk from which on a notice says that times between tokens are means.
const severalTokens = 1.2

// tokensPerChunk is a notice that chunks hold several tokens; "" if they do not. The time per output token is then a
// mean over them, and the time between chunks is not the time between tokens.
func (r *run) tokensPerChunk() string {
	chunks, tokens := 0, 0
	for _, p := range r.load("") {
		for _, q := range p.judged {
			if q.OK() && q.HasUsage && q.Chunks > 0 {
				chunks, tokens = chunks+int(q.Chunks+q.Thoughts), tokens+q.Shown()
			}
		}
	}
	if x := float64(tokens) / math.Max(float64(chunks), 1); chunks > 0 && x >= severalTokens {
		return fmt.Sprintf("The server sends %s tokens a chunk on average: TPOT is the mean over all tokens of an "+
			"answer, which nobody saw between two of them, and the times between chunks are not times between tokens.",
			num(math.Round(x*10)/10))
	}
	return ""
}

package certify

import (
	"context"
	"fmt"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/stats"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// emptyFirst looks for chunks without a token that come long before the first token. OpenAI's own API begins its
// streams with one. It is wrong only if the server's metric of the time to the first token counts that chunk.
func (a *auditor) emptyFirst(ctx context.Context) evidence.Audit {
	const id = evidence.AuditEmptyFirst
	res := evidence.Audit{ID: id, Valid: true, OK: true, Limit: earlyShare}
	if !a.p.r.plan.c.Request.Stream {
		res.Detail = "the case does not stream"
		return res
	}
	before, counted := a.firstTokens(ctx)
	var shares, leads, opened, first []float64
	for range firstAnswers {
		q := a.ask(ctx, a.fresh(), auditTokens)
		took, any := q.Times().FirstAnyToken(a.p.ph.Kind)
		if !q.OK() || !any {
			continue
		}
		lead := 0.0
		if q.Opened > 0 {
			lead = float64(q.Begins() - q.Opened)
		}
		wait := float64(took)
		shares, leads = append(shares, lead/wait), append(leads, lead)
		first, opened = append(first, wait), append(opened, wait-lead)
	}
	if len(shares) == 0 {
		return unclear(id, "no stream with a token")
	}
	res.Measured = stats.Median(shares)
	lead := time.Duration(stats.Median(leads)).Round(time.Millisecond)
	res.Detail = fmt.Sprintf("an empty chunk precedes the first token by %s", lead)
	if res.Measured <= earlyShare || lead <= earlyLeast {
		return res
	}
	res.Detail += fmt.Sprintf(", %.0f %% of the wait", 100*res.Measured)
	if !counted {
		res.Detail += "; it is noted only, since no metric of the server says whether it counts as a first token"
		return res
	}
	mean, ok := a.firstTokensSince(ctx, before, firstAnswers)
	switch middle := (meanOf(opened) + meanOf(first)) / 2; {
	case !ok:
		res.Detail += "; it is noted only, since the server's metric of it cannot be read for these requests"
	case mean < middle:
		res.OK = false
		res.Detail += fmt.Sprintf("; the server's own metric says %.0f ms where the first token came after %.0f ms: "+
			"it counts the empty chunk as a first token", mean/1e6, meanOf(first)/1e6)
	default:
		res.Detail += "; the server's own metric does not count it as a first token"
	}
	return res
}

func meanOf(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v / float64(len(x))
	}
	return sum
}

// firstTokens returns the server's histogram of the time to the first token. ok is false if it cannot be read now.
func (a *auditor) firstTokens(ctx context.Context) (h evidence.Histogram, ok bool) {
	if a.p.r.metrics.remote() {
		return h, false
	}
	s := a.p.r.metrics.scraper.Scrape(ctx, "")
	h, ok = s.Histograms[evidence.HistTTFT]
	return h, ok || s.Err == "" && len(s.Values) > 0 // a labelled histogram appears with its first observation
}

// firstTokensSince is the mean, in nanoseconds, of the n observations after before. ok is false if there are fewer or
// more than n: the server counts differently, or another client uses it.
func (a *auditor) firstTokensSince(ctx context.Context, before evidence.Histogram, n int) (mean float64, ok bool) {
	for end := time.Now().Add(settle); ctx.Err() == nil; time.Sleep(settlePause) {
		after, _ := a.firstTokens(ctx)
		if count := after.Count - before.Count; count >= float64(n) || time.Now().After(end) {
			return (after.Sum - before.Sum) / float64(n) * 1e9, count == float64(n)
		}
	}
	return 0, false
}

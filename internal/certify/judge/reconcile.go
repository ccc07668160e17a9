package judge

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/base/stats"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

const (
	// oldestScrape bounds the age of figures that came through a Prometheus server, whose usual scrape interval is 15
	// s.
	oldestScrape = 60 * time.Second

	// clockSlackMS is by how many milliseconds the server's mean may exceed the client's. It allows for the rounding
	// of clocks and histograms.
	clockSlackMS = 1.0
)

// notOffered is the reason of a row whose metric the server does not have.
const notOffered = "not offered"

// span is a phase with the last scrape before it and the first after it.
type span struct {
	phase         *phase
	before, after *evidence.Scrape
}

// reconcile compares the server's metrics with the client's own counts, phase by phase and then in sum. Counts must be
// equal. The client cannot know whether the server counted a failed request, so the counts may differ by the number of
// failed requests.
func (r *run) reconcile() []report.Reconciled {
	rows := []report.Reconciled{}
	spans := r.spans()
	if len(spans) == 0 {
		return rows
	}
	rows = append(rows, r.countRows(spans)...)
	latency := r.histogramRows(spans, evidence.HistE2E, "latency", (*phase).serverLatencies)
	rows = append(rows, latency...)
	if r.c.Request.Stream { // otherwise the client does not know the time to the first token
		ttft := r.histogramRows(spans, evidence.HistTTFT, "ttft", (*phase).serverTTFT)
		if ttft[meanAt].Verdict == report.Fail && latency[meanAt].Verdict == report.Pass {
			ttft[meanAt].Reason += "; its latencies agree with the client's, so its times to first token leave out " +
				"a part of the wait, such as that in its queue"
		}
		if r.header.Rules >= 3 {
			doubtFirst(ttft, spans)
		}
		rows = append(rows, ttft...)
	}
	rows = append(rows, r.gaugeRow(), r.monotoneRow(), r.ageRow())
	if r.header.Rules >= 1 && foreign(rows) {
		excuse(rows)
	}
	if slices.Contains(untried, r.dialect()) {
		doubtNames(rows, r.dialect())
	}
	if list := r.fleet(); list != nil {
		if why := disturbed(list); why != "" {
			doubtful(rows, why)
		}
		rows = append(rows, fleetRow(list))
	}
	return rows
}

// spans pairs the scrapes before and after each phase, if all of the phase's requests are in the record.
func (r *run) spans() []span {
	before, after := map[string]*evidence.Scrape{}, map[string]*evidence.Scrape{}
	for _, s := range r.scrapes {
		if s.v.Err != "" {
			continue
		}
		if id, ok := s.v.Label.At(evidence.ScrapeBefore); ok && before[id] == nil {
			before[id] = s.v
		} else if id, ok := s.v.Label.At(evidence.ScrapeAfter); ok {
			after[id] = s.v
		}
	}
	var out []span
	for _, p := range r.phases {
		b, a := before[p.plan.ID], after[p.plan.ID]
		whole := p.ran != nil && len(p.requests)+p.canceled >= p.ran.Issued && p.canceled == 0 && r.missing(p) == ""
		if b != nil && a != nil && whole && len(p.requests) > 0 && p.plan.Kind != testcases.KindAudit {
			out = append(out, span{p, b, a})
		}
	}
	return out
}

// delta is how much a counter rose over a span. ok is false if the server does not have it.
func (s span) delta(name string) (float64, bool) {
	b, okB := s.before.Values[name]
	a, okA := s.after.Values[name]
	if !okB && okA { // a labelled series appears with its first event, so it was 0 before
		return a, true
	}
	return a - b, okA && okB
}

// countRows compare the counters: all requests, requests by finish reason, and tokens.
func (r *run) countRows(spans []span) []report.Reconciled {
	reasons := map[string]bool{}
	for _, s := range spans {
		for _, v := range []map[string]float64{s.before.Values, s.after.Values} {
			for k := range v {
				if reason, ok := strings.CutPrefix(k, evidence.MetricRequests+":"); ok {
					reasons[reason] = true
				}
			}
		}
	}
	if len(reasons) > 0 { // a reason that only the client saw must show as a difference
		for _, s := range spans {
			for _, q := range s.phase.answered() {
				reasons[r.reason(q, reasons)] = true
			}
		}
	}
	reasons = comparedReasons(spans, reasons)
	if r.header.Rules >= 3 && reasons[""] { // some answers gave the client no reason, so no reason can be compared
		reasons = nil
	}
	rows := []report.Reconciled{countRow(spans, evidence.MetricRequests, "requests", evidence.MetricRequests, nil)}
	for _, reason := range sortedKeys(reasons) {
		rows = append(rows, countRow(spans, "requests_"+orElse(reason, "none"), "requests",
			evidence.MetricRequests+":"+reason,
			func(q *request) bool { return r.reason(q, reasons) == reason }))
	}
	prompt := tokenRow(spans, evidence.MetricPromptTokens, func(q *request) int { return int(q.PromptTokens) })
	if prompt.Reason == notOffered {
		if computed := computedRow(spans); computed.Reason != notOffered {
			prompt = computed
		}
	}
	return append(rows, prompt, tokenRow(spans, evidence.MetricGenerationTokens,
		func(q *request) int { return int(q.OutputTokens) }))
}

// reason is why an answer ended: the finish_reason itself if the server's metrics use it as a label, and otherwise its
// translation into OpenAI's words.
func (r *run) reason(q *request, known map[string]bool) string {
	if r.header.Rules < 3 || known[q.Finish] {
		return q.Finish
	}
	return q.Ended()
}

// computedRow is for servers that count only the prompt tokens they computed. usage says how many came from a cache
// instead. If usage does not report cached tokens, a lower count of the server is no contradiction.
func computedRow(spans []span) report.Reconciled {
	row := tokenRow(spans, evidence.MetricPromptComputed,
		func(q *request) int { return int(q.PromptTokens - q.CachedTokens) })
	for _, s := range spans {
		for _, q := range s.phase.answered() {
			if q.CachedTokens > 0 {
				return row
			}
		}
	}
	if row.Verdict == report.Fail && *row.Server < *row.Client {
		row.Verdict, row.Reason = report.Info,
			"the server counts the prompt tokens that it computed, and its usage does not say how many came from "+
				"its cache"
	}
	return row
}

// countRow compares one counter of requests.
func countRow(spans []span, id, unit, metric string, match func(*request) bool) report.Reconciled {
	row := report.Reconciled{ID: id, Unit: unit}
	server, client, failed, offered := 0.0, 0, 0, false
	var where []string
	for _, s := range spans {
		n := 0
		for _, q := range s.phase.answered() {
			if match == nil || match(q) {
				n++
			}
		}
		d, ok := s.delta(metric)
		offered = offered || ok
		server, client, failed = server+d, client+n, failed+s.phase.unsure()
		if diff := d - float64(n); diff < 0 || diff > float64(s.phase.unsure()) {
			where = append(where, fmt.Sprintf("%s: %s against %s", s.phase.plan.ID, num(d), count(n)))
		}
	}
	return judgeCount(row, server, float64(client), offered, failed, where)
}

// tokenRow compares a counter of tokens with the sum of usage.
func tokenRow(spans []span, metric string, tokens func(*request) int) report.Reconciled {
	row := report.Reconciled{ID: metric, Unit: "tokens"}
	server, client, failed, offered, unknown := 0.0, 0, 0, false, 0
	var where []string
	for _, s := range spans {
		n := 0
		for _, q := range s.phase.answered() {
			n += tokens(q)
			if !q.HasUsage {
				unknown++
			}
		}
		d, ok := s.delta(metric)
		offered = offered || ok
		server, client, failed = server+d, client+n, failed+s.phase.unsure()
		diff := d - float64(n)
		if diff < 0 || diff > 0 && s.phase.unsure() == 0 {
			where = append(where, fmt.Sprintf("%s: %s against %s", s.phase.plan.ID, num(d), count(n)))
		}
	}
	if offered && unknown > 0 {
		row.Server, row.Verdict = ptr(server), report.Invalid
		row.Reason = plural(unknown, "answer", "answers") + " came without usage: the client has no count of its own"
		return row
	}
	return judgeCount(row, server, float64(client), offered, failed, where)
}

func judgeCount(row report.Reconciled, server, client float64, offered bool, failed int,
	where []string) report.Reconciled {
	row.Client = ptr(client)
	if !offered {
		row.Verdict, row.Reason = report.Info, notOffered
		return row
	}
	row.Server = ptr(server)
	switch {
	case len(where) > 0:
		row.Verdict, row.Reason = report.Fail, "differs: "+strings.Join(where, "; ")
	case failed > 0 && server != client:
		row.Verdict, row.Reason = report.Pass, fmt.Sprintf("within the %s that failed for the client",
			plural(failed, "request", "requests"))
	default:
		row.Verdict, row.Reason = report.Pass, "equal"
	}
	return row
}

// serverLatencies are the part of the latencies that the server can see, from sending to the end of the answer, in
// milliseconds.
func (p *phase) serverLatencies() []float64 {
	var out []float64
	for _, q := range p.answered() {
		out = append(out, ms(q.Done-q.Issued))
	}
	return out
}

func (p *phase) serverTTFT() []float64 {
	var out []float64
	for _, q := range p.answered() {
		if q.Begins() > 0 { // a server counts the first token of any kind, reasoning included
			out = append(out, ms(q.Begins()-q.Issued))
		}
	}
	return out
}

// meanAt is the index of the mean in the result of histogramRows.
const meanAt = 1

// histogramRows compare a histogram's count, mean and quantile with the client's own times.
func (r *run) histogramRows(spans []span, metric, id string, own func(*phase) []float64) []report.Reconciled {
	n := report.Reconciled{ID: id + "_count", Unit: "requests"}
	mean := report.Reconciled{ID: id + "_mean", Unit: "ms"}
	p50, p99 := report.Reconciled{ID: id + "_p50", Unit: "ms"}, report.Reconciled{ID: id + "_p99", Unit: "ms"}
	total, offered, failed := evidence.Histogram{}, false, 0
	var client []float64
	var where []string
	for _, s := range spans {
		a, ok := s.after.Histograms[metric]
		if !ok {
			continue
		}
		offered = true
		d := histogramDelta(s.before.Histograms[metric], a)
		mine := own(s.phase)
		client = append(client, mine...)
		failed += s.phase.unsure()
		total = histogramSum(total, d)
		if diff := d.Count - float64(len(mine)); diff < 0 || diff > float64(s.phase.unsure()) {
			where = append(where, fmt.Sprintf("%s: %s against %s", s.phase.plan.ID, num(d.Count), count(len(mine))))
		}
	}
	if !offered {
		for _, row := range []*report.Reconciled{&n, &mean, &p50, &p99} {
			row.Verdict, row.Reason = report.Info, notOffered
		}
		return []report.Reconciled{n, mean, p50, p99}
	}
	n = judgeCount(n, total.Count, float64(len(client)), true, failed, where)
	return []report.Reconciled{n, r.meanRow(mean, total, client, failed, r.doubt(spans, metric, own)),
		quantileRow(p50, total, client, failed, 0.5), quantileRow(p99, total, client, failed, 0.99)}
}

// doubt says why the client itself may be the reason that it saw longer times than the server reports; "" if it is
// not. If the phases that other programs did not disturb show the same gap, the client is not the reason.
func (r *run) doubt(spans []span, metric string, own func(*phase) []float64) string {
	if len(r.problems) > 0 {
		return "it was late itself"
	}
	why, server, mine := "", evidence.Histogram{}, []float64{}
	for _, s := range spans {
		if taken := r.taken(s.phase); taken != "" {
			why = taken
		} else if a, ok := s.after.Histograms[metric]; ok {
			server, mine = histogramSum(server, histogramDelta(s.before.Histograms[metric], a)),
				append(mine, own(s.phase)...)
		}
	}
	if server.Count > 0 && len(mine) > 0 && meanOf(mine)-server.Sum/server.Count*1000 > r.c.Limits.MetricsGapMS {
		return ""
	}
	return why
}

func meanOf(x []float64) float64 {
	mean := 0.0
	for _, v := range x {
		mean += v / float64(len(x))
	}
	return mean
}

// meanRow compares two means. The server sees a request later and ends it earlier than the client, so its mean must be
// the smaller one. A gap is INVALID if the client was late itself, because that explains it.
func (r *run) meanRow(row report.Reconciled, h evidence.Histogram, client []float64, failed int,
	late string) report.Reconciled {
	if h.Count <= 0 || len(client) == 0 {
		row.Verdict, row.Reason = report.Invalid, "nothing was observed"
		return row
	}
	server, mine := h.Sum/h.Count*1000, meanOf(client)
	row.Server, row.Client = ptr(server), ptr(mine)
	gap, gapMS := mine-server, r.c.Limits.MetricsGapMS
	switch {
	case failed > 0:
		row.Verdict, row.Reason = report.Info, "requests failed, so the two means are over different requests"
	case gap < -clockSlackMS:
		row.Verdict, row.Reason = report.Fail,
			fmt.Sprintf("the server reports %s ms more than the client saw, which cannot be", num(-gap))
	case gapMS > 0 && gap > gapMS && late != "":
		row.Verdict, row.Reason = report.Invalid, fmt.Sprintf("the client saw %s ms more, the limit is %s ms, but %s",
			num(gap), num(gapMS), late)
	case gapMS > 0 && gap > gapMS:
		row.Verdict, row.Reason = report.Fail, fmt.Sprintf("the client saw %s ms more, the limit is %s ms", num(gap),
			num(gapMS))
	default:
		row.Verdict, row.Reason = report.Pass, fmt.Sprintf("gap %s ms", num(gap))
	}
	return row
}

// quantileRow compares two quantiles. Each time is longer for the client than for the server, so the client's quantile
// must lie in the server's bucket or above it.
func quantileRow(row report.Reconciled, h evidence.Histogram, client []float64, failed int,
	q float64) report.Reconciled {
	if h.Count <= 0 || len(client) == 0 || len(h.Buckets) == 0 {
		row.Verdict, row.Reason = report.Info, "no buckets"
		return row
	}
	sorted := slices.Sorted(slices.Values(client))
	mine := stats.Percentile(sorted, q)
	row.Client = ptr(mine)
	lower := 0.0
	for _, b := range h.Buckets {
		if b.Count >= h.Count*q*(1-1e-12) { // the same rank as in stats.Percentile
			row.Server = ptr(lower * 1000)
			if !b.Inf {
				row.Server = ptr(b.LE * 1000)
			}
			if mine+clockSlackMS < lower*1000 && failed > 0 {
				row.Verdict, row.Reason = report.Info,
					"requests failed, so the two quantiles are over different requests"
			} else if mine+clockSlackMS < lower*1000 {
				row.Verdict, row.Reason = report.Fail,
					fmt.Sprintf("the client's quantile lies below the server's bucket, which starts at %s ms",
						num(lower*1000))
			} else {
				row.Verdict, row.Reason = report.Pass,
					fmt.Sprintf("in or above the server's bucket, which starts at %s ms", num(lower*1000))
			}
			return row
		}
		lower = b.LE
	}
	row.Verdict, row.Reason = report.Fail, "the buckets hold less than the count"
	return row
}

func histogramDelta(b, a evidence.Histogram) evidence.Histogram {
	d := evidence.Histogram{Count: a.Count - b.Count, Sum: a.Sum - b.Sum, Buckets: slices.Clone(a.Buckets)}
	if len(b.Buckets) == len(a.Buckets) {
		for i := range d.Buckets {
			d.Buckets[i].Count -= b.Buckets[i].Count
		}
	}
	return d
}

func histogramSum(a, b evidence.Histogram) evidence.Histogram {
	a.Count, a.Sum = a.Count+b.Count, a.Sum+b.Sum
	if len(a.Buckets) != len(b.Buckets) {
		a.Buckets = slices.Clone(b.Buckets)
		return a
	}
	for i := range a.Buckets {
		a.Buckets[i].Count += b.Buckets[i].Count
	}
	return a
}

// metricsReported fails a server whose metrics contradict the client's counts. It also fails a server without metrics,
// because the test case lists missing metrics among its fail criteria. A case for such servers sets gate: false.
func metricsReported(r *run, _ *testcases.Check) outcome {
	o := outcome{op: "=", target: ptr(0), unit: "differences"}
	if names := r.notUnderstood(); names != "" {
		return invalid("the server's metrics are not understood: it has %s; a map of names in the case file "+
			"(metrics:) teaches them", names)
	}
	if why := r.unread(); why != "" {
		return invalid("the server's metrics cannot be read: %s", why)
	}
	if len(r.rows) == 0 {
		return r.noMetrics(o)
	}
	var bad, unclear []string
	offered := map[string]bool{}
	for _, row := range r.rows {
		offered[row.ID] = row.Reason != notOffered
		switch line := row.ID + ": " + row.Reason; row.Verdict {
		case report.Fail:
			bad = append(bad, line)
		case report.Invalid:
			unclear = append(unclear, line)
		}
	}
	o.measured = ptr(float64(len(bad)))
	switch {
	case len(bad) > 0:
		o.verdict, o.reason = report.Fail, strings.Join(bad, "; ")
	case !offered[evidence.MetricRequests] && !offered[evidence.MetricGenerationTokens] && len(r.cutMetrics()) > 0:
		return invalid("not understood: %s", strings.Join(r.cutMetrics(), "; "))
	case !offered[evidence.MetricRequests] && !offered[evidence.MetricGenerationTokens]:
		o.verdict, o.reason = report.Fail, notOffered+": the server's metrics count neither requests nor tokens"
	case len(unclear) > 0:
		o.verdict, o.reason = report.Invalid, strings.Join(unclear, "; ")
	default:
		n := 0
		for _, row := range r.rows {
			if row.Verdict == report.Pass {
				n++
			}
		}
		o.verdict, o.reason = report.Pass, plural(n, "comparison agrees", "comparisons agree")
	}
	return o
}

// noMetrics distinguishes a server without metrics, which fails, from a run that did not read them.
func (r *run) noMetrics(o outcome) outcome {
	firstErr := r.withoutMetrics()
	if slices.ContainsFunc(r.scrapes, func(s at[*evidence.Scrape]) bool {
		return s.v.Err == "" &&
			len(s.v.Values)+len(s.v.Histograms) > 0
	}) {
		return invalid("no phase lies between two scrapes with all of its requests on record")
	}
	absent := firstErr != "" || r.header.Target.Metrics == "none" ||
		slices.ContainsFunc(r.conditions, func(c at[*evidence.Condition]) bool {
			return c.v.ID == evidence.ConditionMetrics &&
				!c.v.OK
		})
	if !absent {
		return invalid("the server's metrics were not read")
	}
	o.verdict = report.Fail
	o.reason = notOffered + ": performance metrics are not reported"
	if firstErr != "" {
		o.reason += " (" + firstErr + ")"
	}
	return o
}

package certify

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hxp-enterprise/mixtral/internal/base/noun"
	"github.com/hxp-enterprise/mixtral/internal/base/stats"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/loadgen"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// Audits check whether the server does what it claims to do. Each audit is a small experiment with one request in
// flight. A server is blamed only for what chance cannot explain.
const (
	auditTokens = 24 // in an answer: enough to measure the time per token, few enough to repeat

	// repeats is the number of pairs of a new prompt and its repetition. The times of cached answers do not overlap
	// with those of computed ones. By chance, eight times against eight do not overlap once in twelve thousand times.
	repeats     = 8
	chance      = 0.001
	leastSaved  = 5.0 // milliseconds: smaller differences come from buffers and the scheduler
	decodeShare = 0.5 // if the tokens of a repeated answer come faster by more than this share, it was not computed

	usageAnswers = 3
	usageShare   = 0.05 // of the tokens counted again: a text can be split into tokens in more than one way
	usageSlack   = 2    // tokens: the end of the answer may be one

	firstAnswers = 3
	earlyShare   = 0.5                   // an empty chunk in the first half of the wait
	earlyLeast   = 20 * time.Millisecond // buffering cannot send an empty chunk so long before the content

	cutTokens = 6 // far fewer than in a complete answer to the audits' prompts
)

// auditor makes the requests of the audits.
type auditor struct {
	p      *phaseRun
	client *loadgen.Client
	prompt string // the longest of the case, because its answer is long
	key    string
	n      int
}

// audits runs all audits. The phase says how often.
func (p *phaseRun) audits(ctx context.Context) evidence.Phase {
	r := p.r
	rec := evidence.Phase{ID: p.ph.ID, Kind: p.ph.Kind, Start: r.record.since(), MaxInFlight: 1}
	rec.SteadyFrom = rec.Start
	a := &auditor{p: p}
	for _, prompt := range r.plan.loaded.Prompts.Prompts {
		if len(prompt.Text) > len(a.prompt) {
			a.prompt, a.key = prompt.Text, prompt.Key()
		}
	}
	client, err := r.server.loadClient(r.plan.c, p.ph)
	if err != nil {
		rec.CutShort = testcases.CutReason(err.Error())
		return rec
	}
	defer client.Close()
	a.client = client
	for range max(1, p.ph.Requests) {
		for _, audit := range []func(context.Context) evidence.Audit{a.cache, a.usage, a.emptyFirst, a.maxTokens,
			a.finishReason, a.determinism} {
			if ctx.Err() != nil || p.hushed() {
				break
			}
			res := audit(ctx)
			if ctx.Err() == nil {
				r.record.add(evidence.Event{Audit: &res})
			}
		}
	}
	rec.Planned, rec.Issued = a.n, a.n
	rec.End = r.record.since()
	rec.SteadyTo = rec.End
	return rec
}

// fresh returns a prompt that the server has not seen in this run.
func (a *auditor) fresh() string {
	return salted(a.prompt, salt(a.p.r.requests.seed, a.p.index, saltStretch/2+a.n))
}

// ask sends a request, the only one in flight, and records it.
func (a *auditor) ask(ctx context.Context, text string, maxTokens int) evidence.Request {
	r := a.p.r
	job := loadgen.Job{Prompt: a.key, KeepText: true, Body: r.requests.body(text, maxTokens, 0, 1)}
	r.progress.inFlight.Add(1)
	q := a.client.Do(ctx, r.record.epoch, job)
	r.progress.inFlight.Add(-1)
	q.N = a.n
	a.n++
	a.p.sink(q)
	return q
}

func (a *auditor) latency(q evidence.Request) float64 {
	return float64(q.Latency(a.p.ph.Kind)) / float64(time.Millisecond)
}

// gap is the mean time between two chunks of content, in milliseconds, or NaN without a second chunk. It counts chunks
// because an audit does not rely on the usage that the server reports.
func gap(q evidence.Request) float64 {
	if q.Chunks < 2 {
		return math.NaN()
	}
	return float64(q.Last-q.First) / 1e6 / float64(q.Chunks-1)
}

// answeredOrThought says whether an answer has tokens to judge. An answer that was cut while the model reasoned has
// tokens too.
func answeredOrThought(q evidence.Request) bool { return q.OK() || q.Fail == evidence.FailThinking }

// unclear is the result of an audit that could not be judged.
func unclear(id evidence.AuditID, detail string, args ...any) evidence.Audit {
	return evidence.Audit{ID: id, OK: true, Detail: fmt.Sprintf(detail, args...)}
}

// cache repeats prompts. A server may cache prompts if it says so in usage (cached_tokens) or if the case declares it.
// But it must compute answers: the tokens of a repeated answer must not come faster.
func (a *auditor) cache(ctx context.Context) evidence.Audit {
	const id = evidence.AuditCache
	var first, again, firstGap, againGap []float64
	declared := a.p.r.plan.c.Limits.CachingDeclared
	failed := 0
	for range repeats {
		text := a.fresh()
		x, y := a.ask(ctx, text, auditTokens), a.ask(ctx, text, auditTokens)
		if !x.OK() || !y.OK() {
			failed++
			continue
		}
		first, again = append(first, a.latency(x)), append(again, a.latency(y))
		if g, h := gap(x), gap(y); !math.IsNaN(g) && !math.IsNaN(h) {
			firstGap, againGap = append(firstGap, g), append(againGap, h)
		}
		declared = declared || y.CachedTokens > x.CachedTokens
	}
	if len(first) < repeats/2 {
		return unclear(id, "%d of %s failed", failed, noun.Of(repeats, "pair", "pairs"))
	}
	limit := a.p.r.plan.c.Limits.CacheSpeedup
	res := evidence.Audit{ID: id, Valid: true, OK: true, Limit: limit, Measured: faster(first, again)}
	computed := len(firstGap) == 0 || (stats.Median(firstGap)-stats.Median(againGap))*(auditTokens-1) < leastSaved
	res.Detail = fmt.Sprintf("a repeated prompt is answered %.0f %% faster", 100*res.Measured)
	switch {
	case !computed && faster(firstGap, againGap) > decodeShare && certain(firstGap, againGap):
		res.OK = false
		res.Detail += fmt.Sprintf(", token by token %.0f %%: answers come from a cache",
			100*faster(firstGap, againGap))
	case res.Measured <= limit:
	case stats.Median(first)-stats.Median(again) < leastSaved:
		res.Detail += fmt.Sprintf(", by less than the %g ms that matter", leastSaved)
	case !certain(first, again):
		res.Detail += ", which chance explains"
	case declared:
		res.Detail += ", and the server declares that it keeps prompts"
	default:
		res.OK = false
		res.Detail += ", and no caching is declared"
	}
	return res
}

// faster is by how much the median of b is below the median of a, as a share of a's.
func faster(a, b []float64) float64 {
	if len(a) == 0 || len(b) == 0 {
		return 0
	}
	m := stats.Median(a)
	if m <= 0 {
		return 0
	}
	return 1 - stats.Median(b)/m
}

// certain says whether b is smaller than a, and chance does not explain it.
func certain(a, b []float64) bool {
	z, p := stats.MannWhitney(a, b)
	return z < 0 && p < chance
}

// usage counts the tokens of answers again: with the server's tokenizer, and by the chunks, which usually have one
// token each while one request is in flight. One of the counts must agree with the usage that the server reports.
func (a *auditor) usage(ctx context.Context) evidence.Audit {
	const id = evidence.AuditUsage
	res := evidence.Audit{ID: id, Valid: true, OK: true, Limit: usageShare}
	bytes, claimed, hidden, chunks, counted, answers := 0, 0, 0, 0, 0, 0 // these include reasoning, as usage does
	tokenizer := true
	for range usageAnswers {
		q := a.ask(ctx, a.fresh(), auditTokens)
		if !answeredOrThought(q) {
			continue
		}
		if !q.HasUsage {
			res.Detail = "the server reports no usage: nothing is claimed"
			return res
		}
		answers++
		bytes, claimed = bytes+q.TextBytes+len(q.Thought), claimed+q.Shown()
		hidden += q.OutputTokens - q.Shown()
		chunks += tokenChunks(q)
		n, err := a.p.r.server.client.Tokenize(ctx, a.p.r.server.model, q.Thought+q.Text)
		tokenizer = tokenizer && err == nil
		counted += n
	}
	if answers == 0 {
		return unclear(id, "no answer to count")
	}
	slack := float64(usageSlack * answers)
	off := func(n int) float64 { return max(0, math.Abs(float64(claimed-n))-slack) / float64(max(n, 1)) }
	switch {
	case tokenizer && off(counted) <= usageShare:
		res.Measured, res.Detail = off(counted), fmt.Sprintf("%d output tokens claimed, its own tokenizer counts %d",
			claimed, counted)
	case off(chunks) <= usageShare:
		res.Measured, res.Detail = off(chunks), fmt.Sprintf("%s claimed, in %s",
			noun.Of(claimed, "output token", "output tokens"), noun.Of(chunks, "chunk", "chunks"))
	case tokenizer:
		res.OK, res.Measured = false, off(counted)
		res.Detail = fmt.Sprintf("%s claimed, its own tokenizer counts %d and they came in %s",
			noun.Of(claimed, "output token", "output tokens"), counted, noun.Of(chunks, "chunk", "chunks"))
	default: // a chunk may have several tokens, but each token has at least one byte and each chunk at least one token
		res.OK = claimed <= bytes+usageSlack*answers && claimed >= chunks-usageSlack*answers
		res.Measured = off(chunks)
		res.Detail = fmt.Sprintf("%d output tokens claimed for %d bytes in %d chunks; without a tokenizer only "+
			"bounds can be checked", claimed, bytes, chunks)
	}
	if hidden > 0 {
		res.Detail += fmt.Sprintf("; %d more of reasoning that is not shown, which nobody can count again", hidden)
	}
	return res
}

// tokenChunks is the number of chunks of an answer that have at least one token. It is 0 if each chunk is a single
// letter, as from gateways that split texts so that they appear smoothly.
func tokenChunks(q evidence.Request) int {
	const letters = 1.5 // per chunk
	if n := q.Chunks + q.Thoughts; float64(utf8.RuneCountInString(q.Text)+utf8.RuneCountInString(q.Thought)) >
		letters*float64(n) || q.OutputTokens >= n {
		return n
	}
	return 0
}

// maxTokens checks that an answer has no more tokens than max_tokens.
func (a *auditor) maxTokens(ctx context.Context) evidence.Audit {
	const id = evidence.AuditMaxTokens
	q := a.ask(ctx, a.fresh(), cutTokens)
	if !answeredOrThought(q) {
		return unclear(id, "the request failed: %s", q.Fail)
	}
	n := max(q.OutputTokens, tokenChunks(q)-1) // the last chunk may have only text that was held back
	if !q.HasUsage {
		if counted, err := a.p.r.server.client.Tokenize(ctx, a.p.r.server.model,
			q.Thought+q.Text); err == nil {
			n = max(n, counted-usageSlack)
		}
	}
	return evidence.Audit{ID: id, Valid: true, OK: n <= cutTokens, Measured: float64(n), Limit: cutTokens,
		Detail: fmt.Sprintf("%d tokens where max_tokens is %d", n, cutTokens)}
}

// finishReason asks for an answer that max_tokens cuts, and for more of the same answer. A cut answer must end with
// "length", and one that ended before its limit with "stop".
func (a *auditor) finishReason(ctx context.Context) evidence.Audit {
	const id = evidence.AuditFinishReason
	text := a.fresh()
	short, long := a.ask(ctx, text, cutTokens), a.ask(ctx, text, auditTokens)
	if !answeredOrThought(short) || !answeredOrThought(long) {
		return unclear(id, "a request failed: %s", cmp.Or(short.Fail, long.Fail))
	}
	res := evidence.Audit{ID: id, Valid: true, OK: true}
	wrong := func(detail string, args ...any) {
		res.OK, res.Measured = false, 1
		res.Detail = fmt.Sprintf(detail, args...)
	}
	a1, a2 := short.Thought+short.Text, long.Thought+long.Text
	goesOn := len(a2) > len(a1) && strings.HasPrefix(a2, strings.TrimRight(a1, " \n\uFFFD"))
	full := short.HasUsage && short.OutputTokens >= cutTokens && long.OutputTokens > cutTokens+1
	switch {
	case short.Finish == "" || long.Finish == "":
		// another check finds that these answers are invalid
		return unclear(id, "answers come without a finish_reason")
	case (goesOn || full) && short.Ended() != evidence.EndLength:
		wrong("an answer cut at %d tokens says finish_reason %q", cutTokens, short.Finish)
	case long.HasUsage && long.OutputTokens < auditTokens && long.Ended() == evidence.EndLength:
		wrong("an answer of %d tokens says finish_reason \"length\" where max_tokens is %d", long.OutputTokens,
			auditTokens)
	default:
		res.Detail = fmt.Sprintf("%q at %d tokens, %q at %d", short.Finish, cutTokens, long.Finish, auditTokens)
	}
	return res
}

// determinism sends the same request twice at temperature 0. The result is reported but does not count against the
// server, because batching changes the order of sums.
func (a *auditor) determinism(ctx context.Context) evidence.Audit {
	const id = evidence.AuditDeterminism
	if f := &a.p.r.requests.form; f.left("seed") || f.left("temperature") {
		return unclear(id, "the server takes no seed or no temperature, so two answers may differ")
	}
	text := a.fresh()
	x, y := a.ask(ctx, text, auditTokens), a.ask(ctx, text, auditTokens)
	if !x.OK() || !y.OK() {
		return unclear(id, "a request failed: %s", cmp.Or(x.Fail, y.Fail))
	}
	res := evidence.Audit{ID: id, Valid: true, OK: x.TextHash == y.TextHash,
		Detail: "the same answer twice at temperature 0"}
	if !res.OK {
		res.Measured, res.Detail = 1, "two answers to one prompt differ at temperature 0"
	}
	return res
}

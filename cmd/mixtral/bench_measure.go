package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hxp-enterprise/mixtral/internal/base/host"
	"github.com/hxp-enterprise/mixtral/internal/base/stats"
	"github.com/hxp-enterprise/mixtral/internal/infer/engine"
	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// shortPrompt is the length of the prompt in decoding measurements: with BOS before it, it is too short for a block of
// the prefix cache.
const shortPrompt = 15

// bench runs requests on an engine.
type bench struct {
	app    *app
	engine *engine.Engine
	vocab  int
	seed   uint64
}

// timing holds the times at which the tokens of one request came.
type timing struct {
	start time.Time
	at    []time.Time
}

// run sends n requests at once, each with a prompt of other random tokens, so that none is in the prefix cache.
func (b *bench) run(n, prompt, generate int) ([]timing, error) {
	times := make([]timing, n)
	g, ctx := errgroup.WithContext(b.app.ctx)
	for i := range times {
		b.seed++
		rng := rand.New(rand.NewPCG(b.seed, 0))
		r := &llm.Request{ID: fmt.Sprint("bench-", b.seed), MaxTokens: generate, IgnoreEOS: true,
			PromptTokens: make([]int32, prompt)}
		for k := range r.PromptTokens {
			r.PromptTokens[k] = int32(rng.IntN(b.vocab))
		}
		g.Go(func() error { return b.one(ctx, r, &times[i]) })
	}
	return times, g.Wait()
}

func (b *bench) one(ctx context.Context, r *llm.Request, t *timing) error {
	t.at = make([]time.Time, 0, r.MaxTokens)
	t.start = time.Now()
	return b.engine.Generate(ctx, r, func(llm.Event) error {
		t.at = append(t.at, time.Now())
		return nil
	})
}

// figures are repeated measurements of a rate, each with the limit that was measured just before and just after it.
type figures struct {
	TPS    []float64 `json:"tps"`    // tokens a second
	Limits []float64 `json:"limits"` // empty if none could be measured, and so are the shares
	Shares []float64 `json:"shares"` // of the limit
}

// add adds one measurement. cost is how much of the limit's unit one token takes.
func (f *figures) add(tps, before, after, cost float64) {
	f.TPS = append(f.TPS, tps)
	if limit := (before + after) / 2; limit > 0 {
		f.Limits, f.Shares = append(f.Limits, limit), append(f.Shares, tps*cost/limit)
	}
}

// measure takes the measurements. The speed of a shared machine changes from second to second. So limits are measured
// between all other measurements, and a share of the limit is the median of the single shares, not the ratio of two
// medians.
func (b *bench) measure(r *benchResult, info moe.Info, parallel []int) error {
	limits, err := kernel.NewLimits(r.Threads)
	if err != nil {
		return err
	}
	defer limits.Close()
	var prompt, generate figures
	together := make([]figures, len(parallel))
	for range r.Repeat {
		peak := limits.Multiply()
		times, err := b.run(1, r.PromptTokens, 1)
		if err != nil {
			return err
		}
		tps := float64(r.PromptTokens) / times[0].at[0].Sub(times[0].start).Seconds()
		prompt.add(tps, peak, limits.Multiply(), promptGOP(info, r.PromptTokens))

		read := limits.Read()
		decode := func(f *figures, n, after int) error {
			times, err := b.run(n, after, r.GenerateTokens)
			if err != nil {
				return err
			}
			before := read
			read = limits.Read()
			f.add(rate(times), before, read, stepGB(info, n)/float64(n))
			return nil
		}
		if err := decode(&generate, 1, r.AfterTokens); err != nil {
			return err
		}
		for i, n := range parallel {
			if err := decode(&together[i], n, shortPrompt); err != nil {
				return err
			}
		}
		if r.PeakRSS == 0 { // before the prefix cache fills with prompts that are used only once
			r.PeakRSS = max(peakRSS()-limits.Bytes(), 0)
		}
	}
	for _, p := range kernel.Peaks(r.Threads) {
		r.Peaks = append(r.Peaks, benchPeak(p))
	}
	r.derive(info, &prompt, &generate, parallel, together)
	return nil
}

// promptGOP is how many 10⁹ operations in products with weights a token of a prompt of n tokens takes.
func promptGOP(info moe.Info, n int) float64 { return float64(info.Ops(n, 1)) / float64(n) / 1e9 }

// stepGB is how many 10⁹ bytes a step of n sequences reads.
func stepGB(info moe.Info, n int) float64 { return float64(info.StepBytes(n)) / 1e9 }

// rate returns the tokens per second of all requests together while all were decoding, as besideAll counts them.
func rate(times []timing) float64 {
	gap, beside := besideAll(times)
	if beside == 0 {
		return 0
	}
	return float64(len(times)) / gap
}

// besideAll gives the mean time between two tokens of a sequence, in seconds, from the first token of the last
// sequence to the last token of the first one, and how many tokens came in that time.
func besideAll(times []timing) (gap float64, beside int) {
	from, to := times[0].at[0], times[0].at[len(times[0].at)-1]
	for _, t := range times {
		if first := t.at[0]; first.After(from) {
			from = first
		}
		if last := t.at[len(t.at)-1]; last.Before(to) {
			to = last
		}
	}
	for _, t := range times {
		for _, at := range t.at {
			if at.After(from) && !at.After(to) {
				beside++
			}
		}
	}
	if beside == 0 {
		return 0, 0
	}
	return to.Sub(from).Seconds() * float64(len(times)) / float64(beside), beside
}

// derive computes the medians.
func (r *benchResult) derive(info moe.Info, prompt, generate *figures, parallel []int, together []figures) {
	mid := func(sample []float64) float64 { // 0 where no limit could be measured: JSON has no NaN
		if len(sample) == 0 {
			return 0
		}
		return stats.Median(sample)
	}
	r.PromptTPS, r.PeakGOPs, r.PromptFraction = mid(prompt.TPS), mid(prompt.Limits), mid(prompt.Shares)
	r.PromptGOPs = r.PromptTPS * promptGOP(info, r.PromptTokens)
	r.GenerateTPS, r.ReadGBs, r.GenerateFraction = mid(generate.TPS), mid(generate.Limits),
		mid(generate.Shares)
	r.GenerateGBs = r.GenerateTPS * stepGB(info, 1)
	r.PromptSamples, r.GenerateSamples = *prompt, *generate
	reads := slices.Clone(generate.Limits)
	for i, n := range parallel {
		f := &together[i]
		p := benchParallel{N: n, GenerateTPS: mid(f.TPS), ReadGBs: mid(f.Limits), Fraction: mid(f.Shares),
			Samples: *f}
		p.GBs = p.GenerateTPS / float64(n) * stepGB(info, n)
		r.Parallel, reads = append(r.Parallel, p), append(reads, f.Limits...)
	}
	r.ReadSpread = slices.Max(reads) / slices.Min(reads)
}

// peakRSS returns the peak memory of this process; 0 if unknown.
func peakRSS() int64 {
	u, err := host.Self()
	if err != nil {
		return 0
	}
	return u.Peak
}

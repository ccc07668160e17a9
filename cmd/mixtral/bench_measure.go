package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hxp-enterprise/mixtral/internal/engine"
	"github.com/hxp-enterprise/mixtral/internal/host"
	"github.com/hxp-enterprise/mixtral/internal/kernel"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/moe"
)

// shortPrompt is the prompt of decoding measurements: long enough to be a prompt, too short to be a block of the prefix
// cache with BOS before it.
const shortPrompt = 15

// bench runs requests on an engine.
type bench struct {
	app    *app
	engine *engine.Engine
	vocab  int
	seed   uint64
}

// timing is when the tokens of one request came.
type timing struct {
	start time.Time
	at    []time.Time
}

// run sends n requests at once, each of a prompt of other random tokens, so that the prefix cache has none of them.
func (b *bench) run(n, prompt, generate int) ([]timing, error) {
	times := make([]timing, n)
	g, ctx := errgroup.WithContext(b.app.ctx)
	for i := range times {
		b.seed++
		rng := rand.New(rand.NewPCG(b.seed, 0))
		r := &llm.Request{ID: fmt.Sprint("bench-", b.seed), MaxTokens: generate, IgnoreEOS: true, PromptTokens: make([]int32, prompt)}
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

// measure fills in the medians. Limits are measured between the repetitions, because a shared machine changes its mind.
func (b *bench) measure(r *benchResult, parallel []int) error {
	var prompt, generate, reads, peaks []float64
	together := make([][]float64, len(parallel))
	for range r.Repeat {
		times, err := b.run(1, r.PromptTokens, 1)
		if err != nil {
			return err
		}
		prompt = append(prompt, float64(r.PromptTokens)/times[0].at[0].Sub(times[0].start).Seconds())
		if times, err = b.run(1, r.AfterTokens, r.GenerateTokens); err != nil {
			return err
		}
		generate = append(generate, rate(times))
		for i, n := range parallel {
			if times, err = b.run(n, shortPrompt, r.GenerateTokens); err != nil {
				return err
			}
			together[i] = append(together[i], rate(times))
		}
		if r.PeakRSS == 0 {
			r.PeakRSS = peakRSS() // before the limits take memory of their own
		}
		read, err := kernel.BandwidthRead(r.Threads)
		if err != nil {
			return err
		}
		reads, peaks = append(reads, read), append(peaks, kernel.VNNIPeak(r.Threads))
	}
	r.PromptTPS, r.GenerateTPS = median(prompt), median(generate)
	r.ReadGBs, r.PeakGOPs, r.ReadSpread = median(reads), median(peaks), slices.Max(reads)/slices.Min(reads)
	for i, n := range parallel {
		r.Parallel = append(r.Parallel, benchParallel{N: n, GenerateTPS: median(together[i])})
	}
	return nil
}

// rate gives tokens a second of all requests together, while all were decoding: from when the last one had its first
// token to when the first one was done.
func rate(times []timing) float64 {
	from, to := times[0].at[0], times[0].at[len(times[0].at)-1]
	for _, t := range times {
		if t.at[0].After(from) {
			from = t.at[0]
		}
		if end := t.at[len(t.at)-1]; end.Before(to) {
			to = end
		}
	}
	n := 0
	for _, t := range times {
		for _, at := range t.at {
			if at.After(from) && !at.After(to) {
				n++
			}
		}
	}
	if !to.After(from) {
		return 0
	}
	return float64(n) / to.Sub(from).Seconds()
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// derive relates the figures to the limits.
func (r *benchResult) derive(info moe.Info) {
	r.GenerateGBs = r.GenerateTPS * float64(info.StepBytes(1)) / 1e9
	r.GenerateFraction = fraction(r.GenerateGBs, r.ReadGBs)
	r.PromptGOPs = r.PromptTPS * float64(info.Ops(r.PromptTokens, 1)) / float64(r.PromptTokens) / 1e9
	r.PromptFraction = fraction(r.PromptGOPs, r.PeakGOPs)
	for i := range r.Parallel {
		p := &r.Parallel[i]
		p.GBs = p.GenerateTPS / float64(p.N) * float64(info.StepBytes(p.N)) / 1e9
		p.Fraction = fraction(p.GBs, r.ReadGBs)
	}
}

func fraction(rate, limit float64) float64 {
	if limit == 0 {
		return 0
	}
	return rate / limit
}

// peakRSS is the most memory this process has held, 0 where the system does not say.
func peakRSS() int64 {
	u, err := host.Self()
	if err != nil {
		return 0
	}
	return u.Peak
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hxp-enterprise/mixtral"
	"github.com/hxp-enterprise/mixtral/certify/target"
	"github.com/hxp-enterprise/mixtral/internal/certify/probe"
	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/plan"
)

// Sizes that a profile measures. Those below profileBoth are measured as sequences and as prompts: their difference
// tells what a request and a row of logits cost.
var (
	profileSequences = []int{1, 2, 3, 4, 6, 8, 10}
	profilePrompts   = []int{2, 4, 8, 10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512}
)

const (
	profileShort   = 8  // tokens of a prompt before decoding is measured
	profileTokens  = 64 // tokens that each sequence decodes, at least
	profileOverlap = 16 // tokens of each sequence that must come while all of them are decoded
	profileChunk   = 512
)

// profile measures what steps of all sizes take, through HTTP, on a service that is started as certify starts one:
// what handing out costs on this machine is part of it. It writes the profile for mixtral plan.
func (c *benchCmd) profile(a *app) error {
	return c.profileOn(a, certifyCmd{Model: c.Model}.launch(a))
}

// profileOn measures on the service that launch starts.
func (c *benchCmd) profileOn(a *app, launch target.Launcher) error {
	p, stop, err := c.start(a, launch)
	if err != nil {
		return err
	}
	m, err := p.measure(c.Repeat)
	kv, merr := p.kvBytes()
	if err := errors.Join(err, merr, stop()); err != nil {
		return err
	}
	config, err := mixtral.LoadConfig("")
	if err != nil {
		return usageError(err)
	}
	out := &plan.Profile{SchemaVersion: 1, Model: p.model, Machine: probe.Machine()["cpu"], Tier: kernel.Tier(),
		Threads: runtime.NumCPU(), MaxRunning: config.MaxConcurrentRequests, PrefillChunk: profileChunk,
		ContextLength: p.info.Context, BlockTokens: kernel.BlockTokens,
		KVBlockBytes: p.info.KVBytes(c.KVType, kernel.BlockTokens)}
	out.KVBlocks = int(kv / max(out.KVBlockBytes, 1))
	if err := out.Fit(m); err != nil {
		return err
	}
	data, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.Profile, append(data, '\n'), 0o644); err != nil {
		return usageError(err)
	}
	if c.JSON {
		_, err = fmt.Fprintf(a.stdout, "%s\n", data)
		return err
	}
	return printProfile(a.stdout, out, c.Profile)
}

// start starts the service that a profile is measured on.
func (c *benchCmd) start(a *app, launch target.Launcher) (p *profiler, stop func() error, err error) {
	o, err := openModel(a, c.Model)
	if err != nil {
		return nil, nil, err
	}
	info, err := moe.Describe(o.File)
	_ = o.Close()
	if err != nil {
		return nil, nil, usageError(err)
	}
	server, err := launch(a.ctx, target.Need{Model: c.Model})
	if err != nil {
		return nil, nil, certifyError(a, err)
	}
	return &profiler{app: a, model: o.ID, info: info, url: server.URL, chunk: min(profileChunk, (info.Context-2)/2),
			http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true}}},
		server.Stop,
		nil
}

// profiler sends the requests of a profile.
type profiler struct {
	app   *app
	model string // its id
	info  moe.Info
	url   string
	http  *http.Client
	chunk int
}

// measure repeats every measurement, the sizes in turn, so that a machine that changes its speed changes it for all.
func (p *profiler) measure(repeat int) (plan.Measurements, error) {
	m := plan.Measurements{Chunk: p.chunk}
	long := min(1024, 2*p.chunk-2*profileTokens)
	if _, err := p.together(2, profileShort); err != nil { // pages are touched, connections opened
		return m, err
	}
	for round := range repeat {
		fmt.Fprintf(p.app.stderr, "profile: round %d of %d\n", round+1, repeat)
		for _, n := range profileSequences {
			for _, prompt := range []int{profileShort, long} {
				if prompt == long && n > 1 {
					continue
				}
				d, err := p.together(n, prompt)
				if err != nil {
					return m, err
				}
				m.Decoding = append(m.Decoding, d)
			}
		}
		for _, n := range p.prompts() {
			for range promptsOf(n) {
				t, err := p.ask(p.app.ctx, n, 1)
				if err != nil {
					return m, err
				}
				m.Prefill = append(m.Prefill, plan.Prefill{Tokens: n, Seconds: t.at[0].Sub(t.start).Seconds()})
			}
		}
	}
	return m, nil
}

// prompts gives the sizes of prompts to measure: up to a chunk, and two chunks.
func (p *profiler) prompts() []int {
	sizes := slices.DeleteFunc(slices.Clone(profilePrompts), func(n int) bool { return n >= p.chunk })
	return append(sizes, p.chunk, 2*p.chunk)
}

// promptsOf says how often a prompt is measured in a round: short ones take little time and vary more.
func promptsOf(n int) int { return max(1, min(8, 64/n)) }

// together lets n sequences decode at once and measures the mean time between two tokens of one while all of them do.
// A small model may end its first answer before the last request has arrived. So answers become longer, up to the
// model's context, until enough tokens come while all sequences decode.
func (p *profiler) together(n, prompt int) (plan.Decoding, error) {
	most := p.info.Context - prompt
	for generate := min(profileTokens, most); ; generate = min(2*generate, most) {
		gap, beside, err := p.overlap(n, prompt, generate)
		if err != nil {
			return plan.Decoding{}, err
		}
		if beside >= profileOverlap*n {
			return plan.Decoding{Sequences: n, Context: prompt + generate/2, Seconds: gap}, nil
		}
		if generate == most {
			return plan.Decoding{}, fmt.Errorf("profile: of %d sequences of %d tokens, the longest that the context "+
				"allows, only %d tokens came while all of them were decoded; %d are needed", n, generate, beside,
				profileOverlap*n)
		}
	}
}

// overlap lets n sequences decode the given number of tokens. It gives the mean time between two tokens of one while
// all of them are decoded, and how many tokens came in that time.
func (p *profiler) overlap(n, prompt, generate int) (gap float64, beside int, err error) {
	times := make([]timing, n)
	g, ctx := errgroup.WithContext(p.app.ctx)
	for i := range times {
		g.Go(func() error {
			t, err := p.ask(ctx, prompt, generate)
			if err == nil {
				times[i] = *t
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return 0, 0, err
	}
	gap, beside = besideAll(times)
	return gap, beside, nil
}

// ask streams one completion of random tokens, so that no cache has them, and notes when each token came.
func (p *profiler) ask(ctx context.Context, prompt, generate int) (*timing, error) {
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), uint64(prompt)))
	ids := make([]int, prompt)
	for i := range ids {
		ids[i] = 3 + rng.IntN(p.info.Vocab-3) // beyond the control tokens
	}
	body, err := json.Marshal(map[string]any{"prompt": ids, "max_tokens": generate, "stream": true, "ignore_eos": true,
		"temperature": 0.7})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+"/v1/completions", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	t := &timing{start: time.Now()}
	resp, err := p.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return nil, fmt.Errorf("profile: the service answers %s: %s", resp.Status, said)
	}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if line := lines.Text(); strings.HasPrefix(line, "data: {") {
			t.at = append(t.at, time.Now())
		}
	}
	if len(t.at) == 0 {
		return nil, errors.New("profile: the service answers without a token")
	}
	return t, nil
}

// kvBytes reads from the metrics how large the KV cache is.
func (p *profiler) kvBytes() (int64, error) {
	resp, err := p.http.Get(p.url + "/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(io.LimitReader(resp.Body, 1<<20)); lines.Scan(); {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if ok && strings.HasPrefix(name, "mixtral_kv_cache_bytes{") {
			v, err := strconv.ParseFloat(value, 64)
			return int64(v), err
		}
	}
	return 0, errors.New("profile: the service's metrics do not have mixtral_kv_cache_bytes")
}

func printProfile(w io.Writer, p *plan.Profile, path string) error {
	fmt.Fprintf(w, "%s on %s, %d threads, %s\n", p.Model, p.Machine, p.Threads, p.Tier)
	for _, at := range p.Points {
		fmt.Fprintf(w, "  %4d tokens  %8.3f ms  (%.3f to %.3f)\n", at.Tokens, 1e3*at.Seconds, 1e3*at.Low, 1e3*at.High)
	}
	_, err := fmt.Fprintf(w, "a row of logits %.1f µs, a request %.3f ms, a position %.2f ns in decoding and %.2f "+
		"ns in "+
		"prompts\nprofile: %s (mixtral plan --profile %s)\n", 1e6*p.PerRow, 1e3*p.PerRequest, 1e9*p.PerContext,
		1e9*p.PerPromptContext, path, path)
	return err
}

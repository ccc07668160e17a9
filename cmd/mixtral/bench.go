package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/noun"
	"github.com/hxp-enterprise/mixtral/internal/infer/engine"
	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// benchCmd measures the whole engine, with everything that a request goes through: tokens, scheduler, model, sampling.
type benchCmd struct {
	Model    string       `placeholder:"REF" help:"Model: path of a .gguf file or of a model's directory, synth:tiny, synth:nano, synth:mid (with a format: synth:mid:q4_0), or demo."`
	Prompt   int          `range:"1..1048576" default:"512" placeholder:"N" help:"Number of tokens in the prompt whose prefill is measured; default: ${default}."`
	After    int          `range:"1..1048576" default:"15" placeholder:"N" help:"Number of tokens in the prompt when one sequence is decoded; default: ${default}. A large number measures decoding in a long context."`
	Generate int          `range:"2..1048576" default:"128" placeholder:"N" help:"Number of tokens to generate in each measurement of decoding; default: ${default}."`
	Parallel string       `default:"1,4,10" placeholder:"N,N,..." help:"Numbers of sequences to decode at the same time, separated by commas; default: ${default}."`
	KVType   quant.KVType `name:"kv-type" placeholder:"TYPE" help:"Format of the KV cache: f16 (default) or q8_0."`
	Threads  int          `range:"0..4096" placeholder:"N" help:"Number of computing threads; default: one for each CPU."`
	Repeat   int          `range:"1..1000" default:"3" placeholder:"N" help:"Number of times to measure each figure; the median is shown; default: ${default}."`
	Profile  string       `placeholder:"FILE" help:"Instead, measure how long steps of all sizes take, and write the result to FILE, which mixtral plan reads."`
	JSON     bool         `help:"Print JSON."`
}

// benchResult is what bench --json prints. Rates and fractions are medians of repetitions. A fraction is relative to
// the limit that was measured just before and just after it; it is 0 if none could be measured. Byte and operation
// rates count 10⁹ as G.
type benchResult struct {
	Model       string  `json:"model"`
	Threads     int     `json:"threads"`
	Tier        string  `json:"tier"`
	KVType      string  `json:"kv_type"`
	PromptTPS   float64 `json:"prompt_tps"`
	GenerateTPS float64 `json:"generate_tps"`

	Parallel       []benchParallel `json:"parallel"`
	PromptTokens   int             `json:"prompt_tokens"`
	AfterTokens    int             `json:"after_tokens"`
	GenerateTokens int             `json:"generate_tokens"`
	Repeat         int             `json:"repeat"`
	LoadSeconds    float64         `json:"load_seconds"` // opening and loading
	// from opening the file to the first token of a short prompt
	FirstToken float64 `json:"first_token_seconds"`
	// until the system had joined the pages; the figures were measured after this
	Settled     float64 `json:"settled_seconds"`
	WeightBytes int64   `json:"weight_bytes"`
	// of this process, without the measurement of limits; 0 if unknown
	PeakRSS int64 `json:"peak_rss_bytes"`

	ReadGBs          float64 `json:"read_gb_per_second"`     // the machine's limit, measured beside the figures
	GenerateGBs      float64 `json:"generate_gb_per_second"` // weights read while decoding one sequence
	GenerateFraction float64 `json:"generate_read_fraction"` // of the read limit
	// the machine's limit in 8-bit products, in the instructions of the tier in use
	PeakGOPs       float64 `json:"int8_gop_per_second"`
	PromptGOPs     float64 `json:"prompt_gop_per_second"` // products with weights in prefill
	PromptFraction float64 `json:"prompt_peak_fraction"`  // relative to the limit
	// the limit of each tier that the machine has, lowest first
	Peaks []benchPeak `json:"int8_peaks"`
	// highest read rate over the lowest: how much the machine itself varies
	ReadSpread float64 `json:"read_spread"`

	PromptSamples   figures `json:"prompt_samples"`
	GenerateSamples figures `json:"generate_samples"`
}

type benchPeak struct {
	Tier string  `json:"tier"`
	GOPs float64 `json:"int8_gop_per_second"`
}

type benchParallel struct {
	N           int     `json:"n"`
	GenerateTPS float64 `json:"generate_tps"` // of all sequences together
	// of the weights that a step reads if all experts are chosen equally often
	GBs      float64 `json:"generate_gb_per_second"`
	ReadGBs  float64 `json:"read_gb_per_second"` // the machine's limit, measured beside it
	Fraction float64 `json:"generate_read_fraction"`
	Samples  figures `json:"samples"`
}

func (c *benchCmd) Run(a *app) error {
	parallel, err := parseCounts(c.Parallel)
	if err != nil {
		return usageError(err)
	}
	if c.Profile != "" {
		return c.profile(a)
	}
	began := time.Now()
	o, err := openModel(a, c.Model)
	if err != nil {
		return err
	}
	defer o.Close()
	e, err := engine.New(o.File, engine.Config{ModelID: o.ID, Workers: c.Threads,
		MaxRunning: max(slices.Max(parallel), 1), KVType: c.KVType, NoGuesses: true})
	if err != nil {
		return usageError(err)
	}
	defer e.Close()
	info, threads := e.Info()
	if need := max(c.Prompt+1, max(shortPrompt, c.After)+c.Generate); need > info.Context {
		return usageError(fmt.Errorf("%d tokens are needed, the model's context has %d", need, info.Context))
	}
	b := &bench{app: a, engine: e, vocab: info.Vocab}
	r := &benchResult{
		Model: o.ID, Threads: threads, Tier: kernel.Tier(), KVType: c.KVType.String(), PromptTokens: c.Prompt,
		AfterTokens: c.After, GenerateTokens: c.Generate, Repeat: c.Repeat,
		LoadSeconds: time.Since(began).Seconds(), WeightBytes: info.Packed,
	}
	if _, err := b.run(1, shortPrompt, 1); err != nil {
		return err
	}
	r.FirstToken = time.Since(began).Seconds()
	e.Settle()
	r.Settled = time.Since(began).Seconds()
	if err := b.measure(r, info, parallel); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(a.stdout, r)
	}
	return r.print(a.stdout)
}

// parseCounts reads "1,4,10".
func parseCounts(list string) ([]int, error) {
	var counts []int
	for field := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || n < 1 || n > 1024 {
			return nil, fmt.Errorf("--parallel: must be numbers from 1 to 1024, separated by commas; got %q", field)
		}
		counts = append(counts, n)
	}
	return counts, nil
}

// print prints the table.
func (r *benchResult) print(w io.Writer) error {
	fmt.Fprintf(w, "%s, %s of weights, %s, %s, %s\n", r.Model, size(r.WeightBytes),
		noun.Of(r.Threads, "thread", "threads"), r.Tier,
		runtime.Version())
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	// Products are compared with the peak of multiplying, weights read with the rate of reading memory. A short decode
	// may be above it: part of its weights are in a cache.
	fmt.Fprintln(t, "\ttokens/s\trate\tcompared with\tratio\t")
	row := func(name string, tps, rate, limit, fraction float64, unit, of string) {
		if limit == 0 {
			fmt.Fprintf(t, "%s\t%.1f\t%.1f %s\t\t\t\n", name, tps, rate, unit)
			return
		}
		fmt.Fprintf(t, "%s\t%.1f\t%.1f %s\t%s %.1f\t%.0f %%\t\n", name, tps, rate, unit, of, limit, 100*fraction)
	}
	row(fmt.Sprintf("prefill %d", r.PromptTokens), r.PromptTPS, r.PromptGOPs, r.PeakGOPs, r.PromptFraction, "GOP/s",
		"peak")
	row(fmt.Sprintf("decode %d after %d", r.GenerateTokens, r.AfterTokens), r.GenerateTPS, r.GenerateGBs, r.ReadGBs,
		r.GenerateFraction, "GB/s", "memory")
	for _, p := range r.Parallel {
		row(fmt.Sprintf("decode %d × %d", p.N, r.GenerateTokens), p.GenerateTPS, p.GBs, p.ReadGBs, p.Fraction, "GB/s",
			"memory")
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprint(w, "peak of 8-bit products by tier, GOP/s:")
	for i, p := range r.Peaks {
		if i > 0 {
			fmt.Fprint(w, ",")
		}
		fmt.Fprintf(w, " %s %.1f", p.Tier, p.GOPs)
	}
	fmt.Fprintln(w)
	_, err := fmt.Fprintf(w, "loaded in %.2f s, first token after %.2f s; peak memory %s\n", r.LoadSeconds,
		r.FirstToken, size(r.PeakRSS))
	return err
}

package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/base/noun"
	"github.com/hxp-enterprise/mixtral/internal/base/slo"
	"github.com/hxp-enterprise/mixtral/internal/plan"
	"github.com/hxp-enterprise/mixtral/internal/serve/route"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// planCmd finds how many replicas hold a case's targets.
type planCmd struct {
	Case string `arg:"" optional:"" help:"Id of a built-in test case, or path of a case file, whose targets and traffic to plan for."`

	Profile     string `placeholder:"FILE" help:"File of costs that mixtral bench --profile wrote."`
	From        string `placeholder:"RUN" help:"Take costs and traffic from a certified run: its record (.events.jsonl.gz), its report with the record beside it, or its id in the database, with the record in --report-dir."`
	ReportDir   string `default:"reports" placeholder:"DIR" help:"Directory with the record of a run from the database; default: ${default}."`
	Accelerator string `placeholder:"NAME" help:"Take costs from the data sheet of an accelerator: a100-80gb, b200, gh200-144gb, h100, h200, l40s or mi300x."`
	PerReplica  int    `range:"1..64" default:"1" placeholder:"N" help:"Number of accelerators in a replica, with tensor parallelism; default: ${default}."`
	WeightBits  int    `default:"8" enum:"8,16" placeholder:"BITS" help:"Bits of a weight on accelerators: 8 (FP8) or 16 (bfloat16); default: ${default}."`
	Shape       string `default:"8x7b" enum:"8x7b,8x22b" placeholder:"SHAPE" help:"Shape of Mixtral on accelerators: 8x7b or 8x22b; default: ${default}."`

	RPS          float64 `range:"0..1000000" name:"rps" placeholder:"N" help:"Requests per second; default: the case's target."`
	SLO          string  `name:"slo" placeholder:"LIST" help:"Objectives, such as ttft:p99<2s,tpot:p99<200ms; default: those of the case's open phase, or its mean latency."`
	PromptTokens string  `placeholder:"N,N,..." help:"Lengths of prompts in tokens, of which each request takes one at random; default: those of the case's open phase. Texts count as a token for 4 bytes."`
	OutputTokens string  `placeholder:"N,N,..." help:"Lengths of answers in tokens, one for each of --prompt-tokens; default: those of the case."`
	Shared       float64 `range:"0..1" placeholder:"SHARE" help:"Share of each prompt, 0 to 1, that is the same for all prompts of its group, from the start; default: 0."`
	Groups       int     `range:"1..1000000" default:"1" placeholder:"N" help:"Number of groups of prompts with the same start; default: ${default}."`
	Burstiness   float64 `range:">0..1000" default:"1" placeholder:"K" help:"Shape of the gamma distribution of the times between arrivals: 1 is Poisson, less than 1 gives bursts; default: ${default}."`

	Replicas    int     `range:"0..1000000" placeholder:"N" help:"Report what this number of replicas reaches, instead of searching for the number."`
	Most        int     `range:"1..1000000" default:"10000" placeholder:"N" help:"Maximum number of replicas to try; default: ${default}."`
	Policy      string  `default:"least-outstanding" placeholder:"NAME" help:"Routing policy: least-outstanding, round-robin or prefix-affinity; default: ${default}."`
	Requests    int     `range:"0..100000000" placeholder:"N" help:"Number of requests in each simulation; default: as many as arrive in 60 s, at least 3000 and at most 100000."`
	Seed        uint64  `default:"1" placeholder:"N" help:"Seed of arrival times and lengths; default: ${default}."`
	ReplicaCost float64 `range:"0..1000000000" placeholder:"PRICE" help:"Price of a replica per hour, to show what a million tokens cost."`
	Watts       float64 `range:"0..1000000000" placeholder:"W" help:"Power of a replica in watts, to show energy; default: from the accelerators' data sheet."`
	JSON        bool    `name:"json" help:"Print JSON."`
	databaseFlag
}

func (planCmd) Help() string {
	return "A discrete-event simulation runs the service's own scheduler and the gateway's routing in virtual time. " +
		"docs/SCALE.md says how far its predictions are off.\n\nExit codes: 0 the targets can be held, 1 they " +
		"cannot, " +
		"2 bad input."
}

// planResult is what plan --json prints. Times are milliseconds.
type planResult struct {
	Case       string       `json:"case"`
	Costs      string       `json:"costs"` // their source
	Objectives []string     `json:"objectives"`
	RPS        float64      `json:"rps"`
	Policy     string       `json:"policy"`
	Held       bool         `json:"held"`
	Replicas   int          `json:"replicas"`
	KneeRPS    float64      `json:"knee_rps"` // the highest rate that the replicas hold
	Headroom   float64      `json:"headroom"` // knee over the requested rate, minus 1
	At         planPoint    `json:"at"`       // at the requested rate
	Curve      []planPoint  `json:"curve"`    // rates up to above the knee
	KVBytes    int64        `json:"kv_bytes"` // maximum size of one replica's keys and values
	KVCapacity int64        `json:"kv_capacity_bytes"`
	Binds      planBindings `json:"binds"`
	From       *planFrom    `json:"from,omitempty"` // the run that costs and traffic come from
	PerMillion *float64     `json:"price_per_million_tokens,omitempty"`
	JPerToken  *float64     `json:"joules_per_token,omitempty"`
}

// planPoint is the result at one rate.
type planPoint struct {
	RPS        float64 `json:"rps"`
	Held       bool    `json:"held"`
	Throughput float64 `json:"throughput_rps"`
	TokensPS   float64 `json:"output_tokens_per_second"`
	Goodput    float64 `json:"goodput"` // share of requests that met every limit
	TTFTMean   float64 `json:"ttft_mean_ms"`
	TTFTP99    float64 `json:"ttft_p99_ms"`
	TPOTP99    float64 `json:"tpot_p99_ms"`
	MeanMS     float64 `json:"latency_mean_ms"`
	P50MS      float64 `json:"latency_p50_ms"`
	P99MS      float64 `json:"latency_p99_ms"`
	Refused    int     `json:"refused"`
	Busy       float64 `json:"busy"`  // mean share of the time that a replica computes
	Batch      float64 `json:"batch"` // mean tokens per step
}

// planBindings has the share of the computing time for each bound.
type planBindings struct {
	Bandwidth float64 `json:"bandwidth"`
	Compute   float64 `json:"compute"`
	Links     float64 `json:"links,omitempty"`
	Queue     float64 `json:"queue"`     // requests waited because the maximum number was running
	KVMemory  float64 `json:"kv_memory"` // requests waited for memory for keys and values
}

func (c *planCmd) Run(a *app) error {
	from, err := c.readFrom(a)
	if err != nil {
		return err
	}
	loaded, err := c.loaded(from)
	if err != nil {
		return usageError(err)
	}
	setup, costs, watts, err := c.setup(from)
	if err != nil {
		return err
	}
	demand, err := c.demand(loaded)
	if err != nil {
		return usageError(err)
	}
	if setup.Traffic, err = c.traffic(loaded, from); err != nil {
		return usageError(err)
	}
	r := &planResult{Case: loaded.Case.ID, Costs: costs, RPS: setup.Traffic.RPS, Policy: c.Policy}
	for _, o := range demand.Objectives {
		r.Objectives = append(r.Objectives, o.String())
	}
	if r.From, err = from.check(a, setup); err != nil {
		return planError(err)
	}
	r.Held = true
	setup.Replicas = c.Replicas
	if c.Replicas == 0 {
		fmt.Fprintln(a.stderr, "plan: searching for the number of replicas")
		setup.Replicas, _, err = plan.Replicas(a.ctx, setup, demand, c.Most)
		if errors.Is(err, plan.ErrImpossible) {
			return withHint(err,
				"a replica that is alone with one request may already be too slow: try --replicas 1 --rps 0.01")
		}
		if err != nil {
			return planError(err)
		}
	}
	if err := c.fill(a, r, setup, demand); err != nil {
		return planError(err)
	}
	c.price(r, watts)
	if c.JSON {
		err = printJSON(a.stdout, r)
	} else {
		err = r.print(a.stdout)
	}
	if err == nil && !r.Held {
		return exitWith(exitFail)
	}
	return err
}

func planError(err error) error {
	if errors.Is(err, plan.ErrTraffic) || errors.Is(err, plan.ErrReplica) || errors.Is(err, route.ErrUnknown) {
		return usageError(err)
	}
	return err
}

// setup returns a replica, the source of its costs, and its power if that is known.
func (c *planCmd) setup(from *observedRun) (s plan.Setup, costs string, watts float64, err error) {
	s = plan.Setup{Policy: c.Policy, Warmup: 0.1}
	given := 0
	for _, x := range []string{c.Profile, c.Accelerator, c.From} {
		if x != "" {
			given++
		}
	}
	switch {
	case given != 1:
		return s, "", 0, usageError(withHint(errors.New("one of --profile, --accelerator and --from must be given"),
			"mixtral bench --model FILE --profile costs.json measures this machine"))
	case from != nil:
		s.Replica = from.profile.Replica()
		return s, from.describe(), c.Watts, nil
	case c.Profile != "":
		data, err := bounded.File(c.Profile, 16<<20)
		if err != nil {
			return s, "", 0, usageError(err)
		}
		p, err := plan.ReadProfile(data)
		if err != nil {
			return s, "", 0, usageError(fmt.Errorf("%s: %w", c.Profile, err))
		}
		s.Replica = p.Replica()
		return s, fmt.Sprintf("measured: %s on %s, %s", p.Model, p.Machine,
			noun.Of(p.Threads, "thread", "threads")), c.Watts, nil
	}
	shape := plan.Mixtral8x7B
	if c.Shape == "8x22b" {
		shape = plan.Mixtral8x22B
	}
	h, err := plan.NewHardware(c.Accelerator, c.PerReplica, shape, c.WeightBits)
	if err != nil {
		return s, "", 0, usageError(err)
	}
	s.Replica, watts = h.Replica(), c.Watts
	if watts == 0 {
		watts = h.Device.Watts * float64(h.Count)
	}
	return s, fmt.Sprintf("data sheet: %d × %s, Mixtral-%s in %d bits", h.Count, h.Device.Name, c.Shape,
		c.WeightBits), watts, nil
}

func (c *planCmd) demand(l *testcases.Loaded) (plan.Demand, error) {
	d := plan.Demand{Refused: l.Case.Limits.ErrorBudget}
	if c.SLO == "" {
		if ph, ok := openPhase(l.Case); ok {
			if list := l.Case.Objectives(ph.ID); list != "" {
				var err error
				if d.Objectives, err = slo.Parse(list); err != nil {
					return d, err
				}
			}
		}
		if len(d.Objectives) > 0 && l.Case.Targets.LatencyMS == 0 {
			return d, nil
		}
		if l.Case.Targets.LatencyMS == 0 {
			return d, fmt.Errorf("%s has no objective for latencies: give --slo", l.Case.ID)
		}
		if len(l.Case.SLO) > 0 {
			return d, nil
		}
		d.Objectives = []slo.Objective{{Metric: slo.Latency, Limit: l.Case.Targets.LatencyMS / 1000}}
		return d, nil
	}
	var err error
	d.Objectives, err = slo.Parse(c.SLO)
	return d, err
}

// openPhase returns the open phase whose traffic is planned for: that of the full profile, or of the first profile by
// name.
func openPhase(c *testcases.Case) (testcases.Phase, bool) {
	names := slices.Sorted(maps.Keys(c.Profiles))
	if _, ok := c.Profiles["full"]; ok {
		names = append([]string{"full"}, names...)
	}
	for _, name := range names {
		for _, ph := range slices.Backward(c.Profiles[name]) {
			if ph.Kind == testcases.KindOpen {
				return ph, true
			}
		}
	}
	return testcases.Phase{}, false
}

// bytesPerToken is the average length of a token of English text in a vocabulary of 32,000 pieces.
const bytesPerToken = 4

// traffic takes lengths from the flags, or from the case's open phase.
func (c *planCmd) traffic(l *testcases.Loaded, from *observedRun) (plan.Traffic, error) {
	t := plan.Traffic{RPS: c.RPS, Requests: c.Requests, Shared: c.Shared, Groups: c.Groups, Burstiness: c.Burstiness,
		Seed: c.Seed}
	if from != nil {
		from.fill(&t)
	}
	if t.RPS == 0 {
		if t.RPS = l.Case.Targets.ThroughputRPS; t.RPS == 0 {
			if ph, ok := openPhase(l.Case); ok {
				t.RPS = l.Case.Rate(ph)
			}
		}
	}
	if t.Requests == 0 {
		t.Requests = int(min(max(60*t.RPS, 3000), 100_000))
	}
	var err error
	if c.PromptTokens != "" {
		if t.Prompt, err = lengths("--prompt-tokens", c.PromptTokens); err != nil {
			return t, err
		}
	}
	if c.OutputTokens != "" {
		if t.Output, err = lengths("--output-tokens", c.OutputTokens); err != nil {
			return t, err
		}
	}
	if t.Prompt == nil || t.Output == nil {
		var prompts, outputs []int
		if from != nil {
			prompts, outputs = from.prompts, from.outputs
		} else if prompts, outputs, err = caseLengths(l, c.Seed); err != nil {
			return t, err
		}
		switch {
		case t.Prompt == nil && t.Output == nil:
			t.Prompt, t.Output = prompts, outputs
		case t.Prompt == nil:
			t.Prompt = prompts
		case len(outputs) == len(t.Prompt):
			t.Output = outputs
		default: // these lengths are not the case's: each gets the mean answer
			sum := 0
			for _, n := range outputs {
				sum += n
			}
			t.Output = []int{max(sum/len(outputs), 1)}
		}
	}
	for len(t.Output) == 1 && len(t.Prompt) > 1 && len(t.Output) < len(t.Prompt) {
		for len(t.Output) < len(t.Prompt) {
			t.Output = append(t.Output, t.Output[0])
		}
	}
	if len(t.Prompt) != len(t.Output) {
		return t, fmt.Errorf("--output-tokens has %d lengths and --prompt-tokens %d: give one, or as many of each",
			len(t.Output), len(t.Prompt))
	}
	return t, nil
}

// drawnLengths is how many requests of a case's traffic are drawn to get lengths for the plan.
const drawnLengths = 2000

// caseLengths returns the lengths of the prompts in the case's open phase, and of the answers that it asks for.
func caseLengths(l *testcases.Loaded, seed uint64) (prompts, outputs []int, err error) {
	ph, _ := openPhase(l.Case)
	if ph.Traffic != nil {
		return certify.TrafficLengths(l, ph, seed, drawnLengths)
	}
	keys := ph.Prompts
	if len(keys) == 0 {
		keys = l.Prompts.Keys()
	}
	for _, key := range keys {
		if p, ok := l.Prompts.ByKey(key); ok {
			prompts = append(prompts, max(1, len(p.Text)/bytesPerToken))
			outputs = append(outputs, l.Case.MaxTokens(ph))
		}
	}
	return prompts, outputs, nil
}

func lengths(flag, list string) ([]int, error) {
	var all []int
	for field := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || n < 1 || n > 1<<20 {
			return nil, fmt.Errorf("%s: must be numbers of tokens from 1 to %d, separated by commas; "+
				"got %q", flag, 1<<20, field)
		}
		all = append(all, n)
	}
	return all, nil
}

// fill simulates the requested rate, the knee, and the curve through both.
func (c *planCmd) fill(a *app, r *planResult, s plan.Setup, d plan.Demand) error {
	at, err := plan.Simulate(a.ctx, s)
	if err != nil {
		return err
	}
	r.Replicas, r.Held, r.At = s.Replicas, d.Held(at), point(s.Traffic.RPS, at, d)
	r.KVBytes = int64(at.KVPeak) * s.Replica.BlockBytes
	r.KVCapacity = int64(s.Replica.Blocks) * s.Replica.BlockBytes
	r.Binds = planBindings{at.Bounds[plan.Bandwidth], at.Bounds[plan.Compute], at.Bounds[plan.Links], at.Queue, at.KV}
	fmt.Fprintln(a.stderr, "plan: searching for the knee")
	part, scale := plan.Scaled(s)
	knee, _, err := plan.Knee(a.ctx, part, d)
	if err != nil {
		return err
	}
	r.KneeRPS, r.Headroom = knee*scale, knee*scale/s.Traffic.RPS-1
	if knee == 0 {
		knee = part.Traffic.RPS
	}
	rates := []float64{0.25 * knee, 0.5 * knee, 0.75 * knee, 0.9 * knee, knee, 1.1 * knee, 1.25 * knee}
	results, err := plan.Curve(a.ctx, part, rates)
	if err != nil {
		return err
	}
	for i, res := range results {
		p := point(rates[i]*scale, res, d)
		p.Throughput, p.TokensPS = p.Throughput*scale, p.TokensPS*scale
		r.Curve = append(r.Curve, p)
	}
	return nil
}

func point(rps float64, r *plan.Result, d plan.Demand) planPoint {
	ms := func(v float64) float64 {
		if math.IsNaN(v) {
			return 0
		}
		return 1e3 * v
	}
	mean := func(m slo.Metric) float64 { return ms(slo.Objective{}.Of(r.Of(m))) }
	return planPoint{RPS: rps, Held: d.Held(r), Throughput: r.Throughput, TokensPS: r.TokensPS,
		Goodput: r.Goodput(d.Objectives), TTFTMean: mean(slo.TTFT), TTFTP99: ms(r.Percentile(slo.TTFT, 0.99)),
		TPOTP99: ms(r.Percentile(slo.TPOT, 0.99)), MeanMS: mean(slo.Latency),
		P50MS: ms(r.Percentile(slo.Latency, 0.5)), P99MS: ms(r.Percentile(slo.Latency, 0.99)), Refused: r.Refused,
		Busy: r.Busy, Batch: r.Batch}
}

// price computes what tokens cost, if prices are known.
func (c *planCmd) price(r *planResult, watts float64) {
	if r.At.TokensPS <= 0 {
		return
	}
	if c.ReplicaCost > 0 {
		v := c.ReplicaCost * float64(r.Replicas) / 3600 / r.At.TokensPS * 1e6
		r.PerMillion = &v
	}
	if watts > 0 {
		v := watts * float64(r.Replicas) / r.At.TokensPS
		r.JPerToken = &v
	}
}

func (r *planResult) print(w io.Writer) error {
	verdict := noun.For(r.Replicas, "holds", "hold")
	if !r.Held {
		verdict = noun.For(r.Replicas, "does not hold", "do not hold")
	}
	fmt.Fprintf(w, "%s %s %s at %.4g requests/s; %s up to %.4g (%+.0f %%)\n",
		noun.Of(r.Replicas, "replica", "replicas"), verdict, strings.Join(r.Objectives, ", "), r.RPS,
		noun.For(r.Replicas, "it holds", "they hold"), r.KneeRPS,
		100*r.Headroom)
	fmt.Fprintf(w, "%s; routing %s\n", r.Costs, r.Policy)
	if r.From != nil {
		r.From.print(w)
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "offered/s\tserved/s\ttokens/s\tTTFT mean\tp99\tTPOT p99\tlatency mean\tp50\tp99 "+
		"ms\tgoodput\tbusy\t\t")
	for _, p := range r.Curve {
		mark := ""
		if !p.Held {
			mark = "missed"
		}
		fmt.Fprintf(t, "%.4g\t%.4g\t%.0f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f %%\t%.0f %%\t%s\t\n", p.RPS,
			p.Throughput,
			p.TokensPS, p.TTFTMean, p.TTFTP99, p.TPOTP99, p.MeanMS, p.P50MS, p.P99MS, 100*p.Goodput, 100*p.Busy, mark)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	b := r.Binds
	fmt.Fprintf(w, "\nsteps wait for bandwidth %.0f %%, for products %.0f %%, for links %.0f %% of their time; "+
		"requests "+
		"queue in %.0f %%, for KV memory in %.0f %%\n", 100*b.Bandwidth, 100*b.Compute, 100*b.Links, 100*b.Queue,
		100*b.KVMemory)
	if r.KVCapacity > 0 {
		fmt.Fprintf(w, "KV cache: %s of %s in the fullest replica; ", size(r.KVBytes), size(r.KVCapacity))
	}
	fmt.Fprintf(w, "%.0f tokens in a step\n", r.At.Batch)
	if r.PerMillion != nil {
		fmt.Fprintf(w, "price: %.4g for a million output tokens\n", *r.PerMillion)
	}
	if r.JPerToken != nil {
		fmt.Fprintf(w, "energy: %.4g joules an output token at full power\n", *r.JPerToken)
	}
	return nil
}

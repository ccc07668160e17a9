package main

import (
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/target"
	"github.com/hxp-enterprise/mixtral/internal/base/slo"
	"github.com/hxp-enterprise/mixtral/internal/plan"
	"github.com/hxp-enterprise/mixtral/internal/serve/route"
)

var updatePlan = flag.Bool("update-plan", false, "write the table of docs/SCALE.md")

// TestPlanError measures how far the plan's predictions are off on this machine: for each model, a profile is
// measured, and then the same arrivals are sent to the service and simulated; and so for three services behind a
// gateway. It takes minutes of a quiet machine, and runs where MIXTRAL_PLAN_ERROR names models,
// such as "demo,synth:nano,synth:mid" (make plan-error).
func TestPlanError(t *testing.T) {
	models := os.Getenv("MIXTRAL_PLAN_ERROR")
	if models == "" {
		t.Skip("MIXTRAL_PLAN_ERROR names no models")
	}
	program, err := filepath.Abs("../../bin/mixtral")
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("| model | replicas | load | requests/s | mean ms | p50 ms | p99 ms | TTFT mean ms | " +
		"served/s |\n" +
		"|---|---|---|---|---|---|---|---|---|\n")
	var all []float64
	for _, on := range []func(*testing.T, string) arrangement{alone, behindGateway} {
		for model := range strings.SplitSeq(models, ",") {
			t.Run(model, func(t *testing.T) { all = append(all, planErrors(t, model, on(t, program), &table)...) })
		}
	}
	slices.Sort(all)
	if len(all) > 0 {
		fmt.Fprintf(&table, "\nOf %d predictions half are within %.1f %%, the worst is off by %.1f %%.\n", len(all),
			100*all[len(all)/2], 100*all[len(all)-1])
	}
	t.Logf("\n%s", table.String()) // also of the models before one that failed: their minutes are not lost
	if *updatePlan && !t.Failed() {
		writeBetween(t, "../../docs/SCALE.md", "<!-- plan error: begin -->\n", "<!-- plan error: end -->",
			table.String())
	}
}

// planLoads are the loads of each arrangement, as shares of the knee.
var planLoads = []float64{0.3, 0.6, 0.85}

// arrangement is what a load is sent to.
type arrangement struct {
	replicas int
	replica  target.Launcher // one of them: what a profile is measured on
	service  target.Launcher // all of them
}

// alone is one service with one of the machine's processors. The client has the others: a plan does not speak of it.
func alone(_ *testing.T, program string) arrangement {
	launch := servesModel(program, "--set", "cpu_cores=1")
	return arrangement{replicas: 1, replica: launch, service: launch}
}

// behindGateway is three services, each held to a share of a processor by a control group of its own, so that they are
// as independent of each other as three machines are. Together they take less than one processor, and leave another to
// the gateway and to the client.
func behindGateway(t *testing.T, program string) arrangement {
	const (
		replicas = 3
		cores    = 0.3
		period   = 5000 // microseconds: shorter than what a client notices
		memory   = 16 << 30
	)
	var launch [replicas]target.Launcher
	for i := range launch {
		enter := controlGroup(t, fmt.Sprint("replica-", i), memory, cores, period)
		launch[i] = target.Child("/bin/sh", func(port int, need target.Need) []string {
			return append([]string{"-c", enter, program}, serveArgs(port, need)...)
		})
	}
	return arrangement{replicas: replicas, replica: launch[0],
		service: func(ctx context.Context, need target.Need) (*target.Server, error) {
			var urls []string
			for _, start := range launch {
				s, err := start(ctx, need)
				if err != nil {
					return nil, err
				}
				t.Cleanup(func() { _ = s.Stop() })
				urls = append(urls, s.URL)
			}
			gateway := target.Child(program, func(port int, _ target.Need) []string {
				return []string{"serve", "--port", strconv.Itoa(port), "--log-level", "warn", "--backend", "vllm",
					"--upstream", strings.Join(urls, ",")}
			})
			return gateway(ctx, need)
		}}
}

func servesModel(program string, more ...string) target.Launcher {
	return target.Child(program, func(port int, need target.Need) []string {
		return append(serveArgs(port, need), more...)
	})
}

func serveArgs(port int, need target.Need) []string {
	return []string{"serve", "--port", strconv.Itoa(port), "--log-level", "warn", "--model", need.Model}
}

// planErrors sends an arrangement's loads to a model's service, writes their rows and gives the relative errors.
func planErrors(t *testing.T, model string, on arrangement, table *strings.Builder) []float64 {
	a := &app{ctx: t.Context(), stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv}
	file := t.TempDir() + "/profile.json"
	bench := &benchCmd{Model: model, Profile: file, Repeat: 5}
	if model == "demo" {
		bench.Repeat = 50 // its steps are as short as what disturbs them, and a round takes half a second
	}
	if err := bench.profileOn(a, on.replica); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	profile, err := plan.ReadProfile(data)
	if err != nil {
		t.Fatal(err)
	}
	p, stop, err := bench.start(a, on.service)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}()
	setup := plan.Setup{Replica: profile.Replica(), Replicas: on.replicas, Policy: route.NameLeast, Warmup: 0.1,
		Traffic: plan.Traffic{Requests: 2000, RPS: 10, Prompt: []int{20, 60, 150, 300}, Output: []int{40, 8, 24, 60},
			Seed: 1}}
	knee, _, err := plan.Knee(t.Context(), setup, plan.Demand{})
	if err != nil {
		t.Fatal(err)
	}
	var errs []float64
	for _, share := range planLoads {
		setup.Traffic.RPS = share * knee
		setup.Traffic.Requests = int(min(max(60*setup.Traffic.RPS, 100), 4000))
		predicted, err := plan.Simulate(t.Context(), setup)
		if err != nil {
			t.Fatal(err)
		}
		measured := p.load(t, &setup)
		fmt.Fprintf(table, "| %s | %d | %.0f %% of the knee | %.3g |", model, on.replicas, 100*share,
			setup.Traffic.RPS)
		for _, figure := range []func(*outcomes) float64{
			func(o *outcomes) float64 { return 1e3 * slo.Objective{}.Of(o.latency) },
			func(o *outcomes) float64 { return 1e3 * slo.Objective{Percentile: 0.5}.Of(o.latency) },
			func(o *outcomes) float64 { return 1e3 * slo.Objective{Percentile: 0.99}.Of(o.latency) },
			func(o *outcomes) float64 { return 1e3 * slo.Objective{}.Of(o.ttft) },
			func(o *outcomes) float64 { return o.throughput },
		} {
			was := figure(measured)
			said := figure(&outcomes{predicted.Latency, predicted.TTFT, predicted.Throughput})
			off := said/was - 1
			errs = append(errs, math.Abs(off))
			fmt.Fprintf(table, " %.3g, predicted %.3g (%+.1f %%) |", was, said, 100*off)
		}
		table.WriteString("\n")
	}
	return errs
}

// outcomes is what a load was answered with: seconds, sorted, and requests a second.
type outcomes struct {
	latency, ttft []float64
	throughput    float64
}

// load sends the calls of a setup's traffic at their times.
func (p *profiler) load(t *testing.T, s *plan.Setup) *outcomes {
	calls, err := s.Traffic.Calls()
	if err != nil {
		t.Fatal(err)
	}
	o := &outcomes{}
	var mu sync.Mutex
	var refused int
	var last error
	var all sync.WaitGroup
	skip := int(s.Warmup * float64(len(calls)))
	from, to := calls[skip].Arrival, calls[len(calls)-1].Arrival
	start := time.Now()
	for _, c := range calls {
		due := start.Add(time.Duration(c.Arrival * float64(time.Second)))
		time.Sleep(time.Until(due))
		all.Go(func() {
			answer, err := p.ask(context.Background(), c.Prompt, c.Output)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				refused++
				last = err
				return
			}
			end := answer.at[len(answer.at)-1]
			if at := end.Sub(start).Seconds(); at >= from && at <= to {
				o.throughput += 1 / (to - from)
			}
			if c.N >= skip {
				o.latency = append(o.latency, end.Sub(due).Seconds())
				o.ttft = append(o.ttft, answer.at[0].Sub(due).Seconds())
			}
		})
	}
	all.Wait()
	if refused > 0 {
		t.Errorf("%d of %d requests were not answered, the last one: %v", refused, len(calls), last)
	}
	slices.Sort(o.latency)
	slices.Sort(o.ttft)
	return o
}

func writeBetween(t *testing.T, path, begin, end, text string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), begin)
	_, after, found := strings.Cut(rest, end)
	if !ok || !found {
		t.Fatalf("%s has no place for the table", path)
	}
	if err := os.WriteFile(path, []byte(before+begin+text+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

package recompute_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/faults"
)

// TestReportsAreRecomputed runs a short case against servers that are well, slow, in error, and dead, and derives each
// report's main figures and verdicts again from its record.
func TestReportsAreRecomputed(t *testing.T) {
	verdicts := map[string]int{}
	var counting sync.Mutex
	t.Run("runs", func(t *testing.T) {
		runs(t, func(what string) {
			counting.Lock()
			defer counting.Unlock()
			verdicts[what]++
		})
	})
	for _, want := range []string{"mean_latency PASS", "mean_latency FAIL", "error_budget PASS", "error_budget FAIL",
		"peak_memory PASS", "peak_memory FAIL", "peak_cpu PASS", "peak_cpu FAIL", "quality PASS", "quality FAIL",
		"throughput PASS", "percentile_latency PASS", "percentile_latency FAIL"} {
		if verdicts[want] == 0 {
			t.Errorf("no run gives %s: the test would not notice if it were wrong; there are %v", want, verdicts)
		}
	}
}

func runs(t *testing.T, found func(what string)) {
	for i, c := range []struct {
		fault faults.Fault
		set   []string
	}{
		{faults.Healthy, nil},
		{faults.Errors, []string{"limits.error_budget=0"}},
		{faults.Truncated, nil},
		{faults.TooSlow, []string{"targets.latency_ms=5"}},
		{faults.Healthy, []string{"targets.latency_ms=0.001", "targets.quality=1", "targets.throughput_rps=60"}},
		{faults.MemoryHog, []string{"targets.memory_gb=0.5", "targets.cpu_cores=0.0001"}},
		{faults.Garbled, nil},
	} {
		t.Run(fmt.Sprintf("%d %s", i, c.fault), func(t *testing.T) {
			t.Parallel()
			server := faults.New(faults.Config{Fault: c.fault, Seed: uint64(i + 1), Gap: time.Millisecond})
			defer server.Close()
			h := httptest.NewServer(server)
			defer h.Close()
			dir := t.TempDir()
			rep, err := certify.Run(t.Context(), certify.Options{Case: "testdata/case.yaml", Target: h.URL,
				Seed: int64(i + 1), ReportDir: dir, Set: c.set})
			if err != nil && !errors.Is(err, certify.ErrInterrupted) {
				t.Fatal(err)
			}
			paths := report.PathsFor(dir, rep)
			data, err := os.ReadFile(paths.JSON)
			if err != nil {
				t.Fatal(err)
			}
			var r object
			if err := json.Unmarshal(data, &r); err != nil {
				t.Fatal(err)
			}
			for rule, verdict := range recompute(t, r, readFile(t, paths.Events)) {
				found(rule + " " + verdict)
			}
		})
	}
}

// recompute holds a report against its record, and gives the verdicts of the rules that it derived itself.
func recompute(t *testing.T, r object, rec *record) map[string]string {
	t.Helper()
	byID := map[string]*figures{}
	reported := map[string]object{}
	for _, p := range r.list("phases") {
		reported[p.text("id")] = p
	}
	var all []float64
	for _, p := range rec.phases {
		id := p.text("id")
		f, got := rec.figures(p), reported[id]
		byID[id] = f
		if len(f.requests) == 0 {
			continue
		}
		for _, d := range []struct {
			key string
			x   []float64
		}{{"latency_ms", f.latency}, {"ttft_ms", f.ttft}, {"tpot_ms", f.tpot}, {"gap_ms", f.gap},
			{"issue_delay_ms", f.delay}} {
			sameDist(t, id+"."+d.key, got.at(d.key), d.x)
		}
		same(t, id+".completed", got["completed"], float64(len(f.requests)-f.failed))
		same(t, id+".failed", got["failed"], float64(f.failed))
		same(t, id+".output_tokens_per_s", got["output_tokens_per_s"], f.tokens/f.window)
		same(t, id+".in_flight", got["in_flight"], f.inFlight)
		same(t, id+".little_error", got["little_error"], f.little)
		if f.kind != "batch" {
			same(t, id+".rps", got["rps"], f.completions/f.window)
		}
		if f.kind == "closed" || f.kind == "open" {
			all = append(all, f.latency...)
		}
	}
	s := r.at("summary")
	same(t, "summary.avg_latency_ms", s["avg_latency_ms"], mean(all))
	open := byID["sustained"]
	same(t, "summary.avg_throughput_rps", s["avg_throughput_rps"], open.completions/open.window)
	same(t, "summary.avg_quality_score", s["avg_quality_score"], rec.quality("quality"))
	memory, cores := rec.peaks()
	same(t, "summary.peak_memory_gb", s["peak_memory_gb"], memory)
	same(t, "summary.peak_cpu_cores", s["peak_cpu_cores"], cores)
	return rec.verdicts(t, r, byID, memory, cores)
}

// quality is the mean over prompts of each prompt's mean.
func (r *record) quality(phase string) float64 {
	scores := map[string][]float64{}
	for _, q := range r.requests[phase] {
		score := 0.0
		if answered(q) {
			score = r.scores[key(q)]
		}
		scores[q.text("prompt")] = append(scores[q.text("prompt")], score)
	}
	total := 0.0
	for _, x := range scores {
		total += mean(x) / float64(len(scores))
	}
	return total
}

// peaks are the largest resident memory, in GiB, and the cores of the busiest second.
func (r *record) peaks() (memory, cores float64) {
	j := 0
	for i, s := range r.samples {
		memory = math.Max(memory, s.num("rss")/(1<<30))
		for j+1 < i && s.num("at")-r.samples[j+1].num("at") >= 1e9 {
			j++
		}
		span, used := s.num("at")-r.samples[j].num("at"), s.num("cpu_s")-r.samples[j].num("cpu_s")
		if span >= 1e9 && span <= 2e9 && used >= 0 {
			cores = math.Max(cores, used/((span+r.samples[j].num("took_ns"))/1e9))
		}
	}
	return memory, cores
}

// verdicts derives the verdict of each check whose rule is simple, and the status from all verdicts of the report. A
// check that the report calls INVALID for the sake of its load is left to the judge.
func (r *record) verdicts(t *testing.T, rep object, byID map[string]*figures, memory,
	cores float64) map[string]string {
	t.Helper()
	c := r.header.at("case")
	targets := c.at("targets")
	got := map[string]object{}
	status, gates := "PASS", 0
	for _, check := range rep.list("checks") {
		got[check.text("id")] = check
		switch v := check.text("verdict"); {
		case v == "FAIL":
			status = "FAIL"
		case v == "INVALID" && status == "PASS":
			status = "INVALID"
		}
		if check.text("verdict") != "INFO" {
			gates++
		}
	}
	if interrupted, _ := r.end["interrupted"].(bool); status == "PASS" && (!r.hasEnd || interrupted || gates == 0) {
		status = "INVALID"
	}
	if rep.text("status") != status {
		t.Errorf("status %s, the checks give %s", rep.text("status"), status)
	}
	out := map[string]string{}
	pass := func(yes bool) string {
		if yes {
			return "PASS"
		}
		return "FAIL"
	}
	for _, check := range c.list("checks") {
		is := got[check.text("id")]
		f := byID[check.text("phase")]
		want := ""
		switch rule := check.text("rule"); rule {
		case "mean_latency":
			target := targets.num("latency_ms")
			switch m, hi := mean(f.latency), interval(is)[1]; {
			case hi < target:
				want = "PASS"
			case m < target:
				want = "INVALID"
			default:
				want = "FAIL"
			}
			same(t, rule, is["measured"], mean(f.latency))
		case "percentile_latency":
			over := 0
			for i, x := range f.latency {
				if !(x <= targets.num("latency_ms")) || !answered(f.judged[i]) {
					over++
				}
			}
			want = proven(len(f.latency), over, check.num("p"))
		case "error_budget":
			failed, n := 0.0, 0.0
			for _, p := range r.phases {
				if p.text("kind") != "warmup" {
					failed += float64(byID[p.text("id")].failed)
					n += float64(len(byID[p.text("id")].requests))
				}
			}
			same(t, rule, is["measured"], failed/n)
			want = pass(failed/n <= c.at("limits").num("error_budget"))
		case "peak_memory":
			want = pass(memory <= targets.num("memory_gb"))
		case "peak_cpu":
			want = pass(cores <= targets.num("cpu_cores")+0.02)
		case "quality":
			want = pass(r.quality("quality") >= targets.num("quality")-1e-9)
		case "throughput":
			target, low := targets.num("throughput_rps"), poissonLow(f.completions)/f.window
			if measuredVerdict(is) == "PASS" { // proven, or it kept up: the backlog is left to the judge
				want = pass(low >= target || f.failed == 0 && interval(is)[1] >= target)
			}
			same(t, rule+", lower end", interval(is)[0], low)
		}
		if want == "" {
			continue
		}
		v := measuredVerdict(is)
		if v != want {
			t.Errorf("%s is %s (%s), its record gives %s", check.text("id"), v, is.text("reason"), want)
		}
		out[check.text("rule")] = v
	}
	return out
}

// measuredVerdict is a check's verdict, or what it would be if the load were trusted: whether others used the machine
// is left to the judge, and its reason says both.
func measuredVerdict(check object) string {
	if _, after, ok := strings.Cut(check.text("reason"), "what was measured would be "); ok {
		verdict, _, _ := strings.Cut(after, ":")
		return verdict
	}
	return check.text("verdict")
}

func interval(check object) [2]float64 {
	x, _ := check["interval"].([]any)
	if len(x) != 2 {
		return [2]float64{math.NaN(), math.NaN()}
	}
	lo, _ := x[0].(float64)
	hi, _ := x[1].(float64)
	return [2]float64{lo, hi}
}

// proven judges a percentile at 99 % confidence: over of n values are above the limit.
func proven(n, over int, p float64) string {
	if binomialBelow(n, over, 1-p) < 0.01 {
		return "PASS"
	}
	const z = 2.5758293035489004 // of a two-sided interval at 99 %
	share, m := float64(over)/float64(n), float64(n)
	low := (share + z*z/(2*m) - z*math.Sqrt(share*(1-share)/m+z*z/(4*m*m))) / (1 + z*z/m)
	if low > 1-p {
		return "FAIL"
	}
	return "INVALID"
}

// binomialBelow is P[Bin(n, q) ≤ k].
func binomialBelow(n, k int, q float64) float64 {
	sum, logs := 0.0, make([]float64, 0, k+1)
	for i := range k + 1 {
		a, _ := math.Lgamma(float64(n + 1))
		b, _ := math.Lgamma(float64(i + 1))
		c, _ := math.Lgamma(float64(n - i + 1))
		logs = append(logs, a-b-c+float64(i)*math.Log(q)+float64(n-i)*math.Log1p(-q))
	}
	slices.Sort(logs)
	for _, l := range logs {
		sum += math.Exp(l)
	}
	return sum
}

// poissonLow is the lower end of the exact 99 % interval of a Poisson count: the mean at which so many or more come
// with a probability of 0.5 %. It is found by bisection of the sum itself.
func poissonLow(k float64) float64 {
	if k == 0 {
		return 0
	}
	more := func(m float64) float64 { // P[Poisson(m) ≥ k]
		below := 0.0
		for i := 0.0; i < k; i++ {
			g, _ := math.Lgamma(i + 1)
			below += math.Exp(i*math.Log(m) - m - g)
		}
		return 1 - below
	}
	lo, hi := 0.0, k
	for range 200 {
		if mid := (lo + hi) / 2; more(mid) < 0.005 {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

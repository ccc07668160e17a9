package recompute_test

import (
	"math"
	"net/http/httptest"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/faults"
)

// TestComparisonsAreRecomputed runs two loops twice, the second time against the first run, and derives what changed
// between them again from the records.
func TestComparisonsAreRecomputed(t *testing.T) {
	t.Parallel()
	var earlier *certify.Earlier
	for i := range 2 {
		server := faults.New(faults.Config{Seed: uint64(i + 1), TTFT: time.Duration(5+20*i) * time.Millisecond,
			Gap: time.Millisecond})
		h := httptest.NewServer(server)
		dir := t.TempDir()
		rep, err := certify.Run(t.Context(), certify.Options{Case: "testdata/loops.yaml", Target: h.URL,
			Seed: int64(i + 1), ReportDir: dir, Against: earlier})
		h.Close()
		server.Close()
		if err != nil {
			t.Fatal(err)
		}
		paths := report.PathsFor(dir, rep)
		data, err := os.ReadFile(paths.JSON)
		if err != nil {
			t.Fatal(err)
		}
		if earlier != nil {
			readFile(t, paths.Events).compared(t, parsed(t, data))
		}
		earlier = &certify.Earlier{Name: "before", Report: data, Events: paths.Events}
	}
}

// compared derives what changed since the earlier run.
func (r *record) compared(t *testing.T, rep object) {
	t.Helper()
	before := map[string]object{}
	for _, p := range r.against.at("report").list("phases") {
		before[p.text("id")] = p
	}
	earlier := map[string]object{}
	for _, p := range r.against.list("phases") {
		earlier[p.text("id")] = p
	}
	changes := map[string]object{}
	for _, c := range rep.at("against").list("changes") {
		changes[c.text("what")] = c
	}
	found := 0
	for _, p := range rep.list("phases") {
		id := p.text("id")
		was := before[id]
		if was == nil || p.text("step") != "" || p.text("kind") != "open" && p.text("kind") != "closed" {
			continue
		}
		found++
		taken := map[string]bool{"worse": p.has("taken"), "better": was.has("taken")}
		for _, m := range []string{"latency", "ttft", "tpot"} {
			a, b := was.at(m+"_ms"), p.at(m+"_ms")
			band := func(d object) [2]float64 { return [2]float64{d.num("mean_low"), d.num("mean_high")} }
			how := apart(band(a), band(b), false)
			if m == "latency" {
				now := thinned(r.figures(r.phase(id)).latency)
				how = shifted(numbers(earlier[id]["latency_ms"]), now, a.num("mean"))
			}
			r.change(t, changes[id+" "+m], a.num("mean"), b.num("mean"), band(a), band(b), how, taken)
		}
		rates := func(d object) [2]float64 { return [2]float64{d.num("rps_low"), d.num("rps_high")} }
		r.change(t, changes[id+" rate"], was.num("rps"), p.num("rps"), rates(was), rates(p),
			apart(rates(was), rates(p), true), taken)
	}
	if found != 2 {
		t.Errorf("%d phases are compared, want 2", found)
	}
}

func (r *record) phase(id string) object {
	for _, p := range r.phases {
		if p.text("id") == id {
			return p
		}
	}
	return nil
}

// change holds one change of the report against its figures.
//
// taken says of which changes other work on the machine may be the reason: it ran in the later run of a server that
// got slower, or in the earlier run of one that got faster.
func (r *record) change(t *testing.T, got object, a, b float64, ia, ib [2]float64, how string,
	taken map[string]bool) {
	t.Helper()
	what := got.text("what")
	near := func(key string, x any, want float64) {
		v, ok := x.(float64)
		if !ok || math.Abs(v-want) > 1e-6*(math.Abs(a)+math.Abs(b)) { // of two figures with nine digits each
			t.Errorf("%s: %s is %v, the figures give %.9g", what, key, x, want)
		}
	}
	near("a", got["a"], a)
	near("b", got["b"], b)
	near("change", got["change"], b-a)
	ends, _ := got["change_interval"].([]any)
	if len(ends) != 2 {
		t.Fatalf("%s has no interval", what)
	}
	near("lower end", ends[0], b-a-math.Hypot(b-ib[0], ia[1]-a))
	near("upper end", ends[1], b-a+math.Hypot(ib[1]-b, a-ia[0]))
	if taken[how] {
		how = "differs"
	}
	if got.text("how") != how {
		t.Errorf("%s: %s, the figures give %s (%s)", what, got.text("how"), how, got.text("reason"))
	}
}

// apart compares two intervals.
func apart(a, b [2]float64, largerIsBetter bool) string {
	switch {
	case a[0] <= b[1] && b[0] <= a[1]:
		return "same"
	case (b[0] > a[1]) == largerIsBetter:
		return "better"
	}
	return "worse"
}

func numbers(list any) (out []float64) {
	l, _ := list.([]any)
	for _, x := range l {
		v, _ := x.(float64)
		out = append(out, v)
	}
	return out
}

// thinned rounds as the record of an earlier run does; the samples here are below a thousand.
func thinned(x []float64) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = math.Round(v*1000) / 1000
	}
	return out
}

// shifted compares two samples of latencies by their ranks.
func shifted(a, b []float64, earlierMean float64) string {
	u, ties := 0.0, map[float64]float64{}
	var differences []float64
	for _, x := range a {
		ties[x]++
		for _, y := range b {
			differences = append(differences, y-x)
			switch {
			case y > x:
				u++
			case y == x:
				u += 0.5
			}
		}
	}
	for _, y := range b {
		ties[y]++
	}
	n, m := float64(len(a)), float64(len(b))
	total, tied := n+m, 0.0
	for _, k := range ties {
		tied += k*k*k - k
	}
	sd := math.Sqrt(n * m / 12 * (total + 1 - tied/(total*(total-1))))
	z := math.Max(math.Abs(u-n*m/2)-0.5, 0) / sd
	p := math.Erfc(z / math.Sqrt2)
	if times := math.Max(correlationTime(a), correlationTime(b)); times > 1 && z > 0 {
		if free := total/times - 2; free < 1 {
			p = 1
		} else {
			p = math.Max(p, 2*(1-studentBelow(z/math.Sqrt(times), free)))
		}
	}
	slices.Sort(differences)
	k := len(differences)
	by := (differences[(k-1)/2] + differences[k/2]) / 2
	switch {
	case p >= 0.01 || math.Abs(by) <= 0.05*earlierMean:
		return "same"
	case by < 0:
		return "better"
	}
	return "worse"
}

package recompute_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/faults"
	"github.com/hxp-enterprise/mixtral/internal/certify/judge"
	"github.com/hxp-enterprise/mixtral/testcases"
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

func parsed(t *testing.T, data []byte) (r object) {
	t.Helper()
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestSweepsAreRecomputed makes up the steps of sweeps of a queue, most of them near its knee where a small mistake
// changes a verdict, and derives the verdict of each step and the knees again.
func TestSweepsAreRecomputed(t *testing.T) {
	t.Parallel()
	verdicts := map[string]int{}
	for seed := range uint64(3) {
		record := madeUp(t, seed)
		d, err := judge.DeriveReader(t.Context(), "made up", bytes.NewReader(record))
		if err != nil {
			t.Fatal(err)
		}
		data, err := report.JSON(d.Report)
		if err != nil {
			t.Fatal(err)
		}
		r, rec := parsed(t, data), readRecord(t, bytes.NewReader(record))
		if n := len(r.list("sweeps")); n != 2 {
			t.Fatalf("the report has %d sweeps", n)
		}
		for _, sweep := range r.list("sweeps") {
			rec.sweep(t, r, sweep, verdicts)
		}
	}
	for _, v := range []string{"held", "missed", "unclear"} {
		if verdicts[v] < 8 {
			t.Errorf("the steps are too much alike: %v", verdicts)
		}
	}
}

// madeUp is the record of a run whose two sweeps went over a queue of four places, 100 ms each on average.
func madeUp(t *testing.T, seed uint64) []byte {
	t.Helper()
	l, err := testcases.Load("testdata/sweep.yaml")
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(seed, 7))
	var b bytes.Buffer
	write := func(at float64, kind string, v any) {
		if err := json.NewEncoder(&b).Encode(map[string]any{"at": int64(at), kind: v}); err != nil {
			t.Fatal(err)
		}
	}
	write(0, "header", map[string]any{"schema_version": 1, "start": "2026-03-04T05:06:07Z", "case": l.Case,
		"profile": "quick", "seed": seed, "rules": 3, "environment": map[string]string{"cpu": "imagined"},
		"fingerprints": map[string]string{}, "target": map[string]string{"kind": "url", "url": "http://x", "model": "m",
			"resources": "none", "metrics": "none"}})
	write(1, "client", map[string]any{"streams": 1, "rps": 100})
	now := 1e9
	for k := range 24 {
		load := 34 * math.Exp(0.3*rng.NormFloat64())
		q := queue{rng: rng, load: load, length: 8 * float64(1+k%3), places: 4}
		now = q.step(write, "knee", k, now, float64(1+k%3), true)
	}
	for k := range 12 {
		q := queue{rng: rng, load: float64(1 + rng.IntN(9)), length: 5, places: 4}
		now = q.step(write, "flight", k, now, 1, false)
	}
	for i, id := range []string{"knee", "flight"} {
		write(now, "phase", map[string]any{"id": id, "kind": "sweep", "start": 1e9, "end": int64(now), "issued": 24 - 12*i})
	}
	write(now, "end", map[string]any{})
	return b.Bytes()
}

// queue is a server with places, and what is offered to it.
type queue struct {
	rng          *rand.Rand
	load, length float64 // a second, or in flight; s
	places       int
}

// step writes one step of a sweep, and gives the time at its end, in ns.
func (q *queue) step(write func(float64, string, any), of string, k int, start, times float64, rate bool) float64 {
	id := fmt.Sprintf("%s-%02d", of, k+1)
	free := make([]float64, q.places)
	var arrivals []float64
	slots := make([]float64, int(q.load)) // over concurrency: when each is free again
	for at := 0.0; ; {
		if rate {
			at += q.rng.ExpFloat64() / q.load
		} else {
			at = slices.Min(slots)
		}
		if at >= q.length {
			break
		}
		i := slices.Index(free, slices.Min(free))
		free[i] = math.Max(free[i], at) + 0.1*(0.5+0.5*q.rng.ExpFloat64())
		if !rate {
			slots[slices.Index(slots, at)] = free[i]
		}
		arrivals = append(arrivals, at, free[i])
	}
	limit, cut, last := q.length*1.1, "", q.length
	for n := 0; n < len(arrivals); n += 2 {
		at, done := arrivals[n], arrivals[n+1]
		r := map[string]any{"phase": id, "n": n / 2, "scheduled": int64(start + at*1e9), "issued": int64(start + at*1e9 + 1e5),
			"done": int64(start + done*1e9), "text_bytes": 9}
		switch {
		case done > limit:
			r["fail"], r["done"], cut, last = "canceled", int64(start+limit*1e9), "drain_s", limit
		case q.rng.Float64() < 0.004:
			r["fail"], r["status"] = "status", 500
		default:
			first := at + (done-at)*0.9
			r["first"], r["last"], r["chunks"], r["status"] = int64(start+first*1e9), int64(start+done*1e9-2e5), 2, 200
			r["finish"], r["has_usage"], r["output_tokens"], r["prompt_tokens"] = "stop", true, 2, 5
			last = math.Max(last, done)
		}
		write(start+done*1e9, "request", r)
	}
	kind := map[bool]string{true: "open", false: "closed"}[rate]
	write(start+last*1e9, "phase", map[string]any{"id": id, "kind": kind, "start": int64(start),
		"steady_from": int64(start + q.length*1e8), "steady_to": int64(start + q.length*1e9), "end": int64(start + last*1e9),
		"planned": len(arrivals) / 2, "issued": len(arrivals) / 2, "cut_short": cut,
		"step": map[string]any{"of": of, "load": q.load, "times": times}})
	return start + (last+1)*1e9
}

// step is one load, as it is derived here.
type step struct {
	load, times float64
	verdict     string
	likely      bool
}

// sweep derives a sweep of the report.
func (r *record) sweep(t *testing.T, rep, sweep object, verdicts map[string]int) {
	t.Helper()
	var spec object
	for _, p := range r.header.at("case").at("profiles").list(r.header.text("profile")) {
		if p.text("id") == sweep.text("phase") {
			spec = p.at("sweep")
		}
	}
	alpha := (1 - spec.num("confidence")) / spec.num("steps")
	within := spec.num("within")
	if within == 0 {
		within = 0.05 // the default
	}
	byID := map[string]object{}
	for _, p := range r.phases {
		byID[p.text("id")] = p
	}
	var steps []step
	for _, got := range sweep.list("steps") {
		p := byID[got.text("phase")]
		s := r.step(p, sweep.list("marks"), sweep.text("over") == "rate", alpha, within/2)
		why := got.text("why")
		doubt := strings.Contains(why, "; the load generator was") || strings.Contains(why, "other work")
		if s.verdict == "missed" && got.text("verdict") == "unclear" && doubt {
			s.verdict = "unclear" // whether others had the machine is left to the judge
		}
		if s.verdict != got.text("verdict") || s.likely != (got["likely"] == true) {
			t.Errorf("%s at %g: %s, likely %t; the report has %s, %v: %s", p.text("id"), s.load, s.verdict, s.likely,
				got.text("verdict"), got["likely"], why)
		}
		verdicts[s.verdict]++
		steps = append(steps, s)
	}
	whole := sweep.text("over") == "concurrency"
	k := kneeOf(steps, whole)
	for key, want := range map[string]float64{"knee": k.best, "low": k.low, "high": k.high} {
		if want == 0 && sweep[key] == nil {
			continue
		}
		same(t, sweep.text("phase")+"."+key, sweep[key], want)
	}
	located := !k.conflict && k.low > 0 && k.high > 0 && (k.high/k.low <= 1+within || whole && k.high-k.low <= 1)
	if located != (sweep["located"] == true) {
		t.Errorf("located %t, the report has %v", located, sweep["located"])
	}
	for _, check := range rep.list("checks") {
		if check.text("id") != sweep.text("phase") {
			continue
		}
		target, want := check.num("target"), "INVALID"
		switch {
		case k.conflict:
		case k.low > 0 && k.low >= target:
			want = "PASS"
		case k.high > 0 && k.high <= target:
			want = "FAIL"
		}
		if got := measuredVerdict(check); got != want {
			t.Errorf("check %s is %s, the steps give %s: %s", check.text("id"), got, want, check.text("reason"))
		}
	}
}

// step judges one phase of a sweep.
func (r *record) step(p object, marks []object, rate bool, alpha, within float64) step {
	f := r.figures(p)
	s := step{load: p.at("step").num("load"), times: p.at("step").num("times"), verdict: "held", likely: true}
	var lost []object
	if p.text("cut_short") == "drain_s" {
		for _, q := range r.broken[p.text("id")] {
			if at := q.num("scheduled"); at >= f.from && at <= f.to {
				lost = append(lost, q)
			}
		}
	}
	n, failed := float64(len(f.judged)+len(lost)), float64(len(lost))
	for _, q := range f.judged {
		if !answered(q) {
			failed++
		}
	}
	budget := r.header.at("case").at("limits").num("error_budget")
	type part struct {
		verdict string
		likely  bool
	}
	parts := []part{{"unclear", false}}
	if failed/n <= budget {
		parts[0] = part{"held", true}
	} else if wilsonLow(failed, n, normal(1-alpha)) > budget {
		parts[0] = part{"missed", false}
	}
	if rate {
		v, likely := r.backlog(p, f, alpha, within)
		parts = append(parts, part{v, likely})
	}
	small := failed == 0
	for _, m := range marks {
		bad, values := f.bad(m, marks)
		for range lost {
			bad, values = append(bad, true), append(values, (p.num("end")-f.to)/1e6)
		}
		v, likely := share(bad, values, allowed(m), alpha, float64(len(marks)))
		parts = append(parts, part{v, likely})
		small = small && likely
	}
	if n < 20 {
		s.verdict, s.likely = "unclear", small
		return s
	}
	for _, x := range parts {
		s.likely = s.likely && x.likely
		if x.verdict == "missed" || x.verdict == "unclear" && s.verdict == "held" {
			s.verdict = x.verdict
		}
	}
	return s
}

// allowed is the share that an objective lets be bad.
func allowed(m object) float64 {
	if m.text("metric") == "goodput" {
		return 1 - m.num("limit")
	}
	p, _ := strconv.ParseFloat(strings.TrimPrefix(m.text("statistic"), "p"), 64)
	return 1 - p/100
}

// value is a request's figure for an objective; ok is false where it has none.
func (f *figures) value(q object, metric string, limit float64) (v float64, ok bool) {
	begin, end := q.num("issued"), q.num("done")
	if f.kind == "open" {
		begin = q.num("scheduled")
	}
	if answered(q) && q.has("last") {
		end = q.num("last")
	}
	switch {
	case !answered(q):
		return math.Max((end-begin)/1e6, limit), true
	case metric == "ttft":
		return (q.num("first") - begin) / 1e6, q.num("first") > 0
	}
	return (end - begin) / 1e6, true
}

// bad marks the requests that miss an objective, with the figures that it is about.
func (f *figures) bad(m object, all []object) (bad []bool, values []float64) {
	for _, q := range f.judged {
		if m.text("metric") != "goodput" {
			if v, ok := f.value(q, m.text("metric"), m.num("limit")); ok {
				bad, values = append(bad, !answered(q) || v > m.num("limit")), append(values, v)
			}
			continue
		}
		missed := !answered(q)
		for _, o := range all {
			v, ok := f.value(q, o.text("metric"), o.num("limit"))
			switch o.text("metric") {
			case "latency":
				missed = missed || !(v < o.num("limit"))
			case "ttft":
				missed = missed || ok && v > o.num("limit")
			}
		}
		v, _ := f.value(q, "latency", 400) // as the report's latency: a failed one has the case's target
		bad, values = append(bad, missed), append(values, v)
	}
	return bad, values
}

// share judges an objective with a share that may be bad.
func share(bad []bool, values []float64, may, alpha, objectives float64) (verdict string, likely bool) {
	n, b := float64(len(bad)), 0.0
	marks := make([]float64, len(bad))
	for i, x := range bad {
		if x {
			marks[i] = 1
			b++
		}
	}
	times := 1.0
	if b > 0 {
		times = correlationTime(marks)
	}
	sorted := slices.Sorted(slices.Values(values))
	top := sorted[len(sorted)*9/10]
	for i, v := range values {
		marks[i] = 0
		if v > top {
			marks[i] = 1
		}
	}
	w := math.Max(n/math.Max(times, correlationTime(marks)), 1)
	k, h := w*b/n, 1.0
	if w < n/2 {
		h = 2
	}
	switch {
	case math.Ceil(k) < math.Floor(w) && binomialBelow(int(w), int(math.Ceil(k)), may) < alpha:
		return "held", true
	case wilsonLow(math.Floor(k/h), math.Floor(w/h), normal(1-alpha/objectives)) > may:
		return "missed", false
	}
	return "unclear", b/n < may
}

// backlog says whether what arrived was answered.
func (r *record) backlog(p object, f *figures, alpha, within float64) (verdict string, likely bool) {
	const parts = 60
	a, d := make([]float64, parts), make([]float64, parts)
	put := func(into []float64, at float64) {
		if k := int((at - f.from) / 1e9 / (f.window / parts)); at >= f.from && k < parts {
			into[k]++
		}
	}
	for _, q := range f.requests {
		put(a, q.num("scheduled"))
		put(d, q.num("done"))
	}
	if p.text("cut_short") == "drain_s" {
		for _, q := range r.broken[p.text("id")] {
			put(a, q.num("scheduled"))
		}
	}
	ma, md := mean(a), mean(d)
	beta, _, rest := line(a, d)
	if beta < 0 || beta > 1 {
		beta = math.Min(math.Max(beta, 0), 1)
		rest = 0
		for i := range a {
			e := d[i] - md - beta*(a[i]-ma)
			rest += e * e
		}
	}
	grows, doubt := ma-md, student(1-alpha, parts-2)*math.Sqrt(rest/(parts-2)/parts)
	may := within * ma
	height, change, level := make([]float64, parts), make([]float64, parts), 0.0
	for i := range a {
		height[i], change[i] = level, a[i]-d[i]
		level += change[i]
	}
	gamma, xx, left := line(height, change)
	back := xx == 0 || gamma/math.Sqrt(left/(parts-2)/xx) < -4.6-0.45*math.Max(math.Log2(0.01/alpha), 0)
	switch {
	case grows-doubt > may/2:
		return "missed", false
	case grows+doubt < may || back:
		return "held", true
	}
	return "unclear", grows < may*3/4
}

// line fits y by x: its slope, Σ(x−x̄)², and the squares that it leaves.
func line(x, y []float64) (slope, xx, rest float64) {
	mx, my, xy := mean(x), mean(y), 0.0
	for i := range x {
		xx += (x[i] - mx) * (x[i] - mx)
		xy += (x[i] - mx) * (y[i] - my)
	}
	if xx > 0 {
		slope = xy / xx
	}
	for i := range x {
		e := y[i] - my - slope*(x[i]-mx)
		rest += e * e
	}
	return slope, xx, rest
}

type knee struct {
	best, low, high float64
	conflict        bool
}

// kneeOf finds the border between the steps.
func kneeOf(steps []step, whole bool) (k knee) {
	for _, s := range steps {
		if s.verdict == "missed" && (k.high == 0 || s.load < k.high) {
			k.high = s.load
		}
	}
	var loads []float64
	for _, s := range steps {
		if s.verdict == "held" && k.high > 0 && s.load >= k.high {
			k.conflict = true
		} else if s.verdict == "held" {
			k.low = math.Max(k.low, s.load)
		}
		if !slices.ContainsFunc(loads, func(x float64) bool { return math.Abs(x-s.load) < 1e-9*x }) {
			loads = append(loads, s.load)
		}
	}
	slices.Sort(loads)
	best, at := math.Inf(1), 0
	for i := range len(loads) + 1 { // the border lies below loads[i]
		against := 0.0
		for _, s := range steps {
			weight := s.times
			if s.verdict != "unclear" {
				weight *= 4
			}
			above := i < len(loads) && s.load > loads[i]*(1-1e-9)
			if above == s.likely {
				against += weight
			}
		}
		if against < best {
			best, at = against, i
		}
	}
	switch {
	case at == 0: // below the range
	case at == len(loads):
		k.best = loads[at-1]
	case whole:
		k.best = loads[at-1]
	default:
		k.best = math.Sqrt(loads[at-1] * loads[at])
	}
	if k.best > 0 && !k.conflict {
		if k.high > 0 {
			k.best = math.Min(k.best, k.high)
		}
		k.best = math.Max(k.best, k.low)
	}
	if at == 0 || at == len(loads) {
		k.best = 0 // the report names no place then
	}
	return k
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
		taken := p.has("taken") || was.has("taken")
		for _, m := range []string{"latency", "ttft", "tpot"} {
			a, b := was.at(m+"_ms"), p.at(m+"_ms")
			band := func(d object) [2]float64 { return [2]float64{d.num("mean_low"), d.num("mean_high")} }
			how := apart(band(a), band(b), false)
			if m == "latency" {
				how = shifted(numbers(earlier[id]["latency_ms"]), thinned(r.figures(r.phase(id)).latency), a.num("mean"))
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
func (r *record) change(t *testing.T, got object, a, b float64, ia, ib [2]float64, how string, taken bool) {
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
	if taken && how != "same" {
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

// correlationTime is how many values of a series are worth one.
func correlationTime(x []float64) float64 {
	n := len(x)
	if n < 16 {
		return 1
	}
	rank := make([]float64, n)
	for i, v := range x {
		below, equal := 0.0, 0.0
		for _, w := range x {
			if w < v {
				below++
			} else if w == v {
				equal++
			}
		}
		rank[i] = below + (equal-1)/2
	}
	place := make([]float64, n)
	for i := range place {
		place[i] = float64(i)
	}
	slope, _, _ := line(place, rank)
	m, c0 := mean(rank), 0.0
	for i := range rank {
		rank[i] -= m + slope*(float64(i)-float64(n-1)/2)
		c0 += rank[i] * rank[i]
	}
	if c0 <= 1e-9*float64(n) {
		return 1
	}
	times := 1.0
	for k := 1; k <= n/4; k++ {
		c := 0.0
		for i := k; i < n; i++ {
			c += rank[i] * rank[i-k]
		}
		times += 2 * c / c0
		if float64(k) >= 5*times {
			break
		}
	}
	return math.Max(times, 1)
}

func wilsonLow(k, n, z float64) float64 {
	if n <= 0 || k == 0 {
		return 0
	}
	p := k / n
	return (p + z*z/(2*n) - z*math.Sqrt(p*(1-p)/n+z*z/(4*n*n))) / (1 + z*z/n)
}

// normal is the quantile of the normal distribution, by bisection.
func normal(p float64) float64 {
	return bisect(p, func(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 })
}

// student is the quantile of Student's t.
func student(p, free float64) float64 {
	return bisect(p, func(x float64) float64 { return studentBelow(x, free) })
}

func bisect(p float64, below func(float64) float64) float64 {
	lo, hi := -100.0, 100.0
	for range 100 {
		if mid := (lo + hi) / 2; below(mid) < p {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

// studentBelow is the distribution function of Student's t, by Simpson's rule over its density.
func studentBelow(x, free float64) float64 {
	a, _ := math.Lgamma((free + 1) / 2)
	b, _ := math.Lgamma(free / 2)
	density := func(v float64) float64 {
		return math.Exp(a - b - math.Log(free*math.Pi)/2 - (free+1)/2*math.Log1p(v*v/free))
	}
	const parts = 2000
	h, sum := x/parts, density(0)+density(x)
	for i := 1; i < parts; i++ {
		sum += density(float64(i)*h) * float64(2+2*(i%2))
	}
	return 0.5 + sum*h/3
}

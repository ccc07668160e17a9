package recompute_test

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
)

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
		r, rec := judged(t, madeUp(t, seed))
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

package recompute_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestAcceleratorsAreRecomputed makes up readings of cards, with and without counters of energy, with gaps, errors and
// cards that come late, and derives again what the report says of them.
func TestAcceleratorsAreRecomputed(t *testing.T) {
	t.Parallel()
	found := map[string]int{}
	for seed := range uint64(60) {
		r, rec := judged(t, cards(t, seed))
		rec.accelerators(t, fmt.Sprint("seed ", seed), r, found)
	}
	for _, want := range []string{"counters of energy", "readings of power", "nothing", "gpu_memory PASS",
		"gpu_memory FAIL", "gpu_memory INVALID", "gpu_power PASS", "gpu_power FAIL", "gpu_power INVALID",
		"tokens_per_joule PASS", "tokens_per_joule FAIL", "tokens_per_joule INVALID"} {
		if found[want] < 2 {
			t.Errorf("the readings are too much alike: %q is not among %v", want, found)
		}
	}
}

// cards is the record of a run of two phases beside which cards were read.
func cards(t *testing.T, seed uint64) []byte {
	t.Helper()
	made := begin(t, "testdata/gpu.yaml", seed, map[string]string{"gpus": "http://x:9400/metrics"})
	rng, write := rand.New(rand.NewPCG(seed, 11)), made.write
	now := 1e9
	for _, id := range []string{"single", "open"} {
		n := 60 + rng.IntN(60)
		for i := range n {
			at := now + float64(i)*2e8
			done := int64(at + 3e8)
			write(at+3e8, "request", map[string]any{"phase": id, "n": i, "scheduled": int64(at),
				"issued": int64(at + 1e5), "first": int64(at + 1e8), "last": done, "done": done, "chunks": 2,
				"status": 200, "finish": "stop", "has_usage": true, "output_tokens": 1 + rng.IntN(60),
				"prompt_tokens": 5})
		}
		end := now + float64(n)*2e8 + 3e8
		write(end, "phase", map[string]any{"id": id, "kind": map[string]string{"single": "closed", "open": "open"}[id],
			"start": int64(now), "steady_from": int64(now + 1e9), "steady_to": int64(now + float64(n)*2e8),
			"end": int64(end), "planned": n, "issued": n})
		now = end + 1e9
	}
	readings(rng, now, write)
	write(now, "end", map[string]any{})
	return made.b.Bytes()
}

// readings writes what is read of the cards of one machine.
func readings(rng *rand.Rand, until float64, write func(at float64, kind string, v any)) {
	n, every := 1+rng.IntN(4), []float64{2e8, 1e9, 9e9}[rng.IntN(3)]
	counters, powers, load := rng.IntN(3) > 0, rng.IntN(4) > 0, 0.5+rng.Float64()
	stuck := rng.IntN(5) == 0 // a counter that does not move
	told := rng.IntN(9) > 0   // how much memory is used
	late := 0.0
	if rng.IntN(4) == 0 {
		late = until / 2
	}
	sums := make([]float64, n)
	for at := every * rng.Float64(); at < until; at += every * (0.5 + rng.Float64()) {
		if rng.IntN(15) == 0 {
			write(at, "gpu", map[string]any{"took_ns": 9, "err": "no answer"})
			continue
		}
		var list []map[string]any
		for i := range n {
			watts := 200 * load * (1 + rng.Float64())
			if sums[i] += watts * every / 1e9; i == 0 && stuck {
				sums[i] = 7
			}
			c := map[string]any{"id": fmt.Sprint("GPU-", i), "model": "H200"}
			if i == 0 && at < late {
				continue
			}
			if told && rng.IntN(9) > 0 {
				c["memory_bytes"], c["memory_total_bytes"] = rng.Float64()*60*load*(1<<30), 80.0*(1<<30)
			}
			if rng.IntN(9) > 0 {
				c["busy"] = rng.Float64()
			}
			if powers {
				c["watts"] = watts
			}
			if counters {
				c["joules"] = sums[i]
			}
			list = append(list, c)
		}
		write(at, "gpu", map[string]any{"took_ns": 9, "cards": list})
	}
}

// reading is a card at a moment.
type reading struct {
	at   float64
	card object
}

// accelerators holds what a report says of cards against the record.
func (r *record) accelerators(t *testing.T, what string, rep object, found map[string]int) {
	t.Helper()
	byCard := map[string][]reading{}
	var all []reading
	var memory, watts float64
	errors := 0.0
	for _, g := range r.gpus {
		if g.card.text("err") != "" {
			errors++
			continue
		}
		var m, w float64
		for _, c := range g.card.list("cards") {
			x := reading{g.at, c}
			byCard[c.text("id")], all = append(byCard[c.text("id")], x), append(all, x)
			m, w = m+c.num("memory_bytes")/(1<<30), w+c.num("watts")
		}
		memory, watts = math.Max(memory, m), math.Max(watts, w)
	}
	got := rep.at("resources").at("gpu")
	same(t, what+" readings", got["readings"], float64(len(r.gpus))-errors)
	same(t, what+" errors", number(got, "errors"), errors)
	same(t, what+" peak_gb", number(got, "peak_gb"), memory)
	same(t, what+" peak_w", number(got, "peak_w"), watts)
	if len(got.list("cards")) != len(byCard) {
		t.Errorf("%s: %d cards, want %d", what, len(got.list("cards")), len(byCard))
	}
	for _, c := range got.list("cards") {
		x := byCard[c.text("id")]
		same(t, what+" card's peak_gb", number(c, "peak_gb"), largest(x, "memory_bytes")/(1<<30))
		same(t, what+" card's peak_w", number(c, "peak_w"), largest(x, "watts"))
		same(t, what+" card's mean_w", number(c, "mean_w"), meanOf(x, "watts"))
		same(t, what+" card's mean_busy", number(c, "mean_busy"), meanOf(x, "busy"))
	}
	figures := map[string]object{}
	for _, p := range r.phases {
		f, is := r.figures(p), reportedPhase(rep, p.text("id")).at("gpu")
		joules, from := energy(byCard, f.from, f.to)
		if from == "" {
			if from = "nothing"; is != nil {
				t.Errorf("%s, %s: %v out of nothing", what, p.text("id"), is)
			}
		} else {
			within := slices.DeleteFunc(slices.Clone(all), func(x reading) bool {
				return x.at < f.from || x.at > f.to
			})
			want := object{"joules": joules, "mean_w": joules / f.window, "mean_busy": meanOf(within, "busy"),
				"tokens_per_joule": f.tokens / joules}
			for key, v := range want {
				same(t, what+" "+p.text("id")+"."+key, number(is, key), v.(float64))
			}
			if is.text("joules_from") != from {
				t.Errorf("%s, %s: by %q, want %q", what, p.text("id"), is.text("joules_from"), from)
			}
			figures[p.text("id")] = want
		}
		found[from]++
	}
	for _, check := range rep.list("checks") {
		spec := map[string]object{}
		for _, c := range r.header.at("case").list("checks") {
			spec[c.text("id")] = c
		}
		c := spec[check.text("id")]
		figure, most := memory, true
		switch c.text("rule") {
		case "gpu_power":
			figure = figures[c.text("phase")].num("mean_w")
		case "tokens_per_joule":
			figure, most = figures[c.text("phase")].num("tokens_per_joule"), false
		}
		want := "PASS"
		switch {
		case figure == 0: // nothing was read of it
			want = "INVALID"
		case most && figure > c.num("limit"), !most && figure < c.num("limit"):
			want = "FAIL"
		}
		if measuredVerdict(check) != want {
			t.Errorf("%s: %s is %s (%s), its record gives %s", what, check.text("id"), check.text("verdict"),
				check.text("reason"), want)
		}
		found[c.text("rule")+" "+want]++
	}
}

// energy is what all cards took in a window, and where that is from; empty: nothing says so.
func energy(byCard map[string][]reading, from, to float64) (joules float64, how string) {
	counters, powers, risen := 0, 0, true
	rise, used, enough := 0.0, 0.0, true
	for _, x := range byCard {
		if count := having(x, "joules"); len(count) > 0 {
			a, okA := onLine(count, from)
			b, okB := onLine(count, to)
			counters, rise, risen = counters+1, rise+b-a, risen && okA && okB && b > a
		}
		power := having(x, "watts")
		if len(power) == 0 {
			continue
		}
		powers++
		inside := 0
		for i, p := range power {
			until := to
			if i+1 < len(power) {
				until = math.Min(to, power[i+1].at)
			}
			used += p.card.num("watts") * math.Max(0, until-math.Max(p.at, from)) / 1e9
			if p.at >= from && p.at <= to {
				inside++
			}
		}
		enough = enough && inside >= 3 && power[0].at <= from+(to-from)/10
	}
	switch {
	case counters > 0 && counters >= powers && risen:
		return rise, "counters of energy"
	case powers > 0 && enough:
		return used, "readings of power"
	}
	return 0, ""
}

// onLine is a counter at a moment between two of its readings.
func onLine(x []reading, at float64) (float64, bool) {
	for i := range x {
		if x[i].at == at {
			return x[i].card.num("joules"), true
		}
		if i > 0 && x[i-1].at < at && at < x[i].at {
			a, b := x[i-1].card.num("joules"), x[i].card.num("joules")
			return a + (b-a)*(at-x[i-1].at)/(x[i].at-x[i-1].at), true
		}
	}
	return 0, false
}

func having(x []reading, key string) (out []reading) {
	for _, r := range x {
		if r.card.has(key) {
			out = append(out, r)
		}
	}
	return out
}

func largest(x []reading, key string) (m float64) {
	for _, r := range x {
		m = math.Max(m, r.card.num(key))
	}
	return m
}

func meanOf(x []reading, key string) float64 {
	x = having(x, key)
	sum := 0.0
	for _, r := range x {
		sum += r.card.num(key)
	}
	return sum / math.Max(float64(len(x)), 1)
}

// number is a figure of a report, which leaves zeros out.
func number(o object, key string) any {
	if o[key] == nil {
		return 0.0
	}
	return o[key]
}

func reportedPhase(rep object, id string) object {
	for _, p := range rep.list("phases") {
		if p.text("id") == id {
			return p
		}
	}
	return nil
}

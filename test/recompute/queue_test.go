package recompute_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// madeUp is the record of a run whose two sweeps went over a queue of four places, 100 ms each on average.
func madeUp(t *testing.T, seed uint64) []byte {
	t.Helper()
	made := begin(t, "testdata/sweep.yaml", seed, nil)
	rng, write := rand.New(rand.NewPCG(seed, 7)), made.write
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
		write(now, "phase", map[string]any{"id": id, "kind": "sweep", "start": 1e9, "end": int64(now),
			"issued": 24 - 12*i})
	}
	write(now, "end", map[string]any{})
	return made.b.Bytes()
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
		r := map[string]any{"phase": id, "n": n / 2, "scheduled": int64(start + at*1e9),
			"issued": int64(start + at*1e9 + 1e5),
			"done":   int64(start + done*1e9), "text_bytes": 9}
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
		"steady_from": int64(start + q.length*1e8), "steady_to": int64(start + q.length*1e9),
		"end":     int64(start + last*1e9),
		"planned": len(arrivals) / 2, "issued": len(arrivals) / 2, "cut_short": cut,
		"step": map[string]any{"of": of, "load": q.load, "times": times}})
	return start + (last+1)*1e9
}

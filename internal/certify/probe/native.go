package probe

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"strconv"
)

// nativeHistogram is a native histogram as the query API of a Prometheus server returns it. A server that stores
// native histograms has no classic buckets of the same metric, unless it is configured to keep both.
type nativeHistogram struct {
	Count string `json:"count"`
	Sum   string `json:"sum"`
	// boundary rule, lower bound, upper bound, count; the numbers are strings
	Buckets [][4]json.RawMessage `json:"buckets"`
}

// classicFrom and classicTo are the exponents of the powers of two that bound the buckets converted from a native
// histogram: 61 µs to 17 min, in seconds.
const (
	classicFrom = -14
	classicTo   = 10
)

// classic returns the series of an equivalent classic histogram. Native buckets exist only while they hold something,
// but scrapes can only be subtracted if they have the same bounds. Powers of two are bounds in every resolution of
// native histograms up to a factor of 2. For a coarser one the result has only count and sum.
func (h *nativeHistogram) classic(name string, labels map[string]string) ([]series, error) {
	count, errC := strconv.ParseFloat(h.Count, 64)
	sum, errS := strconv.ParseFloat(h.Sum, 64)
	if errC != nil || errS != nil {
		return nil, fmt.Errorf("a histogram of %s: count and sum must be numbers, are %q and %q", name, h.Count, h.Sum)
	}
	out := []series{{name + "_count", labels, count}, {name + "_sum", labels, sum}}
	add := func(le string, v float64) {
		with := maps.Clone(labels)
		with["le"] = le
		out = append(out, series{name + "_bucket", with, v})
	}
	type bucket struct{ lower, upper, count float64 }
	buckets := make([]bucket, len(h.Buckets))
	for i, raw := range h.Buckets {
		var v [3]float64
		for j := range v {
			var text string
			if err := json.Unmarshal(raw[j+1], &text); err != nil {
				return nil, fmt.Errorf("a bucket of %s: %w", name, err)
			}
			var err error
			if v[j], err = strconv.ParseFloat(text, 64); err != nil {
				return nil, fmt.Errorf("a bucket of %s: %w", name, err)
			}
		}
		buckets[i] = bucket{v[0], v[1], v[2]}
	}
	const slack = 1e-9 // bounds are printed with 17 digits, and may be rounded
	for e := classicFrom; e <= classicTo; e++ {
		bound, below := math.Exp2(float64(e)), 0.0
		for _, b := range buckets {
			switch {
			case b.upper <= bound*(1+slack):
				below += b.count
			case b.lower < bound*(1-slack):
				return out[:2], nil // the bound lies within a bucket
			}
		}
		add(strconv.FormatFloat(bound, 'g', -1, 64), below)
	}
	add("+Inf", count)
	return out, nil
}

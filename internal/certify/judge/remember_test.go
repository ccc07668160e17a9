package judge

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"os"
	"sync"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/stats"
)

// TestMain gives bootstrapMean a cache. It depends on its arguments only, and without the cache takes nine tenths of
// these tests' time.
func TestMain(m *testing.M) {
	bootstrapMean, biasedMean = remember(stats.SeriesInterval), remember(stats.MeanInterval)
	os.Exit(m.Run())
}

type interval func(x []float64, conf float64, seed uint64) (mean, lo, hi float64)

func remember(of interval) interval {
	var known sync.Map // from the arguments' SHA-256 to [3]float64
	return func(x []float64, conf float64, seed uint64) (mean, lo, hi float64) {
		b := make([]byte, 0, 8*(len(x)+2))
		b = binary.LittleEndian.AppendUint64(b, seed)
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(conf))
		for _, v := range x {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		}
		key := sha256.Sum256(b)
		if v, ok := known.Load(key); ok {
			a := v.([3]float64)
			return a[0], a[1], a[2]
		}
		mean, lo, hi = of(x, conf, seed)
		known.Store(key, [3]float64{mean, lo, hi})
		return mean, lo, hi
	}
}

// ofMemoryAlone skips the intervals of means in a test to save time: whether memory leaks does not depend on them.
func ofMemoryAlone(t *testing.T) {
	series, mean := bootstrapMean, biasedMean
	t.Cleanup(func() { bootstrapMean, biasedMean = series, mean })
	bootstrapMean = func(x []float64, _ float64, _ uint64) (float64, float64, float64) {
		m := 0.0
		for _, v := range x {
			m += v / float64(len(x))
		}
		return m, m, m
	}
	biasedMean = bootstrapMean
}

// TestRemember: the cache returns the same values as the function, for arguments that differ in any respect.
func TestRemember(t *testing.T) {
	f := remember(stats.MeanInterval)
	for range 2 {
		for _, x := range [][]float64{nil, {1}, {1, 2, 4}, {1, 2, 5}, {2, 1, 4}, {0, 1}, {math.Copysign(0, -1), 1}} {
			for _, conf := range []float64{0.9, 0.95} {
				for seed := range uint64(3) {
					a, b, c := f(x, conf, seed)
					p, q, r := stats.MeanInterval(x, conf, seed)
					for i, got := range []float64{a, b, c} {
						if want := []float64{p, q, r}[i]; math.Float64bits(got) != math.Float64bits(want) {
							t.Errorf("%v, %v, %d: %v, %v, %v; want %v, %v, %v", x, conf, seed, a, b, c, p, q, r)
						}
					}
				}
			}
		}
	}
}

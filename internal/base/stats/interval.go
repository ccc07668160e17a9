package stats

import (
	"iter"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/mathext"
	"gonum.org/v1/gonum/stat/distuv"
)

// resamples is the number of resamples of the bootstrap. Of 4,000, 20 are below the 0.5 % quantile: its own error is
// about a tenth of the half-width, at a cost of milliseconds.
const resamples = 4000

// MeanInterval returns the mean of a series in its order of time, with an interval at confidence conf from a
// moving-block bootstrap: latencies under queueing are autocorrelated, and blocks preserve that. The end of the series
// is joined to its start, so that every sample is drawn equally often; the length of blocks follows Politis and White
// (2004). Few blocks make bootstrap intervals too narrow, so the interval is widened about the mean by Student's t
// over the normal quantile, as Hesterberg (2015) advises. The same series and seed give the same interval. An empty
// series gives NaN for all three; one sample gives an interval without bounds (±Inf).
func MeanInterval(x []float64, conf float64, seed uint64) (mean, lo, hi float64) {
	return blockInterval(x, conf, seed, false)
}

// SeriesInterval is MeanInterval without the bias of blocks: a block loses the correlation beyond its length, so the
// resamples of a correlated series vary too little. If the long-run variance, estimated with a flat-top window
// (Politis and Romano 1995), is larger, the interval is widened accordingly, to at most twice its width.
func SeriesInterval(x []float64, conf float64, seed uint64) (mean, lo, hi float64) {
	return blockInterval(x, conf, seed, true)
}

func blockInterval(x []float64, conf float64, seed uint64, unbiased bool) (mean, lo, hi float64) {
	n := len(x)
	if n == 0 || !(conf > 0 && conf < 1) {
		return math.NaN(), math.NaN(), math.NaN()
	}
	mean = meanOf(x)
	if n == 1 {
		return mean, math.Inf(-1), math.Inf(1)
	}
	b, longRun := blockLength(x)
	means := blockMeans(x, mean, b, rand.NewPCG(seed, 0x6d65616e)) // offsets from the mean
	slices.Sort(means)
	blocks := max(float64(n)/float64(b), 2)
	tail := (1 - conf) / 2
	z := distuv.UnitNormal.Quantile(1 - tail)
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: blocks - 1}.Quantile(1 - tail)
	stretch := math.Sqrt(blocks/(blocks-1)) * t / z
	if unbiased {
		square := 0.0
		for _, m := range means {
			square += m * m / float64(len(means))
		}
		if square > 0 {
			stretch *= math.Min(math.Max(math.Sqrt(longRun/float64(n)/square), 1), 2)
		}
	}
	lo = mean + math.Min(Percentile(means, tail), 0)*stretch
	hi = mean + math.Max(Percentile(means, 1-tail), 0)*stretch
	return mean, lo, hi
}

// blockMeans draws resamples of x in blocks of b, and returns the mean of each minus the mean of x.
func blockMeans(x []float64, mean float64, b int, source *rand.PCG) []float64 {
	n := len(x)
	sums := make([]float64, 2*n+1) // prefix sums over the series twice: any block is one difference
	for i := range 2 * n {
		sums[i+1] = sums[i] + (x[i%n] - mean)
	}
	blocks, rest := n/b, n%b
	whole, last := make([]float64, n), make([]float64, n) // what a block that begins at i adds
	for i := range n {
		whole[i], last[i] = sums[i+b]-sums[i], sums[i+rest]-sums[i]
	}
	out := make([]float64, resamples)
	for r := range out {
		var s float64
		for range blocks {
			s += whole[intN(source, n)]
		}
		if rest > 0 {
			s += last[intN(source, n)]
		}
		out[r] = s / float64(n)
	}
	return out
}

// intN draws like rand.New(source).IntN(n), without calls through an interface: most of a judge's time is spent on
// these draws.
func intN(source *rand.PCG, n int) int {
	bound := uint64(n)
	if bound&(bound-1) == 0 {
		return int(source.Uint64() & (bound - 1))
	}
	high, low := bits.Mul64(source.Uint64(), bound)
	if low < bound { // Lemire (2019): the few products that would favour some numbers
		for least := -bound % bound; low < least; {
			high, low = bits.Mul64(source.Uint64(), bound)
		}
	}
	return int(high)
}

// blockLength chooses the bootstrap's block length for the mean of x by the rule of Politis and White (2004, corrected
// 2009) for circular blocks. longRun is the long-run variance of the series: that of its mean, times its length.
func blockLength(x []float64) (length int, longRun float64) {
	n := len(x)
	fn := float64(n)
	// Up to m lags matter: the search ends at the first run of kn autocorrelations inside the noise band.
	kn := max(5, int(math.Ceil(math.Sqrt(math.Log10(fn)))))
	most := min(int(math.Ceil(math.Sqrt(fn)))+kn, n-1, 500) // 500 lags bound the cost for long series
	rho, r0 := autocorrelations(x, most)
	if r0 == 0 {
		return 1, 0
	}
	band := 2 * math.Sqrt(math.Log10(fn)/fn)
	m, quiet := 0, 0
	for k := 1; k <= most && quiet < kn; k++ {
		if math.Abs(rho[k]) < band {
			quiet++
		} else {
			m, quiet = k, 0
		}
	}
	if m == 0 {
		return 1, r0 // no correlation to preserve
	}
	window := min(2*m, most)
	g, spectrum := 0.0, 1.0
	for k := 1; k <= window; k++ {
		flat := math.Min(1, 2*(1-float64(k)/float64(window))) // the flat-top lag window
		g += 2 * flat * float64(k) * rho[k]
		spectrum += 2 * flat * rho[k]
	}
	b := 1.0
	if spectrum > 0 {
		b = math.Cbrt(2 * g * g / (4.0 / 3 * spectrum * spectrum) * fn)
	}
	longest := math.Min(3*math.Sqrt(fn), fn/3)
	return max(1, int(math.Ceil(math.Min(b, longest)))), math.Max(spectrum, 0) * r0
}

// autocorrelations returns ρ₀ to ρ_most of x, and its variance.
func autocorrelations(x []float64, most int) (rho []float64, variance float64) {
	mean := meanOf(x)
	d := make([]float64, len(x))
	var c0, scale float64
	for i, v := range x {
		d[i] = v - mean
		c0 += d[i] * d[i]
		scale = math.Max(scale, math.Abs(v))
	}
	rho = make([]float64, most+1)
	rho[0] = 1
	if c0 <= float64(len(x))*scale*scale*1e-28 { // a constant series: the rest is rounding
		return rho, 0
	}
	for k := 1; k <= most; k++ {
		var c float64
		for i := k; i < len(d); i++ {
			c += d[i] * d[i-k]
		}
		rho[k] = c / c0
	}
	return rho, c0 / float64(len(x))
}

// EffectiveN is the number of independent samples that a series in its order of time is worth: n(1−ρ₁)/(1+ρ₁), between
// 1 and n.
func EffectiveN(x []float64) float64 { return EffectiveSeq(len(x), slices.Values(x)) }

// EffectiveSeq is EffectiveN for a series that need not be in memory: it iterates over its n values twice.
func EffectiveSeq(count int, x iter.Seq[float64]) float64 {
	n := float64(count)
	if n < 3 {
		return n
	}
	var first, sum, c0, c1, last, scale float64
	i := 0
	for v := range x {
		if i++; i == 1 {
			first = v
		}
		sum += v - first // relative to the first value, for precision
	}
	mean := first + sum/n
	for v := range x {
		d := v - mean
		c0 += d * d
		c1 += d * last // for the first value last is 0
		scale = math.Max(scale, math.Abs(v))
		last = d
	}
	if c0 <= n*scale*scale*1e-28 { // a constant series: the rest is rounding
		return n
	}
	rho := c1 / c0
	return math.Min(math.Max(n*(1-rho)/(1+rho), 1), n)
}

// RateInterval returns count/seconds, in 1/s, with its exact interval for a Poisson count (Garwood 1936). It returns
// NaN if seconds is not positive, count is negative or conf is not inside (0, 1).
func RateInterval(count int, seconds, conf float64) (rate, lo, hi float64) {
	if count < 0 || !(seconds > 0) || !(conf > 0 && conf < 1) {
		return math.NaN(), math.NaN(), math.NaN()
	}
	k, tail := float64(count), (1-conf)/2
	if count > 0 {
		lo = mathext.GammaIncRegInv(k, tail) / seconds
	}
	hi = mathext.GammaIncRegCompInv(k+1, tail) / seconds
	return k / seconds, lo, hi
}

// Wilson returns the score interval of a share k/n; without trials it is 0 to 1.
func Wilson(k, n int, conf float64) (lo, hi float64) {
	if n <= 0 || k < 0 || k > n || !(conf > 0 && conf < 1) {
		return 0, 1
	}
	z := distuv.UnitNormal.Quantile(1 - (1-conf)/2)
	fn := float64(n)
	p := float64(k) / fn
	mid := (p + z*z/(2*fn)) / (1 + z*z/fn)
	half := z / (1 + z*z/fn) * math.Sqrt(p*(1-p)/fn+z*z/(4*fn*fn))
	lo, hi = math.Max(mid-half, 0), math.Min(mid+half, 1)
	if k == 0 { // exact ends: rounding must not exclude what was observed
		lo = 0
	}
	if k == n {
		hi = 1
	}
	return lo, hi
}

// meanOf returns the mean of a non-empty sample, summed relative to its first value for precision.
func meanOf(x []float64) float64 {
	var s float64
	for _, v := range x {
		s += v - x[0]
	}
	return x[0] + s/float64(len(x))
}

package kernel

import "math"

// Dot gives Σ a[i]·b[i] over the shorter length, in an order of summation that depends on the length only.
func Dot(a, b []float32) float32 {
	n := min(len(a), len(b))
	return active.dot(a[:n], b[:n])
}

func dotGeneric(a, b []float32) float32 {
	var s [8]float32
	b = b[:len(a)]
	i := 0
	for ; i+8 <= len(a); i += 8 {
		x, y := (*[8]float32)(a[i:]), (*[8]float32)(b[i:])
		for l := range s {
			s[l] += x[l] * y[l]
		}
	}
	sum := addLanes(&s)
	for ; i < len(a); i++ {
		sum += a[i] * b[i]
	}
	return sum
}

func addLanes(s *[8]float32) float32 {
	return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))
}

// RMSNorm writes dst = x / √(mean(x²) + eps) · weight (Zhang and Sennrich 2019). dst may be x.
func RMSNorm(dst, x, weight []float32, eps float32) {
	n := len(x)
	dst, weight = dst[:n], weight[:n]
	mean := float64(Dot(x, x)) / float64(n)
	inverse := float32(1 / math.Sqrt(mean+float64(eps)))
	active.scaleBy(dst, x, weight, inverse)
}

// scaleByGeneric writes dst = x · factor · weight.
func scaleByGeneric(dst, x, weight []float32, factor float32) {
	dst, weight = dst[:len(x)], weight[:len(x)]
	for i, v := range x {
		dst[i] = v * factor * weight[i]
	}
}

// AddScaled adds factor · x to dst.
func AddScaled(dst, x []float32, factor float32) { active.addScaled(dst, x[:len(dst)], factor) }

func addScaledGeneric(dst, x []float32, factor float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] += factor * x[i]
	}
}

// SwiGLU writes dst = silu(gate) · up, where silu(x) = x / (1 + e⁻ˣ) (Shazeer 2020). dst may be gate or up.
func SwiGLU(dst, gate, up []float32) {
	active.swiglu(dst, gate[:len(dst)], up[:len(dst)])
}

func swigluGeneric(dst, gate, up []float32) {
	gate, up = gate[:len(dst)], up[:len(dst)]
	for i := range dst {
		dst[i] = gate[i] / (1 + exp32(-gate[i])) * up[i]
	}
}

// Softmax replaces x by exp(x − max) / Σ exp(x − max).
func Softmax(x []float32) {
	if len(x) == 0 {
		return
	}
	_, sum := active.expSum(x)
	active.times(x, 1/sum)
}

// expSumGeneric replaces x, which is not empty, by exp(x − top), and gives the largest x and the sum.
func expSumGeneric(x []float32) (top, sum float32) {
	top = largest(x)
	return top, float32(expSumFrom(x, top))
}

// largest gives the largest of x. A NaN is passed over.
func largest(x []float32) float32 {
	top := float32(math.Inf(-1))
	for _, v := range x {
		if v > top {
			top = v
		}
	}
	return top
}

func expSumFrom(x []float32, top float32) (sum float64) {
	for i, v := range x {
		x[i] = exp32(v - top)
		sum += float64(x[i])
	}
	return sum
}

// timesGeneric multiplies x by factor.
func timesGeneric(x []float32, factor float32) {
	for i := range x {
		x[i] *= factor
	}
}

// exp32 is eˣ to within 2 units in the last place: x = n·ln 2 + r with |r| ≤ ln 2 / 2 and a polynomial in r (the
// coefficients of Cephes' expf, Moshier 1989). Below −87.3 it gives 0 instead of a subnormal, above 88.7 infinity.
func exp32(x float32) float32 {
	switch {
	case x != x:
		return x
	case x > 88.72283:
		return float32(math.Inf(1))
	case x < -87.33654:
		return 0
	}
	const (
		log2e = 1.44269504088896341
		high  = 0.693359375 // ln 2 in two parts: n·high is exact
		low   = -2.12194440e-4
	)
	n := float32(math.RoundToEven(float64(x * log2e)))
	r := x - n*high
	r -= n * low
	p := float32(1.9875691500e-4)
	p = p*r + 1.3981999507e-3
	p = p*r + 8.3334519073e-3
	p = p*r + 4.1665795894e-2
	p = p*r + 1.6666665459e-1
	p = p*r + 5.0000001201e-1
	p = p*r*r + r + 1
	if n == 128 { // 2¹²⁸ has no float32; p·2¹²⁸ may be finite
		return p * 2 * 0x1p127
	}
	return p * math.Float32frombits(uint32(int32(n)+127)<<23)
}

// Rope rotates each pair (x[2i], x[2i+1]) of one head by the angle whose cosine and sine are cos[i], sin[i] (Su et
// al. 2021; pairs are adjacent in GGUF llama files).
func Rope(x, cos, sin []float32) { active.rope(x, cos[:len(x)/2], sin[:len(x)/2]) }

func ropeGeneric(x, cos, sin []float32) {
	for i := range cos {
		a, b := x[2*i], x[2*i+1]
		x[2*i] = a*cos[i] - b*sin[i]
		x[2*i+1] = a*sin[i] + b*cos[i]
	}
}

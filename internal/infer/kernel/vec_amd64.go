package kernel

//go:noescape
func quantise32AVX512(dst *byte, x *float32, blocks int64)

//go:noescape
func quantise256AVX512(dst *byte, x *float32, blocks int64)

//go:noescape
func dotAVX512(a, b *float32, n int64) float32

//go:noescape
func scaleByAVX512(dst, x, w *float32, n int64, factor float32)

//go:noescape
func addScaledAVX512(dst, x *float32, n int64, factor float32)

//go:noescape
func timesAVX512(x *float32, n int64, factor float32)

//go:noescape
func expSumAVX512(x *float32, n int64) (top, sum float32)

//go:noescape
func expScaledAVX512(dst, x *float32, n int64, top, factor float32)

//go:noescape
func highestAVX512(x *float32, n int64) (top float32, largest uint32)

//go:noescape
func indexAVX512(x *float32, n int64, v float32) int64

//go:noescape
func swigluAVX512(dst, gate, up *float32, n int64)

//go:noescape
func toF16AVX512(dst *byte, x *float32, n int64)

//go:noescape
func ropeAVX512(x, cos, sin *float32, n int64)

//go:noescape
func dotAVX2(a, b *float32, n int64) float32

//go:noescape
func addScaledAVX2(dst, x *float32, n int64, factor float32)

//go:noescape
func fromF16AVX2(dst *float32, x *uint16, n int64)

//go:noescape
func toF16AVX2(dst *byte, x *float32, n int64)

//go:noescape
func expSumAVX2(x *float32, n int64, top float32) (sum float32)

//go:noescape
func swigluAVX2(dst, gate, up *float32, n int64)

//go:build !amd64

package kernel

// Where there is no assembly the AVX-512 tier is never active: nothing here is called.

const noAssembly = "kernel: no assembly"

type (
	tile   struct{}
	attend struct{}
)

const multiplyOps = 0 // of one round of multiply

func touch(b []byte) { touchGeneric(b) }

func scoresAVX512(*Scratch, *KV, []float32, int, int, []int32, float32) { panic(noAssembly) }
func valuesAVX512(*Scratch, *KV, []float32, int, int, []int32)          { panic(noAssembly) }
func quantise32AVX512(*byte, *float32, int64)                           { panic(noAssembly) }
func quantise256AVX512(*byte, *float32, int64)                          { panic(noAssembly) }
func dotAVX512(_, _ *float32, _ int64) float32                          { panic(noAssembly) }
func scaleByAVX512(_, _, _ *float32, _ int64, _ float32)                { panic(noAssembly) }
func addScaledAVX512(_, _ *float32, _ int64, _ float32)                 { panic(noAssembly) }
func timesAVX512(*float32, int64, float32)                              { panic(noAssembly) }
func expSumAVX512(*float32, int64) (top, sum float32)                   { panic(noAssembly) }
func swigluAVX512(_, _, _ *float32, _ int64)                            { panic(noAssembly) }
func toF16AVX512(*uint16, *float32, int64)                              { panic(noAssembly) }
func ropeAVX512(_, _, _ *float32, _ int64)                              { panic(noAssembly) }

func (m *Matrix) mulAVX512(*Scratch, int, int, *Acts, []int32, []float32, int) { panic(noAssembly) }
func multiply(int64)                                                           { panic(noAssembly) }
func (m *Matrix) packPanelAVX512(_, _ []byte)                                  { panic(noAssembly) }

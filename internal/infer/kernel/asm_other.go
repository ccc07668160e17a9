//go:build !amd64

package kernel

import "github.com/hxp-enterprise/mixtral/internal/infer/quant"

// The x86 tiers are never active elsewhere: nothing here is called.

type (
	tile     struct{}
	scratch2 struct{}
)

const multiplyOps = 0 // of one round of multiply

func directAVX512(*KV) bool                                              { panic(noAssembly) }
func scoresDirectAVX512(*attention, int, float32)                        { panic(noAssembly) }
func valuesDirectAVX512(*attention, int, []float32)                      { panic(noAssembly) }
func scoresAVX512(_ *Scratch, _, _, _ []float32, _, _, _ int, _ float32) { panic(noAssembly) }
func valuesAVX512(_ *Scratch, _, _, _ []float32, _, _, _ int)            { panic(noAssembly) }
func widenAVX512(quant.KVType, []float32, []byte, int)                   { panic(noAssembly) }
func widenAVX2(quant.KVType, []float32, []byte, int)                     { panic(noAssembly) }
func putQ8AVX512(_, _ *byte, _ *float32, _, _ int64)                     { panic(noAssembly) }
func quantise32AVX512(*byte, *float32, int64)                            { panic(noAssembly) }
func quantise256AVX512(*byte, *float32, int64)                           { panic(noAssembly) }
func dotAVX512(_, _ *float32, _ int64) float32                           { panic(noAssembly) }
func scaleByAVX512(_, _, _ *float32, _ int64, _ float32)                 { panic(noAssembly) }
func addScaledAVX512(_, _ *float32, _ int64, _ float32)                  { panic(noAssembly) }
func timesAVX512(*float32, int64, float32)                               { panic(noAssembly) }
func expSumAVX512(*float32, int64) (top, sum float32)                    { panic(noAssembly) }
func expScaledAVX512(_, _ *float32, _ int64, _, _ float32)               { panic(noAssembly) }
func highestAVX512(*float32, int64) (top float32, largest uint32)        { panic(noAssembly) }
func indexAVX512(*float32, int64, float32) int64                         { panic(noAssembly) }
func swigluAVX512(_, _, _ *float32, _ int64)                             { panic(noAssembly) }
func toF16AVX512(*byte, *float32, int64)                                 { panic(noAssembly) }
func ropeAVX512(_, _, _ *float32, _ int64)                               { panic(noAssembly) }

func (m *Matrix) mulAVX512(*Scratch, int, int, *Acts, []int32, target) { panic(noAssembly) }
func multiply(int64)                                                   { panic(noAssembly) }
func (m *Matrix) packPanelAVX512(_, _ []byte)                          { panic(noAssembly) }
func (m *Matrix) mulAVX2(*Scratch, int, int, *Acts, []int32, target)   { panic(noAssembly) }
func scoresAVX2(_, _, _ []float32, _, _, _ int, _ float32)             { panic(noAssembly) }
func valuesAVX2(_, _, _ []float32, _, _, _ int)                        { panic(noAssembly) }
func dotAVX2(_, _ *float32, _ int64) float32                           { panic(noAssembly) }
func addScaledAVX2(_, _ *float32, _ int64, _ float32)                  { panic(noAssembly) }
func toF16AVX2(*byte, *float32, int64)                                 { panic(noAssembly) }
func expSumAVX2(*float32, int64, float32) float32                      { panic(noAssembly) }
func swigluAVX2(_, _, _ *float32, _ int64)                             { panic(noAssembly) }
func tryScalesAVX2(*quant.Trial, *float32, *float32, int64)            { panic(noAssembly) }
func bestScaleAVX2(*quant.Trial) int64                                 { panic(noAssembly) }
func extremeAVX2(*float32, int64) float32                              { panic(noAssembly) }
func scaleToAVX2(_, _ *float32, _ int64, _ float32)                    { panic(noAssembly) }
func codeAVX2(*byte, *float32, int64, float32, float32, int32)         { panic(noAssembly) }
func differenceAVX2(_, _ *float32, _ int64) (_, _ float64, _ float32)  { panic(noAssembly) }
func fromF16AVX2(*float32, *uint16, int64)                             { panic(noAssembly) }

//go:build !arm64

package kernel

import "github.com/hxp-enterprise/mixtral/internal/infer/quant"

// The NEON tiers are never active elsewhere: nothing here is called.

type scratchNEON struct{}

func newScratchNEON() *scratchNEON { return nil }

func (m *Matrix) mulNEON(*Scratch, int, int, *Acts, []int32, target)             { panic(noAssembly) }
func quantise32NEON(*byte, *float32, int64)                                      { panic(noAssembly) }
func quantise256NEON(*byte, *float32, int64)                                     { panic(noAssembly) }
func dotOnNEON(_, _ []float32) float32                                           { panic(noAssembly) }
func scaleByOnNEON(_, _, _ []float32, _ float32)                                 { panic(noAssembly) }
func addScaledOnNEON(_, _ []float32, _ float32)                                  { panic(noAssembly) }
func swigluOnNEON(_, _, _ []float32)                                             { panic(noAssembly) }
func expSumOnNEON([]float32) (top, sum float32)                                  { panic(noAssembly) }
func expScaledOnNEON(_, _ []float32, _, _ float32) (done int)                    { panic(noAssembly) }
func timesOnNEON([]float32, float32) (done int)                                  { panic(noAssembly) }
func ropeOnNEON(_, _, _ []float32) (pairs int)                                   { panic(noAssembly) }
func highestOnNEON([]float32) (index int, top float32, largest uint32, done int) { panic(noAssembly) }
func toF16NEON(*byte, *float32, int64)                                           { panic(noAssembly) }
func fromF16NEON(*float32, *byte, int64)                                         { panic(noAssembly) }
func scoresOnNEON(_ *Scratch, _, _, _ []float32, _, _, _ int, _ float32)         { panic(noAssembly) }
func valuesOnNEON(_ *Scratch, _, _, _ []float32, _, _, _ int)                    { panic(noAssembly) }
func widenOnNEON(quant.KVType, []float32, []byte, int)                           { panic(noAssembly) }

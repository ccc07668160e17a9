package kernel

import "github.com/hxp-enterprise/mixtral/internal/infer/quant"

//go:noescape
func tryScalesAVX2(t *quant.Trial, x, w *float32, n int64)

//go:noescape
func bestScaleAVX2(t *quant.Trial) int64

// The functions below take whole vectors of eight.

//go:noescape
func extremeAVX2(x *float32, n int64) float32

//go:noescape
func scaleToAVX2(dst, src *float32, n int64, by float32)

//go:noescape
func codeAVX2(codes *byte, x *float32, n int64, inv, off float32, most int32)

//go:noescape
func differenceAVX2(a, b *float32, n int64) (squares, norm float64, most float32)

package kernel

import "github.com/hxp-enterprise/mixtral/internal/quant"

//go:noescape
func tryScalesAVX2(t *quant.Trial, x, w *float32, n int64)

package kernel

import "github.com/hxp-enterprise/mixtral/internal/quant"

// NewPacker gives a packer that searches for scales with this machine's instructions. It packs the same bits everywhere.
func NewPacker() *quant.Packer {
	if active >= tierAVX2 {
		return &quant.Packer{Try: tryScales}
	}
	return &quant.Packer{}
}

// tryScales is quant.Try in assembly.
func tryScales(t *quant.Trial, x, w []float32) {
	if len(x) > 0 {
		w = w[:len(x)]
		tryScalesAVX2(t, &x[0], &w[0], int64(len(x)))
	}
}

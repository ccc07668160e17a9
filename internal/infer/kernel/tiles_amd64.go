package kernel

import "github.com/hxp-enterprise/mixtral/internal/infer/quant"

// These are the kernels that _asm writes.

var tiles512 = &tiles{groups: maxGroups, cols: tileCols, floatCols: tileCols, kernel: map[quant.Type]func(*tile){
	quant.F32:  tileF32AVX512,
	quant.F16:  tileF16AVX512,
	quant.BF16: tileBF16AVX512,
	quant.Q8_0: tileQ8AVX512,
	quant.Q4_0: tileQ4AVX512,
	quant.Q5_0: tileQ5AVX512,
	quant.Q2_K: tileQ2KAVX512,
	quant.Q3_K: tileQ3KAVX512,
	quant.Q4_K: tileQ4KAVX512,
	quant.Q5_K: tileQ5KAVX512,
	quant.Q6_K: tileQ6KAVX512,
}}

var tilesVNNI = &tiles{groups: maxGroups, cols: tileCols, floatCols: 3, own: true, kernel: map[quant.Type]func(*tile){
	quant.F32:  tileF32AVX2,
	quant.F16:  tileF16AVX2,
	quant.BF16: tileBF16AVX2,
	quant.Q8_0: tileQ8AVXVNNI,
	quant.Q4_0: tileQ4AVXVNNI,
	quant.Q5_0: tileQ5AVXVNNI,
	quant.Q2_K: tileQ2KAVXVNNI,
	quant.Q3_K: tileQ3KAVXVNNI,
	quant.Q4_K: tileQ4KAVXVNNI,
	quant.Q5_K: tileQ5KAVXVNNI,
	quant.Q6_K: tileQ6KAVXVNNI,
}}

var tiles2 = &tiles{groups: maxGroups, cols: tileCols, floatCols: 3, own: true, kernel: map[quant.Type]func(*tile){
	quant.F32:  tileF32AVX2,
	quant.F16:  tileF16AVX2,
	quant.BF16: tileBF16AVX2,
	quant.Q8_0: tileQ8AVX2,
	quant.Q4_0: tileQ4AVX2,
	quant.Q5_0: tileQ5AVX2,
	quant.Q2_K: tileQ2KAVX2,
	quant.Q3_K: tileQ3KAVX2,
	quant.Q4_K: tileQ4KAVX2,
	quant.Q5_K: tileQ5KAVX2,
	quant.Q6_K: tileQ6KAVX2,
}}

//go:noescape
func tileF32AVX512(t *tile)

//go:noescape
func tileF16AVX512(t *tile)

//go:noescape
func tileBF16AVX512(t *tile)

//go:noescape
func tileQ8AVX512(t *tile)

//go:noescape
func tileQ4AVX512(t *tile)

//go:noescape
func tileQ5AVX512(t *tile)

//go:noescape
func tileQ2KAVX512(t *tile)

//go:noescape
func tileQ3KAVX512(t *tile)

//go:noescape
func tileQ4KAVX512(t *tile)

//go:noescape
func tileQ5KAVX512(t *tile)

//go:noescape
func tileQ6KAVX512(t *tile)

//go:noescape
func tileQ8AVXVNNI(t *tile)

//go:noescape
func tileQ4AVXVNNI(t *tile)

//go:noescape
func tileQ5AVXVNNI(t *tile)

//go:noescape
func tileQ2KAVXVNNI(t *tile)

//go:noescape
func tileQ3KAVXVNNI(t *tile)

//go:noescape
func tileQ4KAVXVNNI(t *tile)

//go:noescape
func tileQ5KAVXVNNI(t *tile)

//go:noescape
func tileQ6KAVXVNNI(t *tile)

//go:noescape
func tileF32AVX2(t *tile)

//go:noescape
func tileF16AVX2(t *tile)

//go:noescape
func tileBF16AVX2(t *tile)

//go:noescape
func tileQ8AVX2(t *tile)

//go:noescape
func tileQ4AVX2(t *tile)

//go:noescape
func tileQ5AVX2(t *tile)

//go:noescape
func tileQ2KAVX2(t *tile)

//go:noescape
func tileQ3KAVX2(t *tile)

//go:noescape
func tileQ4KAVX2(t *tile)

//go:noescape
func tileQ5KAVX2(t *tile)

//go:noescape
func tileQ6KAVX2(t *tile)

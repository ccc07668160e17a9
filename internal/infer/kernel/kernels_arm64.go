package kernel

import "github.com/hxp-enterprise/mixtral/internal/infer/quant"

// kernelSet is the assembly that a tier's products are made of: for one column (float formats: float), and for groups
// of four, after unpacking in the order that they want. Tiles differ in how many weights share a scale and whether
// there are minima.
type kernelSet struct {
	gemv        map[quant.Type]func(*gemvNEON)
	unpack      map[quant.Type]func(*unpackNEON)
	tile, float map[quant.Type]func(*tileNEON)
}

var floatNEON = map[quant.Type]func(*tileNEON){
	quant.F32: gemvF32NEON, quant.F16: gemvF16NEON, quant.BF16: gemvBF16NEON,
}

var kernelsNEON = kernelSet{
	gemv: map[quant.Type]func(*gemvNEON){
		quant.Q8_0: gemvQ8NEON,
		quant.Q4_0: gemvQ4NEON,
		quant.Q5_0: gemvQ5NEON,
		quant.Q2_K: gemvQ2KNEON,
		quant.Q3_K: gemvQ3KNEON,
		quant.Q4_K: gemvQ4KNEON,
		quant.Q5_K: gemvQ5KNEON,
		quant.Q6_K: gemvQ6KNEON,
	},
	unpack: map[quant.Type]func(*unpackNEON){
		quant.Q8_0: unpackQ8NEON,
		quant.Q4_0: unpackQ4NEON,
		quant.Q5_0: unpackQ5NEON,
		quant.Q2_K: unpackQ2KNEON,
		quant.Q3_K: unpackQ3KNEON,
		quant.Q4_K: unpackQ4KNEON,
		quant.Q5_K: unpackQ5KNEON,
		quant.Q6_K: unpackQ6KNEON,
	},
	tile: map[quant.Type]func(*tileNEON){
		quant.Q8_0: tile32NEON,
		quant.Q4_0: tile32NEON,
		quant.Q5_0: tile32NEON,
		quant.Q2_K: tile16MinNEON,
		quant.Q3_K: tile16NEON,
		quant.Q4_K: tile32MinNEON,
		quant.Q5_K: tile32MinNEON,
		quant.Q6_K: tile16NEON,
		quant.F32:  tileF32NEON,
		quant.F16:  tileF16NEON,
		quant.BF16: tileBF16NEON,
	},
	float: floatNEON,
}

var kernelsDotProd = kernelSet{
	gemv: map[quant.Type]func(*gemvNEON){
		quant.Q8_0: gemvQ8DotProd,
		quant.Q4_0: gemvQ4DotProd,
		quant.Q5_0: gemvQ5DotProd,
		quant.Q2_K: gemvQ2KDotProd,
		quant.Q3_K: gemvQ3KDotProd,
		quant.Q4_K: gemvQ4KDotProd,
		quant.Q5_K: gemvQ5KDotProd,
		quant.Q6_K: gemvQ6KDotProd,
	},
	unpack: map[quant.Type]func(*unpackNEON){
		quant.Q8_0: unpackQ8NEON,
		quant.Q4_0: unpackQ4NEON,
		quant.Q5_0: unpackQ5NEON,
		quant.Q2_K: unpackQ2KNEON,
		quant.Q3_K: unpackQ3KNEON,
		quant.Q4_K: unpackQ4KNEON,
		quant.Q5_K: unpackQ5KNEON,
		quant.Q6_K: unpackQ6KNEON,
	},
	tile: map[quant.Type]func(*tileNEON){
		quant.Q8_0: tile32DotProd,
		quant.Q4_0: tile32DotProd,
		quant.Q5_0: tile32DotProd,
		quant.Q2_K: tile16MinDotProd,
		quant.Q3_K: tile16DotProd,
		quant.Q4_K: tile32MinDotProd,
		quant.Q5_K: tile32MinDotProd,
		quant.Q6_K: tile16DotProd,
		quant.F32:  tileF32NEON,
		quant.F16:  tileF16NEON,
		quant.BF16: tileBF16NEON,
	},
	float: floatNEON,
}

var kernelsI8MM = kernelSet{
	gemv: map[quant.Type]func(*gemvNEON){
		quant.Q8_0: gemvQ8DotProd,
		quant.Q4_0: gemvQ4DotProd,
		quant.Q5_0: gemvQ5DotProd,
		quant.Q2_K: gemvQ2KDotProd,
		quant.Q3_K: gemvQ3KDotProd,
		quant.Q4_K: gemvQ4KDotProd,
		quant.Q5_K: gemvQ5KDotProd,
		quant.Q6_K: gemvQ6KDotProd,
	},
	unpack: map[quant.Type]func(*unpackNEON){
		quant.Q8_0: unpackQ8I8MM,
		quant.Q4_0: unpackQ4I8MM,
		quant.Q5_0: unpackQ5I8MM,
		quant.Q2_K: unpackQ2KI8MM,
		quant.Q3_K: unpackQ3KI8MM,
		quant.Q4_K: unpackQ4KI8MM,
		quant.Q5_K: unpackQ5KI8MM,
		quant.Q6_K: unpackQ6KI8MM,
	},
	tile: map[quant.Type]func(*tileNEON){
		quant.Q8_0: tile32I8MM,
		quant.Q4_0: tile32I8MM,
		quant.Q5_0: tile32I8MM,
		quant.Q2_K: tile16MinI8MM,
		quant.Q3_K: tile16I8MM,
		quant.Q4_K: tile32MinI8MM,
		quant.Q5_K: tile32MinI8MM,
		quant.Q6_K: tile16I8MM,
		quant.F32:  tileF32NEON,
		quant.F16:  tileF16NEON,
		quant.BF16: tileBF16NEON,
	},
	float: floatNEON,
}

//go:noescape
func gemvQ8DotProd(a *gemvNEON)

//go:noescape
func gemvQ8NEON(a *gemvNEON)

//go:noescape
func unpackQ8NEON(a *unpackNEON)

//go:noescape
func unpackQ8I8MM(a *unpackNEON)

//go:noescape
func gemvQ4DotProd(a *gemvNEON)

//go:noescape
func gemvQ4NEON(a *gemvNEON)

//go:noescape
func unpackQ4NEON(a *unpackNEON)

//go:noescape
func unpackQ4I8MM(a *unpackNEON)

//go:noescape
func gemvQ5DotProd(a *gemvNEON)

//go:noescape
func gemvQ5NEON(a *gemvNEON)

//go:noescape
func unpackQ5NEON(a *unpackNEON)

//go:noescape
func unpackQ5I8MM(a *unpackNEON)

//go:noescape
func gemvQ2KDotProd(a *gemvNEON)

//go:noescape
func gemvQ2KNEON(a *gemvNEON)

//go:noescape
func unpackQ2KNEON(a *unpackNEON)

//go:noescape
func unpackQ2KI8MM(a *unpackNEON)

//go:noescape
func gemvQ3KDotProd(a *gemvNEON)

//go:noescape
func gemvQ3KNEON(a *gemvNEON)

//go:noescape
func unpackQ3KNEON(a *unpackNEON)

//go:noescape
func unpackQ3KI8MM(a *unpackNEON)

//go:noescape
func gemvQ4KDotProd(a *gemvNEON)

//go:noescape
func gemvQ4KNEON(a *gemvNEON)

//go:noescape
func unpackQ4KNEON(a *unpackNEON)

//go:noescape
func unpackQ4KI8MM(a *unpackNEON)

//go:noescape
func gemvQ5KDotProd(a *gemvNEON)

//go:noescape
func gemvQ5KNEON(a *gemvNEON)

//go:noescape
func unpackQ5KNEON(a *unpackNEON)

//go:noescape
func unpackQ5KI8MM(a *unpackNEON)

//go:noescape
func gemvQ6KDotProd(a *gemvNEON)

//go:noescape
func gemvQ6KNEON(a *gemvNEON)

//go:noescape
func unpackQ6KNEON(a *unpackNEON)

//go:noescape
func unpackQ6KI8MM(a *unpackNEON)

//go:noescape
func tile32NEON(a *tileNEON)

//go:noescape
func tile32DotProd(a *tileNEON)

//go:noescape
func tile32I8MM(a *tileNEON)

//go:noescape
func tile16NEON(a *tileNEON)

//go:noescape
func tile16DotProd(a *tileNEON)

//go:noescape
func tile16I8MM(a *tileNEON)

//go:noescape
func tile16MinNEON(a *tileNEON)

//go:noescape
func tile16MinDotProd(a *tileNEON)

//go:noescape
func tile16MinI8MM(a *tileNEON)

//go:noescape
func tile32MinNEON(a *tileNEON)

//go:noescape
func tile32MinDotProd(a *tileNEON)

//go:noescape
func tile32MinI8MM(a *tileNEON)

//go:noescape
func gemvF32NEON(a *tileNEON)

//go:noescape
func tileF32NEON(a *tileNEON)

//go:noescape
func gemvF16NEON(a *tileNEON)

//go:noescape
func tileF16NEON(a *tileNEON)

//go:noescape
func gemvBF16NEON(a *tileNEON)

//go:noescape
func tileBF16NEON(a *tileNEON)

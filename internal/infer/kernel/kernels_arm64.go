package kernel

import (
	"maps"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// kernelSet is the assembly that a tier's products are made of: for one column (float formats: float), and for groups
// of four, after unpacking in the order that they want. Tiles differ in how many weights share a scale and whether
// there are minima. Formats with a grid have no gemv: their single column is multiplied after unpacking, too, which
// then is not in pairs.
type kernelSet struct {
	gemv                map[quant.Type]func(*gemvNEON)
	unpack              map[quant.Type]func(*unpackNEON)
	tile, float, single map[quant.Type]func(*tileNEON)
	paired              bool
}

var floatNEON = map[quant.Type]func(*tileNEON){
	quant.F32: gemvF32NEON, quant.F16: gemvF16NEON, quant.BF16: gemvBF16NEON,
}

// byRuns gives a function to each format with a grid, by how many weights share a scale.
func byRuns(sixteen, thirtyTwo func(*tileNEON)) map[quant.Type]func(*tileNEON) {
	all := map[quant.Type]func(*tileNEON){}
	for t, l := range layouts {
		switch {
		case !l.grid:
		case shapeOf(t).runs == 16:
			all[t] = sixteen
		default:
			all[t] = thirtyTwo
		}
	}
	return all
}

// with adds other formats' functions to a set of them.
func with(some, more map[quant.Type]func(*tileNEON)) map[quant.Type]func(*tileNEON) {
	maps.Copy(some, more)
	return some
}

// unpackBytes unpack blocks for the tiers that multiply four weights of each row at a time.
var unpackBytes = map[quant.Type]func(*unpackNEON){
	quant.Q8_0:   unpackQ8NEON,
	quant.Q4_0:   unpackQ4NEON,
	quant.Q5_0:   unpackQ5NEON,
	quant.Q2_K:   unpackQ2KNEON,
	quant.Q3_K:   unpackQ3KNEON,
	quant.Q4_K:   unpackQ4KNEON,
	quant.Q5_K:   unpackQ5KNEON,
	quant.Q6_K:   unpackQ6KNEON,
	quant.Q4_1:   unpackQ4MinNEON,
	quant.Q5_1:   unpackQ5MinNEON,
	quant.IQ4_NL: unpackIQ4NLNEON,
	quant.IQ4_XS: unpackIQ4XSNEON,
}

var kernelsNEON = kernelSet{
	gemv: map[quant.Type]func(*gemvNEON){
		quant.Q8_0:   gemvQ8NEON,
		quant.Q4_0:   gemvQ4NEON,
		quant.Q5_0:   gemvQ5NEON,
		quant.Q2_K:   gemvQ2KNEON,
		quant.Q3_K:   gemvQ3KNEON,
		quant.Q4_K:   gemvQ4KNEON,
		quant.Q5_K:   gemvQ5KNEON,
		quant.Q6_K:   gemvQ6KNEON,
		quant.Q4_1:   gemvQ4MinNEON,
		quant.Q5_1:   gemvQ5MinNEON,
		quant.IQ4_NL: gemvIQ4NLNEON,
		quant.IQ4_XS: gemvIQ4XSNEON,
	},
	unpack: unpackBytes,
	tile: with(map[quant.Type]func(*tileNEON){
		quant.Q8_0:   tile32NEON,
		quant.Q4_0:   tile32NEON,
		quant.Q5_0:   tile32NEON,
		quant.Q2_K:   tile16MinNEON,
		quant.Q3_K:   tile16NEON,
		quant.Q4_K:   tile32MinNEON,
		quant.Q5_K:   tile32MinNEON,
		quant.Q6_K:   tile16NEON,
		quant.Q4_1:   tile32FloatMinNEON,
		quant.Q5_1:   tile32FloatMinNEON,
		quant.IQ4_NL: tile32NEON,
		quant.IQ4_XS: tile32IntNEON,
		quant.F32:    tileF32NEON,
		quant.F16:    tileF16NEON,
		quant.BF16:   tileBF16NEON,
	}, byRuns(tile16NEON, tile32IntNEON)),
	float:  floatNEON,
	single: byRuns(single16NEON, single32IntNEON),
}

var kernelsDotProd = kernelSet{
	gemv: map[quant.Type]func(*gemvNEON){
		quant.Q8_0:   gemvQ8DotProd,
		quant.Q4_0:   gemvQ4DotProd,
		quant.Q5_0:   gemvQ5DotProd,
		quant.Q2_K:   gemvQ2KDotProd,
		quant.Q3_K:   gemvQ3KDotProd,
		quant.Q4_K:   gemvQ4KDotProd,
		quant.Q5_K:   gemvQ5KDotProd,
		quant.Q6_K:   gemvQ6KDotProd,
		quant.Q4_1:   gemvQ4MinDotProd,
		quant.Q5_1:   gemvQ5MinDotProd,
		quant.IQ4_NL: gemvIQ4NLDotProd,
		quant.IQ4_XS: gemvIQ4XSDotProd,
	},
	unpack: unpackBytes,
	tile: with(map[quant.Type]func(*tileNEON){
		quant.Q8_0:   tile32DotProd,
		quant.Q4_0:   tile32DotProd,
		quant.Q5_0:   tile32DotProd,
		quant.Q2_K:   tile16MinDotProd,
		quant.Q3_K:   tile16DotProd,
		quant.Q4_K:   tile32MinDotProd,
		quant.Q5_K:   tile32MinDotProd,
		quant.Q6_K:   tile16DotProd,
		quant.Q4_1:   tile32FloatMinDotProd,
		quant.Q5_1:   tile32FloatMinDotProd,
		quant.IQ4_NL: tile32DotProd,
		quant.IQ4_XS: tile32IntDotProd,
		quant.F32:    tileF32NEON,
		quant.F16:    tileF16NEON,
		quant.BF16:   tileBF16NEON,
	}, byRuns(tile16DotProd, tile32IntDotProd)),
	float:  floatNEON,
	single: byRuns(single16DotProd, single32IntDotProd),
}

var kernelsI8MM = kernelSet{
	gemv: map[quant.Type]func(*gemvNEON){
		quant.Q8_0:   gemvQ8DotProd,
		quant.Q4_0:   gemvQ4DotProd,
		quant.Q5_0:   gemvQ5DotProd,
		quant.Q2_K:   gemvQ2KDotProd,
		quant.Q3_K:   gemvQ3KDotProd,
		quant.Q4_K:   gemvQ4KDotProd,
		quant.Q5_K:   gemvQ5KDotProd,
		quant.Q6_K:   gemvQ6KDotProd,
		quant.Q4_1:   gemvQ4MinDotProd,
		quant.Q5_1:   gemvQ5MinDotProd,
		quant.IQ4_NL: gemvIQ4NLDotProd,
		quant.IQ4_XS: gemvIQ4XSDotProd,
	},
	unpack: map[quant.Type]func(*unpackNEON){
		quant.Q8_0:   unpackQ8I8MM,
		quant.Q4_0:   unpackQ4I8MM,
		quant.Q5_0:   unpackQ5I8MM,
		quant.Q2_K:   unpackQ2KI8MM,
		quant.Q3_K:   unpackQ3KI8MM,
		quant.Q4_K:   unpackQ4KI8MM,
		quant.Q5_K:   unpackQ5KI8MM,
		quant.Q6_K:   unpackQ6KI8MM,
		quant.Q4_1:   unpackQ4MinI8MM,
		quant.Q5_1:   unpackQ5MinI8MM,
		quant.IQ4_NL: unpackIQ4NLI8MM,
		quant.IQ4_XS: unpackIQ4XSI8MM,
	},
	tile: with(map[quant.Type]func(*tileNEON){
		quant.Q8_0:   tile32I8MM,
		quant.Q4_0:   tile32I8MM,
		quant.Q5_0:   tile32I8MM,
		quant.Q2_K:   tile16MinI8MM,
		quant.Q3_K:   tile16I8MM,
		quant.Q4_K:   tile32MinI8MM,
		quant.Q5_K:   tile32MinI8MM,
		quant.Q6_K:   tile16I8MM,
		quant.Q4_1:   tile32FloatMinI8MM,
		quant.Q5_1:   tile32FloatMinI8MM,
		quant.IQ4_NL: tile32I8MM,
		quant.IQ4_XS: tile32IntI8MM,
		quant.F32:    tileF32NEON,
		quant.F16:    tileF16NEON,
		quant.BF16:   tileBF16NEON,
	}, byRuns(tile16I8MM, tile32IntI8MM)),
	float:  floatNEON,
	single: byRuns(single16DotProd, single32IntDotProd),
	paired: true,
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

//go:noescape
func gemvQ4MinDotProd(a *gemvNEON)

//go:noescape
func gemvQ4MinNEON(a *gemvNEON)

//go:noescape
func unpackQ4MinNEON(a *unpackNEON)

//go:noescape
func unpackQ4MinI8MM(a *unpackNEON)

//go:noescape
func gemvQ5MinDotProd(a *gemvNEON)

//go:noescape
func gemvQ5MinNEON(a *gemvNEON)

//go:noescape
func unpackQ5MinNEON(a *unpackNEON)

//go:noescape
func unpackQ5MinI8MM(a *unpackNEON)

//go:noescape
func gemvIQ4NLDotProd(a *gemvNEON)

//go:noescape
func gemvIQ4NLNEON(a *gemvNEON)

//go:noescape
func unpackIQ4NLNEON(a *unpackNEON)

//go:noescape
func unpackIQ4NLI8MM(a *unpackNEON)

//go:noescape
func gemvIQ4XSDotProd(a *gemvNEON)

//go:noescape
func gemvIQ4XSNEON(a *gemvNEON)

//go:noescape
func unpackIQ4XSNEON(a *unpackNEON)

//go:noescape
func unpackIQ4XSI8MM(a *unpackNEON)

//go:noescape
func tile32FloatMinNEON(a *tileNEON)

//go:noescape
func tile32FloatMinDotProd(a *tileNEON)

//go:noescape
func tile32FloatMinI8MM(a *tileNEON)

//go:noescape
func tile32IntNEON(a *tileNEON)

//go:noescape
func tile32IntDotProd(a *tileNEON)

//go:noescape
func tile32IntI8MM(a *tileNEON)

//go:noescape
func single16NEON(a *tileNEON)

//go:noescape
func single16DotProd(a *tileNEON)

//go:noescape
func single32IntNEON(a *tileNEON)

//go:noescape
func single32IntDotProd(a *tileNEON)

package synth

import (
	"fmt"
	"math"
	"math/bits"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// The needle model is made by hand so that its answer is known: after a token it says what followed that token when
// it came last before, however far back, as induction heads of trained models do (Olsson et al. 2022). Whoever puts a
// key and an answer anywhere into a context, and the key again at its end, must get the answer; any position that the
// engine confuses, rounds away or forgets shows.
//
// The residual stream holds four things in dimensions of their own:
//
//	own     24 signs that name the token: a word of the binary Golay code; any two differ in 8 places at least
//	before  the previous token's signs, which layer 0 writes
//	answer  the signs of the token that is to come, which layer 1 writes and the output matrix reads
//	one     a constant, from which queries and keys about places are made
//
// Layer 0 looks one place back by RoPE alone: its query is its key turned by one position, in the fast pairs of a
// head, so that the score is Σ cos((Δ−1)·θᵢ), highest at distance Δ = 1. Layer 1 looks for the place whose "before"
// is its own token, by content: in the slowest pairs of a head, which even 32,768 positions turn by less than half a
// radian, so that RoPE hardly touches it. Each KV head carries one half of the signs, so both are needed. The experts
// add nothing.
const (
	needleSigns   = 24
	needleHeadDim = 128 // Mixtral's
	needleKVHeads = 2
	needleOwn     = 0 // in blocks of 32 of their own, so that no quantised format's scales mix them
	needleBefore  = 32
	needleAnswer  = 64
	needleOne     = 96
	needleConst   = 4
	needlePairs   = 16 // fast ones: from 1 to 0.04 radians a position
	// needleGap is what e's exponent is lower by at any wrong place, at least: 32,768 of them weigh 3·10⁻⁶ together.
	needleGap = 24
	// needleNear is Σ (1 − cos((Δ−1)·θᵢ)) at the places beside the right one; none within 32,768 positions has less.
	needleNear = 1.354
	// needleApart is the same for contents: 2·Σ cos for the right token is 23 at least, 8 + 4.2 at most for another.
	needleApart = 10
)

// Needle is the model that finds again what it was told; see above. Shapes of it may differ in layers' FFN width,
// experts, query heads, vocabulary, context, format and seed.
func Needle() Shape {
	return Shape{Dim: 512, FFN: 32, Layers: 2, Heads: 4, KVHeads: needleKVHeads, Experts: 4, Vocab: 2048,
		Context: 32768, Type: quant.Q8_0, Seed: 1, Needle: true}
}

// checkNeedle refuses shapes that the construction does not hold for.
func (s Shape) checkNeedle() error {
	switch {
	case s.Dim/s.Heads != needleHeadDim:
		return &FieldError{"heads", fmt.Sprintf("must be dim/%d in a needle model, got %d of dim %d", needleHeadDim,
			s.Heads, s.Dim)}
	case s.KVHeads != needleKVHeads:
		return &FieldError{"kv-heads", fmt.Sprintf("must be %d in a needle model, got %d", needleKVHeads, s.KVHeads)}
	case s.Layers != 2:
		return &FieldError{"layers", fmt.Sprintf("must be 2 in a needle model, got %d", s.Layers)}
	case s.Vocab > 1<<12:
		return &FieldError{"vocab", fmt.Sprintf("must be at most %d in a needle model, got %d", 1<<12, s.Vocab)}
	case s.Context > 1<<15:
		return &FieldError{"context", fmt.Sprintf("must be at most %d in a needle model, got %d", 1<<15, s.Context)}
	}
	return nil
}

// needleSign gives sign i of a token's name.
func needleSign(token, i int) float32 {
	// The Golay code's generator polynomial is x¹¹+x¹⁰+x⁶+x⁵+x⁴+x²+1; the 24th digit makes the number of ones even.
	const generator = 0xc75
	word := uint32(0)
	for k := range 12 {
		if token>>k&1 == 1 {
			word ^= generator << k
		}
	}
	word |= uint32(bits.OnesCount32(word)&1) << 23
	if word>>i&1 == 1 {
		return 1
	}
	return -1
}

// needleScale is what RMSNorm multiplies by where the stream holds so many names.
func (s Shape) needleScale(names int) float64 {
	mean := float64(names*needleSigns+needleConst*needleConst) / float64(s.Dim)
	return 1 / math.Sqrt(mean+1e-5)
}

// needle gives a tensor's weight in a row and a column; nil for those that are as in other models.
func (s Shape) needle(name string) func(row, col int) float32 {
	layer, kind := 0, name
	if rest, ok := strings.CutPrefix(name, "blk."); ok {
		_, err := fmt.Sscanf(rest, "%d.", &layer)
		if err != nil {
			panic(err)
		}
		kind = rest[strings.IndexByte(rest, '.')+1:]
	}
	scale := s.needleScale(1 + layer)
	half, group := needleSigns/needleKVHeads, s.Heads/needleKVHeads
	from, to := needleOwn, needleBefore // what a layer looks at, and where it writes
	if layer == 1 {
		to = needleAnswer
	}
	switch kind {
	case "token_embd.weight":
		return func(token, col int) float32 {
			switch {
			case col == needleOne:
				return needleConst
			case col-needleOwn < needleSigns:
				return needleSign(token, col-needleOwn)
			}
			return 0
		}
	case "output.weight":
		return func(token, col int) float32 {
			if i := col - needleAnswer; i >= 0 && i < needleSigns {
				return needleSign(token, i) / 2 // logits of about 29 for the answer, and 10 for the next
			}
			return 0
		}
	case "attn_q.weight":
		return s.needleQuery(layer, scale)
	case "attn_k.weight":
		return s.needleKey(layer, scale)
	case "attn_v.weight": // element i of a KV head is sign i of its half
		return func(row, col int) float32 {
			head, i := row/needleHeadDim, row%needleHeadDim
			return one(i < half && col == from+head*half+i)
		}
	case "attn_output.weight": // each query head of a group brings a share
		return func(row, col int) float32 {
			head, i := col/needleHeadDim/group, col%needleHeadDim
			return one(i < half && row == to+head*half+i) / float32(scale*float64(group))
		}
	case "attn_norm.weight", "ffn_norm.weight", "output_norm.weight":
		return func(int, int) float32 { return 1 }
	case "ffn_gate_inp.weight":
		return nil
	}
	return func(int, int) float32 { return 0 } // the experts
}

// needleQuery, with a key of ones, asks for the place before in layer 0, and for its own token's name in layer 1.
func (s Shape) needleQuery(layer int, scale float64) func(row, col int) float32 {
	root := math.Sqrt(needleHeadDim)
	place := needleGap * root / needleNear / (needleConst * scale)
	content := needleGap * root / needleApart / (scale * scale)
	return func(row, col int) float32 {
		i := row % needleHeadDim
		switch {
		case layer == 1:
			return float32(content) * one(col == needleOwn+i-(needleHeadDim-needleSigns) &&
				i >= needleHeadDim-needleSigns)
		case col != needleOne || i >= 2*needlePairs:
			return 0
		case i%2 == 0:
			return float32(place * math.Cos(ropeAngle(i/2)))
		}
		return float32(-place * math.Sin(ropeAngle(i/2)))
	}
}

func (s Shape) needleKey(layer int, scale float64) func(row, col int) float32 {
	return func(row, col int) float32 {
		i := row % needleHeadDim
		if layer == 1 {
			return one(col == needleBefore+i-(needleHeadDim-needleSigns) && i >= needleHeadDim-needleSigns)
		}
		return one(col == needleOne && i < 2*needlePairs && i%2 == 0) / float32(needleConst*scale)
	}
}

// ropeAngle is by how much RoPE turns a pair from one position to the next.
func ropeAngle(pair int) float64 { return math.Pow(ropeTheta, -2*float64(pair)/needleHeadDim) }

func one(yes bool) float32 {
	if yes {
		return 1
	}
	return 0
}

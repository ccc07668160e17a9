package kernel

import (
	"fmt"
	"os"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// Both are written on any machine:
//
//go:generate go run ./_asm .
//go:generate go run ./_asm/neon .

// tier is an instruction set, with a function for each kernel. Those of generic are the specification; another tier
// is a copy of a lower one in which assembly replaces some. Slices have the lengths that the functions of the same
// name check; results are the same bits in every tier unless it is said otherwise.
type tier struct {
	name string

	mul  func(m *Matrix, s *Scratch, r0, r1 int, a *Acts, cols []int32, to target) // sums differ in rounding
	pack func(m *Matrix, dst, src []byte)                                          // a panel of panelRows rows

	spreading *spreading // of the formats that mul does not know; nil: it knows all

	actQ8 actKind // the form in which mul takes activations for Q8_0: act32 or act16

	quantise32, quantise16, quantise256 func(dst []byte, x []float32)

	dot       func(a, b []float32) float32 // sums differ in rounding
	scaleBy   func(dst, x, weight []float32, factor float32)
	addScaled func(dst, x []float32, factor float32)
	times     func(x []float32, factor float32)
	rope      func(x, cos, sin []float32)
	swiglu    func(dst, gate, up []float32)        // differs in rounding
	expSum    func(x []float32) (top, sum float32) // differs in rounding
	expScaled func(dst, x []float32, top, factor float32)
	highest   func(x []float32) (index int, finite bool)
	gather    func(dst, x []float32, set []uint64) int
	blockSums func(dst, x []float32)

	put   func(t quant.KVType, run []byte, slot int, x []float32)
	widen func(t quant.KVType, dst []float32, run []byte, dim int) // dim is a multiple of 16 but for generic

	// Attention over widened vectors, and over the cache as it lies; direct says whether there is the latter. The
	// sums differ in rounding.
	scores func(s *Scratch, dst, q, keys []float32, heads, n, dim int, scale float32)
	values func(s *Scratch, out, weights, values []float32, heads, n, dim int)
	direct func(kv *KV) bool
	// scoresTurned is scores for keys that turn has turned, a block of vectors into one vector for each element; turns
	// says whether that gains anything. The results are those of scores, bit for bit.
	turns        func() bool
	turn         func(dst, keys []float32, dim int)
	scoresTurned func(s *Scratch, dst, q, keys []float32, heads, n, dim int, scale float32)
	scoresDirect func(a *attention, t int, scale float32)
	valuesDirect func(a *attention, t int, out []float32)

	fromF16    func(dst []float32, src []byte)
	difference func(a, b []float32) (squares, norm float64, most float32)
	search     quant.Arithmetic // nil: quant.Portable

	// For measurements: reading memory, and the 8-bit products that mul is made of, multiplyOps operations a round.
	touch       func(b []byte)
	multiply    func(rounds int)
	multiplyOps int
}

// generic is portable Go.
var generic = tier{
	name: "generic",
	mul:  (*Matrix).mulGeneric, pack: (*Matrix).packPanelGeneric, actQ8: act32,
	quantise32: quantise32Generic, quantise16: quantise16Generic, quantise256: quantise256Generic,
	dot: dotGeneric, scaleBy: scaleByGeneric, addScaled: addScaledGeneric, times: timesGeneric, rope: ropeGeneric,
	swiglu: swigluGeneric, expSum: expSumGeneric, expScaled: expScaledGeneric, highest: highestGeneric,
	gather: gatherGeneric, blockSums: blockSumsGeneric,
	put: quant.KVType.Put, widen: widenGeneric, scores: scoresGeneric, values: valuesGeneric,
	turns: func() bool { return false }, turn: turnGeneric, scoresTurned: scoresTurnedGeneric,
	direct:  func(*KV) bool { return false },
	fromF16: fromF16Generic, difference: differenceGeneric,
	touch: touchGeneric, multiply: multiplyGeneric, multiplyOps: multiplyGenericOps,
}

// tierVariable is the environment variable that chooses a tier, for measurements.
const tierVariable = "MIXTRAL_CPU_TIER"

// active is the tier in use. It is set at start-up, and by tests through ForceTier. tierRefused says why it is not the
// one that the environment asked for.
var (
	active      *tier
	tierRefused error
)

func init() { active, tierRefused = startTier(os.Getenv(tierVariable)) }

// tiers lists what this machine can run, lowest first.
func tiers() []*tier { return append([]*tier{&generic}, machineTiers()...) }

// tierNamed gives the tier of that name, nil if this machine has none.
func tierNamed(name string) *tier {
	for _, t := range tiers() {
		if t.name == name {
			return t
		}
	}
	return nil
}

func bestTier() *tier {
	all := tiers()
	return all[len(all)-1]
}

// startTier is the best tier of this machine, or the one asked for if the machine has it. Where it has not, the error
// says so: the best tier is used then, since generic is a hundred times slower.
func startTier(name string) (*tier, error) {
	best := bestTier()
	if name == "" {
		return best, nil
	}
	if t := tierNamed(name); t != nil {
		return t, nil
	}
	return best, fmt.Errorf("%s must be one of %s on this machine, got %q; using %s", tierVariable,
		strings.Join(Tiers(), ", "), name, best.name)
}

// TierRefused is an error if the environment asked for a tier that this machine does not have. It names the tiers that
// the machine has, and the one that is used instead.
func TierRefused() error { return tierRefused }

// Tier names the instruction set in use: "generic" or one of the processor's architecture.
func Tier() string { return active.name }

// Tiers lists what this machine can run, lowest first.
func Tiers() []string {
	var names []string
	for _, t := range tiers() {
		names = append(names, t.name)
	}
	return names
}

// ForceTier switches to the named tier until restore is called. It is for tests and measurements: nothing may be
// computing meanwhile.
func ForceTier(name string) (restore func(), err error) {
	t := tierNamed(name)
	if t == nil {
		return nil, fmt.Errorf("kernel: this machine cannot run tier %q; it can run %q", name, Tiers())
	}
	old := active
	active = t
	return func() { active = old }, nil
}

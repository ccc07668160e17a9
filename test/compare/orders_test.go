package compare

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/convert"
)

// How a weight is rounded is chance, and one model has few matrices: the divergences of two packers that are equally
// good differ by a fifth. The same model with its dimensions in another order computes the same, and has other blocks.

// orders is how many are tried. The standard error of a mean ratio is then some 8 %.
const orders = 4

// reordered writes the widened demo model with its dimensions in another order, but for the zeros.
func reordered(t *testing.T, source string, seed uint64) string {
	t.Helper()
	order := rand.New(rand.NewPCG(seed, 1)).Perm(narrow)
	place := func(i int) int {
		if i < narrow {
			return order[i]
		}
		return i
	}
	return changed(t, source, nil, func(x gguf.Tensor) (quant.Type, []byte) {
		outputs := strings.Contains(x.Name, "attn_output") || strings.Contains(x.Name, "ffn_down")
		cols, b := x.Dims[0], make([]byte, len(x.Data))
		for i := range x.Elems() {
			row, col := i/cols, i%cols
			to := row*cols + place(col)
			if outputs { // rows of each expert
				to = (row/wide*wide+place(row%wide))*cols + col
			}
			binary.LittleEndian.PutUint32(b[4*to:], binary.LittleEndian.Uint32(x.Data[4*i:]))
		}
		return x.Type, b
	}, nil)
}

// TestDivergenceInOtherOrders: over several orders of the model's dimensions, files of quantize do not diverge more
// than those of llama-quantize, a tenth and a standard error aside. The table in docs/MODELS.md is what it logs.
func TestDivergenceInOtherOrders(t *testing.T) {
	plain := wideDemo(t)
	llama, all := startLibrary(t), heldOut(t, readTokenizer(t, plain))
	unordered := openOurs(t, plain).predict(t, all)
	type sums struct{ ours, theirs, logs, squares float64 } // means of divergences, and of the logarithms of ratios
	found := map[quant.Type]*sums{}
	var types []quant.Type
	for _, typ := range quant.Writable() {
		if typ.BlockLen() > 1 {
			types = append(types, typ)
			found[typ] = new(sums)
		}
	}
	for seed := range uint64(orders) {
		source := reordered(t, plain, seed)
		original := openOurs(t, source).predict(t, all)
		if _, d := score(all, unordered, original); d > 1e-6 {
			t.Fatalf("in another order the model diverges by %.2g", d)
		}
		importance, forLlama := importanceOf(t, source)
		eight, _ := pureMix(t, quant.Q8_0)
		edges := quantised(t, source, "", convert.Options{Mix: eight})
		for _, typ := range types {
			t.Run(fmt.Sprintf("%d/%v", seed, typ), func(t *testing.T) { // whose files are gone afterwards
				mix, n := pureMix(t, typ)
				to := filepath.Join(t.TempDir(), "theirs.gguf")
				llama.ask(t, libraryCall{Op: "quantize", From: source, To: to, Type: n, Pure: true,
					Importance: forLlama, Edges: int(quant.Q8_0)})
				own := quantised(t, source, edges, convert.Options{Mix: mix, Importance: importance})
				_, ours := score(all, original, openOurs(t, own).predict(t, all))
				_, theirs := score(all, original, openOurs(t, to).predict(t, all))
				s, ratio := found[typ], math.Log(ours/theirs)
				s.ours, s.theirs = s.ours+ours/orders, s.theirs+theirs/orders
				s.logs, s.squares = s.logs+ratio/orders, s.squares+ratio*ratio/orders
			})
		}
	}
	for _, typ := range types {
		p := found[typ]
		off := math.Sqrt((p.squares - p.logs*p.logs) / (orders - 1))
		t.Logf("| %v | %.5f | %.5f | %.2f ± %.2f |", typ, p.ours, p.theirs, math.Exp(p.logs), math.Exp(p.logs)*off)
		// The demo model's weights were once in Q8_0, so llama-quantize finds the same codes again: docs/MODELS.md.
		if p.logs > math.Log(1.1)+off && typ != quant.Q8_0 {
			t.Errorf("%v: files of quantize diverge by %.5f, those of llama-quantize by %.5f", typ, p.ours, p.theirs)
		}
	}
}

package kernel

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// TestUnpack: unpacking gives back what was packed, in every format, on every tier, for whole matrices and parts of
// them.
func TestUnpack(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		property.Check(t, func(r *rapid.T) {
			typ := rapid.SampledFrom(quant.Types()).Draw(r, "type")
			rows := rapid.IntRange(1, 100).Draw(r, "rows")
			cols := rapid.IntRange(1, 3).Draw(r, "blocks") * max(typ.BlockLen(), rapid.IntRange(1, 40).Draw(r, "unit"))
			cols = (cols + typ.BlockLen() - 1) / typ.BlockLen() * typ.BlockLen()
			src := randomRows(rand.New(rand.NewPCG(rapid.Uint64().Draw(r, "seed"), 1)), typ, rows, cols)
			m := packed(t, typ, rows, cols, src)
			from := rapid.IntRange(0, (rows-1)/RowAlign).Draw(r, "from") * RowAlign
			row := m.RowBytes()
			got := make([]byte, (rows-from)*row)
			if err := m.Unpack(from, rows, got); err != nil {
				r.Fatal(err)
			}
			if !bytes.Equal(got, src[from*row:]) {
				r.Fatalf("%v, %d × %d from row %d: other bytes", typ, rows, cols, from)
			}
		})
	})
}

// TestUnpackLimits: what Pack refuses, Unpack refuses too.
func TestUnpackLimits(t *testing.T) {
	m := packed(t, quant.F32, 40, 1, make([]byte, 160))
	for _, c := range []struct{ from, to, bytes int }{{-32, 0, 128}, {0, 41, 164}, {32, 0, 0}, {1, 40, 156},
		{0, 31, 124}, {0, 32, 127}, {32, 40, 33}} {
		if err := m.Unpack(c.from, c.to, make([]byte, c.bytes)); err == nil {
			t.Errorf("unpacked rows %d to %d into %d bytes", c.from, c.to, c.bytes)
		}
		if err := m.Pack(quant.F32, c.from, c.to, make([]byte, c.bytes)); err == nil {
			t.Errorf("packed rows %d to %d from %d bytes", c.from, c.to, c.bytes)
		}
	}
}

// TestLayoutVersion: files are packed once and read for years. Where this fails, the order of bytes has changed: raise
// LayoutVersion, and put the new sums here.
func TestLayoutVersion(t *testing.T) {
	const version = 3
	sums := map[quant.Type]string{ // the first eight bytes of SHA-256
		quant.F32: "57e6eb4ad863c12a", quant.F16: "ee1d28543f284586", quant.BF16: "a48a8217a359b6f8",
		quant.Q8_0: "ce9c044a028fc1a1",
		quant.Q4_0: "ed3de155bfca5bcf", quant.Q5_0: "132ca079ad51912d", quant.Q2_K: "c258a983940424f4",
		quant.Q3_K: "75230bb94b74b56d",
		quant.Q4_K: "5303a2a432491e8d", quant.Q5_K: "939660bb9924d2ce", quant.Q6_K: "e7fcd6c976576e61",
		quant.Q5_1: "6ab4293c77639862", quant.Q4_1: "e2e9d3af1c312d17", quant.IQ4_NL: "ed3de155bfca5bcf",
		quant.IQ4_XS: "ff8fc07421975a81", quant.IQ3_S: "5c2c0b4ed48e48f6", quant.IQ3_XXS: "10e9dd9c90f90305",
		quant.IQ2_S: "37940fde04e7c5f9", quant.IQ2_XS: "a326efaa357f371d", quant.IQ2_XXS: "83c7f2e958000d76",
		quant.IQ1_M: "d61b5ec5ad995f18", quant.IQ1_S: "f834f3c788cb12a1",
	}
	if LayoutVersion != version {
		t.Errorf("LayoutVersion is %d, the sums here are of %d", LayoutVersion, version)
	}
	eachTier(t, func(t *testing.T) {
		for _, typ := range quant.Types() {
			m := packed(t, typ, 70, 512, randomRows(rand.New(rand.NewPCG(3, 14)), typ, 70, 512))
			sum := sha256.Sum256(m.data)
			if got := hex.EncodeToString(sum[:8]); got != sums[typ] {
				t.Errorf("%v: packed bytes have the sum %q, want %q", typ, got, sums[typ])
			}
		}
	})
}

// TestReadsLayout: the second layout differs from this one in four K formats alone, the first in grids, too.
func TestReadsLayout(t *testing.T) {
	moved := []quant.Type{quant.Q2_K, quant.Q3_K, quant.Q5_K, quant.Q6_K}
	for _, typ := range quant.Types() {
		same := !slices.Contains(moved, typ)
		if got := ReadsLayout(2, typ); got != same {
			t.Errorf("%v of layout 2 is read: %v", typ, got)
		}
		if got := ReadsLayout(1, typ); got != (same && quant.Grid(typ) == nil) {
			t.Errorf("%v of layout 1 is read: %v", typ, got)
		}
		if !ReadsLayout(LayoutVersion, typ) || ReadsLayout(LayoutVersion+1, typ) || ReadsLayout(0, typ) {
			t.Errorf("%v: not this layout and no other is read", typ)
		}
	}
}

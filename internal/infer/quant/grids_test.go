package quant

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"testing"
)

// TestGrids holds the grids to the SHA-256 sums of llama.cpp's tables (ggml-common.h, v0.5.0), vector by vector in
// little endian; those of the 1-bit formats have −1, 0 and 1 there.
func TestGrids(t *testing.T) {
	words := func(grid []uint32) (b []byte) {
		for _, v := range grid {
			b = binary.LittleEndian.AppendUint32(b, v^0x80808080)
		}
		return b
	}
	vectors := func(grid []uint64) (b []byte) {
		for _, v := range grid {
			b = binary.LittleEndian.AppendUint64(b, v^0x8080808080808080)
		}
		return b
	}
	ternary := vectors(gridIQ1[:])
	for i, v := range ternary {
		ternary[i] = byte(int8(v) / 8)
	}
	for _, g := range []struct {
		name, sum string
		data      []byte
	}{
		{"iq2xxs", "05826b5d3e472a3a78f196be62ac78acf81df0f909626e12ab9fa2a5d490dd54", vectors(gridIQ2XXS[:])},
		{"iq2xs", "06e47aaca60b4dc1d9b5a3f34540437058a6b142b4d7a59d5ded769b4d1bf1de", vectors(gridIQ2XS[:])},
		{"iq2s", "e1aa1473412b0552c2174c30ef22ab4073f6a181b85a17056e8249bd2932fd88", vectors(gridIQ2S[:])},
		{"iq3xxs", "46e35f5a997efdee6c99ce57854c8a0d4f0ff8ca57e5e8a60c0793ea580acf5d", words(gridIQ3XXS[:])},
		{"iq3s", "bd1af4945a1717c65610b0284e4628b9a1ba3b306fae3a06f6e5f597356e349f", words(gridIQ3S[:])},
		{"iq1s", "07540ffc1aeaf6ad4d97e96b0fcc765aae39671d4ae4a27bbd0e796fde167c6a", ternary},
	} {
		if sum := sha256.Sum256(g.data); hex.EncodeToString(sum[:]) != g.sum {
			t.Errorf("%s: sum %x, want %s", g.name, sum, g.sum)
		}
	}
	if bits := len(gridData) * 8; bits != (256+512+1024+2048)*16+(256+512)*12 {
		t.Errorf("the grids' file has %d bits", bits)
	}
}

package kernel

import (
	"testing"
	"unsafe"
)

// TestTileLayout holds type tile to the offsets that _asm/zmm.go has.
func TestTileLayout(t *testing.T) {
	var a tile
	for _, c := range []struct {
		name      string
		got, want uintptr
	}{
		{"w", unsafe.Offsetof(a.w), 0}, {"blocks", unsafe.Offsetof(a.blocks), 8},
		{"panels", unsafe.Offsetof(a.panels), 16},
		{"unit", unsafe.Offsetof(a.unit), 24}, {"cols", unsafe.Offsetof(a.cols), 28},
		{"buf", unsafe.Offsetof(a.buf), 32},
		{"groups", unsafe.Offsetof(a.groups), 64}, {"x", unsafe.Offsetof(a.x), 88},
		{"y", unsafe.Offsetof(a.y), 88 + 8*tileCols*maxGroups},
		{"ahead", unsafe.Offsetof(a.ahead), 88 + 16*tileCols*maxGroups},
		{"once", unsafe.Offsetof(a.once), 96 + 16*tileCols*maxGroups},
		{"all", unsafe.Sizeof(a), 120 + 16*tileCols*maxGroups},
		{"buffer", unsafe.Sizeof(tileBuffer{}), 20480},
	} {
		if c.got != c.want {
			t.Errorf("%s is at %d, the assembly has it at %d", c.name, c.got, c.want)
		}
	}
	outer := uintptr(maxGroups * tileCols * panelRows * 4)
	for name, need := range map[string]uintptr{"AVX-512": 3200 + outer + 1024 + 8192,
		"AVX2": outer + 16*128 + 8*128 + 2*128 + 384 + 8192 + 8} {
		if need > unsafe.Sizeof(tileBuffer{}) {
			t.Errorf("%s needs %d bytes of buffer", name, need)
		}
	}
}

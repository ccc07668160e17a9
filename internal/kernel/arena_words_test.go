package kernel

import "testing"

func TestArenaWords(t *testing.T) {
	a, err := NewArena(2 * ArenaSize(200))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	x, y := a.Words(100), a.Words(100)
	for i := range x {
		x[i] = 0xffff
	}
	for i, v := range y {
		if v != 0 {
			t.Fatalf("word %d of the next piece is %#x", i, v)
		}
	}
	if len(x) != 100 || len(a.Words(0)) != 0 || a.Used() != 2*ArenaSize(200) {
		t.Errorf("%d words, %d bytes used", len(x), a.Used())
	}
}

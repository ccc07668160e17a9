package kernel

import (
	"os"
	"testing"
)

// TestResident: pages are in memory once they are written, and a page that begins before a stretch is none of it.
func TestResident(t *testing.T) {
	page := os.Getpagesize()
	b, err := mapBytes(4 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer unmapBytes(b)
	if n := Resident(b); n != 0 {
		t.Fatalf("%d bytes before anything was written", n)
	}
	b[0] = 1
	first := Resident(b) // one page, or one huge page
	if first < int64(page) || first > 2<<20 {
		t.Errorf("%d bytes after one was written", first)
	}
	for i := 0; i < len(b); i += page {
		b[i] = 1
	}
	for from, want := range map[int]int64{0: 4 << 20, 1: 4<<20 - int64(page), page: 4<<20 - int64(page), len(b) - 1: 0, len(b): 0} {
		if n := Resident(b[from:]); n != want {
			t.Errorf("%d bytes from %d on, want %d", n, from, want)
		}
	}
	if n := Resident(nil); n != 0 {
		t.Errorf("%d bytes of nothing", n)
	}
}

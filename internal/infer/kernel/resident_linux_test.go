package kernel

import (
	"os"
	"testing"
)

// TestResident: pages are in memory once they are written, and of those at a stretch's ends what lies in it counts.
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
	for _, from := range []int{0, 1, page - 1, page, page + 1, len(b) - page - 1, len(b) - 1, len(b)} {
		for _, end := range []int{from, from + 1, from + page, len(b) - 1, len(b)} {
			if end < from || end > len(b) {
				continue
			}
			if n := Resident(b[from:end]); n != int64(end-from) {
				t.Errorf("%d bytes from %d to %d", n, from, end)
			}
		}
	}
	if n := Resident(nil); n != 0 {
		t.Errorf("%d bytes of nothing", n)
	}
}

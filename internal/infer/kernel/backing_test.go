package kernel

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
)

// TestBacking: what huge pages cost decides whether more are asked for.
func TestBacking(t *testing.T) {
	const piece = hugePage / 8
	for name, c := range map[string]struct {
		page  func(i int) time.Duration // what the i-th huge page takes
		pages int
		most  time.Duration // spent before it is given up; 0: never
	}{
		"free memory at hand":    {func(int) time.Duration { return 150 * time.Microsecond }, 7500, 0},
		"beside another process": {func(int) time.Duration { return 700 * time.Microsecond }, 7500, 0},
		"one dear page": {func(i int) time.Duration {
			return map[bool]time.Duration{i == 0: 30 * time.Millisecond}[true]
		}, 600, 0},
		"none at hand": {func(int) time.Duration { return 6 * time.Millisecond }, 600,
			60 * time.Millisecond},
		"none at hand after the first": {func(i int) time.Duration {
			return 150*time.Microsecond +
				time.Duration(i/300)*6*time.Millisecond
		}, 600, 450 * time.Millisecond},
	} {
		var b backing
		var spent time.Duration
		gaveUp := false
		for i := 0; i < c.pages && !gaveUp; i++ {
			for k := range hugePage / piece { // the first to touch a page waits for it
				took := time.Microsecond
				if k == 0 {
					took += c.page(i)
				}
				spent += took
				gaveUp = b.note(piece, took) || gaveUp
			}
		}
		if gaveUp != (c.most > 0) || gaveUp && spent > c.most {
			t.Errorf("%s: gave up: %v, after %v", name, gaveUp, spent)
		}
	}
}

// TestJoining: every page is tried once, with rests of three times the work at least, unless there is no memory for
// any.
func TestJoining(t *testing.T) {
	property.Check(t, func(r *rapid.T) {
		bytes := rapid.IntRange(0, 40*joinPiece/hugePage).Draw(r, "pages") * hugePage
		threshold := rapid.IntRange(0, 9).Draw(r, "threshold")
		j := joining{left: bytes, piece: joinPiece}
		row, tried := 0, 0
		for n := j.next(); n > 0; n = j.next() {
			if n > joinPiece || n%hugePage != 0 {
				r.Fatalf("a piece of %d bytes", n)
			}
			tried += n
			ok := rapid.IntRange(0, 9).Draw(r, "outcome") < threshold
			if row++; ok {
				row = 0
			}
			took := time.Duration(rapid.IntRange(0, 1e7).Draw(r, "took"))
			if rest := j.done(took, ok); rest < joinShare*took {
				r.Fatalf("a rest of %v after %v", rest, took)
			}
		}
		if tried != bytes && row != joinFails || row > joinFails {
			r.Fatalf("%d of %d bytes tried, %d failures at the end", tried, bytes, row)
		}
	})
}

// TestJoin: what was written before stays while small pages are joined, and Close ends that whenever it comes.
func TestJoin(t *testing.T) {
	for _, settle := range []bool{false, true} {
		a, err := NewArena(16 << 20)
		if err != nil {
			t.Fatal(err)
		}
		b := a.Alloc(15 << 20)
		a.Back(b[:1<<20])
		a.backing.note(1, time.Hour)
		a.Back(b[1<<20 : 3<<20])
		if populate(b[:1]) != a.small {
			t.Errorf("given up: %v", a.small)
		}
		for i := range b {
			b[i] = byte(i * i >> 9)
		}
		a.Join()
		a.Join()
		if settle {
			a.Settle()
		}
		for i := range b {
			if b[i] != byte(i*i>>9) {
				t.Fatalf("byte %d has changed", i)
			}
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
	a, err := NewArena(1)
	if err != nil {
		t.Fatal(err)
	}
	a.Back(a.Alloc(0))
	a.Join()
	a.Settle()
	if a.small || a.stop != nil {
		t.Error("joins what is not small")
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

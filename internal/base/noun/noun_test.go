package noun

import "testing"

// TestOf: only one thing is in the singular.
func TestOf(t *testing.T) {
	for n, want := range map[int]string{0: "0 entries", 1: "1 entry", 2: "2 entries", -1: "-1 entries",
		1234: "1234 entries"} {
		if got := Of(n, "entry", "entries"); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
	if got := For(1.5, "core", "cores"); got != "cores" {
		t.Errorf("1.5: %q", got)
	}
}

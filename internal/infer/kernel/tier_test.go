package kernel

import (
	"slices"
	"testing"
)

func TestForceTier(t *testing.T) {
	was := Tier()
	for _, name := range Tiers() {
		restore, err := ForceTier(name)
		if err != nil || Tier() != name {
			t.Fatalf("ForceTier(%q): %v, tier is %q", name, err, Tier())
		}
		restore()
		if Tier() != was {
			t.Fatalf("tier %q after restore, was %q", Tier(), was)
		}
	}
	for _, name := range []string{"", "sse9"} {
		if _, err := ForceTier(name); err == nil {
			t.Errorf("ForceTier(%q) worked", name)
		}
	}
	if Tiers()[0] != "generic" {
		t.Errorf("tiers are %v, want generic first", Tiers())
	}
}

// TestStartTier: the environment's wish is taken if the machine can, and never leads to an illegal instruction.
func TestStartTier(t *testing.T) {
	if got := startTier(""); got != bestTier() {
		t.Errorf("no wish: tier %d, want the best, %d", got, bestTier())
	}
	for i, name := range tierNames {
		want := tierGeneric
		if slices.Contains(Tiers(), name) {
			want = i
		}
		if got := startTier(name); got != want {
			t.Errorf("wish %q: tier %d, want %d", name, got, want)
		}
	}
	if got := startTier("quantum"); got != tierGeneric {
		t.Errorf("unknown wish: tier %d, want generic", got)
	}
}

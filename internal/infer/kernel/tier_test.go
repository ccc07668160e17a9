package kernel

import (
	"reflect"
	"slices"
	"strings"
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
	best := Tiers()[len(Tiers())-1]
	for wish, want := range map[string]string{"": best, "quantum": "generic"} {
		if got := startTier(wish); got.name != want {
			t.Errorf("wish %q: tier %q, want %q", wish, got.name, want)
		}
	}
	for _, name := range []string{"generic", "avx2", "avxvnni", "avx512", "neon"} {
		want := "generic"
		if slices.Contains(Tiers(), name) {
			want = name
		}
		if got := startTier(name); got.name != want {
			t.Errorf("wish %q: tier %q, want %q", name, got.name, want)
		}
	}
}

// TestTiersComplete: no tier lacks a kernel.
func TestTiersComplete(t *testing.T) {
	for _, tier := range tiers() {
		v := reflect.ValueOf(*tier)
		for i := range v.NumField() {
			f, name := v.Field(i), v.Type().Field(i).Name
			optional := name == "search" || name == "spreading" ||
				!tier.direct(&KV{HeadDim: 16}) && strings.HasSuffix(name, "Direct")
			if f.IsZero() && !optional {
				t.Errorf("tier %s has no %s", tier.name, name)
			}
		}
	}
}

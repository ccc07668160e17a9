package kernel

import (
	"fmt"
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

// TestStartTier: the environment's wish is taken if the machine can. One that is unknown, or beyond this machine,
// never leads to an illegal instruction, nor to a slow tier without a word.
func TestStartTier(t *testing.T) {
	best := Tiers()[len(Tiers())-1]
	for _, wish := range []string{"", "quantum", "AVX2", "generic", "avx2", "avxvnni", "avx512", "neon",
		"neon-dotprod", "neon-i8mm"} {
		want, refused := wish, ""
		if !slices.Contains(Tiers(), wish) {
			want = best
		}
		if want != wish && wish != "" {
			refused = fmt.Sprintf("MIXTRAL_CPU_TIER must be one of %s on this machine, got %q; using %s",
				strings.Join(Tiers(), ", "), wish, best)
		}
		got, err := startTier(wish)
		if got.name != want || (err == nil) != (refused == "") || err != nil && err.Error() != refused {
			t.Errorf("wish %q: tier %q, want %q; error %v, want %q", wish, got.name, want, err, refused)
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

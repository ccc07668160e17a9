package tiertest

import (
	"errors"
	"slices"
	"testing"
)

// fake is a package's tests on a machine of three tiers.
type fake struct {
	t      *testing.T
	tier   string
	on     []string // the tiers on which it was run
	fails  string   // on this tier
	silent string   // on this tier its TestTier does not run
}

func (f *fake) Run() int {
	f.on = append(f.on, f.tier)
	if f.tier != f.silent {
		Ran(f.t, f.tier)
	}
	if f.tier == f.fails {
		return 1
	}
	return 0
}

func (f *fake) use(tier string) (func(), error) {
	if tier == "none" {
		return nil, errors.New("no such tier")
	}
	old := f.tier
	f.tier = tier
	return func() { f.tier = old }, nil
}

func TestSelected(t *testing.T) {
	all := []string{"generic", "fast", "faster"}
	for names, want := range map[string][]string{"": all, "fast": {"fast"}, "generic,faster": {"generic", "faster"}} {
		if got, err := selected(names, all); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v; want %q", names, got, err, want)
		}
	}
	for _, names := range []string{"fastest", "fast,", "fast,,faster", ","} {
		if got, err := selected(names, all); err == nil {
			t.Errorf("%q is %q", names, got)
		}
	}
}

func TestEvery(t *testing.T) {
	if given("test.run") || given("test.skip") {
		t.Skip("with selected tests nothing is counted")
	}
	all := []string{"generic", "fast", "faster"}
	for _, test := range []struct {
		name  string
		f     fake
		tiers []string
		on    []string
		code  int
	}{
		{"all", fake{}, all, all, 0},
		{"a failure on the lowest", fake{fails: "generic"}, all, all, 1},
		{"a failure in the middle", fake{fails: "fast"}, all, all, 1},
		{"the best did not run", fake{silent: "faster"}, all, all, 1},
		{"the lowest did not run", fake{silent: "generic"}, all, all, 1},
		{"no tiers", fake{}, nil, nil, 1},
		{"an unknown tier", fake{}, []string{"generic", "none", "fast"}, []string{"generic"}, 1},
	} {
		test.f.t, test.f.tier = t, "best"
		code := Every(&test.f, test.tiers, test.f.use).Run()
		if code != test.code || !slices.Equal(test.f.on, test.on) {
			t.Errorf("%s: code %d on %q, want %d on %q", test.name, code, test.f.on, test.code, test.on)
		}
		if test.f.tier != "best" {
			t.Errorf("%s: left on tier %s", test.name, test.f.tier)
		}
	}
}

package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"mixtral": main})
}

// TestScripts runs testdata/script/*.txtar against the command.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			// The caches of a test must not meet those of a user.
			env.Setenv("XDG_CACHE_HOME", env.WorkDir+"/cache")
			if tier := os.Getenv("MIXTRAL_CPU_TIER"); tier != "" {
				env.Setenv("MIXTRAL_CPU_TIER", tier)
			}
			return nil
		},
	})
}

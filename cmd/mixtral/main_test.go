package main

import (
	"os"
	"regexp"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"mixtral": main})
}

// TestScripts runs testdata/script/*.txtar against the command.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:  "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"capture": capture},
		Setup: func(env *testscript.Env) error {
			// The caches and the database of a test must not meet those of a user.
			env.Setenv("XDG_CACHE_HOME", env.WorkDir+"/cache")
			env.Setenv("XDG_DATA_HOME", env.WorkDir+"/data")
			if tier := os.Getenv("MIXTRAL_CPU_TIER"); tier != "" {
				env.Setenv("MIXTRAL_CPU_TIER", tier)
			}
			return nil
		},
	})
}

// capture NAME PATTERN keeps what the pattern's group matches in the standard output of the last command.
func capture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: capture NAME PATTERN")
	}
	m := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(m) != 2 {
		ts.Fatalf("%s is not in standard output", args[1])
	}
	ts.Setenv(args[0], m[1])
}

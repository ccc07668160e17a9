package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hxp-enterprise/mixtral/internal/certify/remote"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"mixtral": patientMain})
}

// silenceEnv says after how long a silence the two ends of a run with generators give each other up.
const silenceEnv = "TEST_SILENCE"

// patientMain is main with more patience, so that a run does not end as one that lost a generator only because a
// process got no processor time for some seconds.
func patientMain() {
	remote.Silence = llmtest.Limit
	if d, err := time.ParseDuration(os.Getenv(silenceEnv)); err == nil {
		remote.Silence = d
	}
	main()
}

// TestScripts runs testdata/script/*.txtar against the command.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:  "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"capture": capture, "browse": browse},
		Setup: func(env *testscript.Env) error {
			// The caches and the database of a test must be separate from those of the user.
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

// browse FILE PATH [KEY=VALUE ...] PATTERN requests a page of the console whose address is in FILE until it matches
// the pattern, and prints it. With KEY=VALUE, it first sends these once as a form.
func browse(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: browse FILE PATH [KEY=VALUE ...] PATTERN")
	}
	address := regexp.MustCompile(`http://[0-9.:]+`)
	pattern := regexp.MustCompile(args[len(args)-1])
	end := time.Now().Add(time.Minute)
	wait := func(what string) {
		if time.Now().After(end) {
			ts.Fatalf("%s: %s never came", args[1], what)
		}
		time.Sleep(50 * time.Millisecond)
	}
	var base string
	for base == "" {
		data, _ := os.ReadFile(ts.MkAbs(args[0])) // it will be written soon
		if base = address.FindString(string(data)); base == "" {
			wait("an address in " + args[0])
		}
	}
	form := url.Values{}
	for _, pair := range args[2 : len(args)-1] {
		key, value, _ := strings.Cut(pair, "=")
		form.Add(key, value)
	}
	if len(form) > 0 {
		res, err := http.PostForm(base+args[1], form)
		ts.Check(err)
		res.Body.Close()
	}
	for {
		res, err := http.Get(base + args[1])
		ts.Check(err)
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		ts.Check(err)
		if pattern.Match(body) {
			fmt.Fprint(ts.Stdout(), string(body))
			return
		}
		wait(args[len(args)-1])
	}
}

package console

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// program is what a test's Starter runs: it prints its arguments, and does what the last one says.
func program(args []string) int {
	fmt.Printf("%q\n", args)
	fmt.Println(os.Getenv("SECRET_API_KEY") != "", "\x1b[31mred\x07")
	switch args[len(args)-1] {
	case "fail":
		return 1
	case "chatter":
		for i := range 20_000 {
			fmt.Printf("line %d of a program that says much\n", i)
		}
	case "wait":
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM)
		fmt.Println("ready to be stopped")
		<-stop
		fmt.Println("stopped in order")
		return 130
	}
	return 0
}

func starter(t *testing.T) *Starter {
	t.Helper()
	return &Starter{Program: os.Args[0], Env: append(os.Environ(), asProgram+"=1", "SECRET_API_KEY=s3cret"),
		KeyEnvs: []string{"SECRET_API_KEY"}}
}

func ended(t *testing.T, s *Starter) ChildState {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if st := s.State(); !st.Running {
			return st
		}
		if time.Now().After(end) {
			t.Fatal("the run does not end")
		}
	}
}

// TestStarter: there is one run at a time, with its last output and its exit code; a stop is a signal, and the run
// ends properly.
func TestStarter(t *testing.T) {
	s := starter(t)
	if st := s.State(); st.Any {
		t.Errorf("before any run: %+v", st)
	}
	for arg, want := range map[string]int{"fail": 1, "pass": 0} {
		if err := s.Run([]string{"certify", "--target=a b'c", arg}); err != nil {
			t.Fatal(err)
		}
		st := ended(t, s)
		if st.Code != want || st.Says == "" || st.Command != `mixtral certify '--target=a b'\''c' `+arg ||
			!strings.Contains(st.Output, `["certify" "--target=a b'c" "`+arg+`"]`) ||
			!strings.Contains(st.Output, "true [31mred\n") {
			t.Errorf("%s: %+v", arg, st)
		}
	}
	if err := s.Run([]string{"chatter"}); err != nil {
		t.Fatal(err)
	}
	if st := ended(t, s); len(st.Output) > shownOutput || !strings.HasSuffix(st.Output,
		"line 19999 of a program that "+
			"says much\n") {
		t.Errorf("%d bytes of output: …%q", len(st.Output), st.Output[max(0, len(st.Output)-60):])
	}
	if err := s.Run([]string{"wait"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Run([]string{"pass"}); !errors.Is(err, ErrBusy) {
		t.Errorf("a second run beside the first gave %v", err)
	}
	for !strings.Contains(s.State().Output, "ready to be stopped") {
		time.Sleep(10 * time.Millisecond)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if st := s.State(); st.Running || st.Code != 130 {
		t.Errorf("after the end: %+v", st)
	}
	bad := &Starter{Program: filepath.Join(t.TempDir(), "none")}
	if err := bad.Run(nil); err == nil || bad.State().Any {
		t.Errorf("a program that is not there: %v", err)
	}
}

// TestForm: each value of a form becomes one argument, whatever it contains, or an error that names the field.
func TestForm(t *testing.T) {
	keys := []string{"SECRET_API_KEY"}
	for _, tt := range []struct {
		form Form
		want []string
		err  string
	}{
		{Form{}, []string{"certify"}, ""},
		{Form{Case: "TC-X", Profile: "full", Target: "http://h:1", TargetModel: "m", KeyEnv: "SECRET_API_KEY",
			Seed:  "-7",
			Sweep: "rate=1..64", SweepStep: "5s", Against: "abcd", SLO: []string{"ttft:p99<2s"},
			Set: []string{"a=b", "c=d e"}},
			[]string{"certify", "--profile=full", "--target=http://h:1", "--target-model=m",
				"--api-key-env=SECRET_API_KEY",
				"--slo=ttft:p99<2s", "--set=a=b", "--set=c=d e", "--sweep=rate=1..64", "--sweep-step=5s",
				"--against=abcd",
				"--seed=-7", "TC-X"}, ""},
		{Form{Model: "--help; rm -rf / $(id) `id` | x > y"}, []string{"certify",
			"--model=--help; rm -rf / $(id) `id` | x > y"}, ""},
		{Form{Profile: "quick", SweepStep: "5s"}, []string{"certify"}, ""},
		{Form{Case: "--sign-key=/etc/passwd"}, nil, "case: must be a built-in case"},
		{Form{Case: "a\nb"}, nil, "case: must be one line"},
		{Form{Model: "a\x00b"}, nil, "model: must be one line"},
		{Form{Target: "file:///etc/passwd"}, nil, "target: must begin with http://"},
		{Form{Target: "http://h", Model: "demo"}, nil, "either a target or a model"},
		{Form{KeyEnv: "HOME"}, nil, `got "HOME"; variables: `},
		{Form{Sweep: "x"}, nil, "sweep: must be rate or concurrency"},
		{Form{SweepStep: "long"}, nil, "step: must be a time"},
		{Form{Seed: "x"}, nil, "seed: must be a whole number"},
		{Form{Against: strings.Repeat("x", 2001)}, nil, "against: at most 2000 bytes"},
		{Form{Set: make([]string, 51)}, nil, "overrides: at most 50 lines"},
	} {
		got, err := tt.form.Args("reports", keys)
		switch {
		case tt.err != "":
			if !errors.Is(err, errForm) || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%+v: %v, want %q", tt.form, err, tt.err)
			}
		case err != nil || !slices.Equal(got, tt.want):
			t.Errorf("%+v: %q, %v", tt.form, got, err)
		}
	}
	if got, _ := (Form{}).Args("/var/x", nil); !slices.Equal(got, []string{"certify", "--report-dir=/var/x"}) {
		t.Errorf("another directory: %q", got)
	}
}

// TestStartByForm: the page shows the command, a refused form keeps what was typed, and a run is started and stopped.
func TestStartByForm(t *testing.T) {
	k := newConsole(t, Config{Dir: "reports", Start: starter(t)})
	if w := get(t, k, "/start?case=wait&target=http://h%3A1"); !strings.Contains(w.Body.String(),
		"mixtral certify --target=http://h:1 wait") {
		t.Errorf("the form shows no command:\n%s", w.Body)
	}
	if w := post(t, k, "/start/command", url.Values{"case": {"x"}}); w.Body.String() != "mixtral certify x" {
		t.Errorf("the command is %q", w.Body)
	}
	if w := post(t, k, "/start/command", url.Values{"case": {"-x"}}); w.Code != 422 {
		t.Errorf("a wrong form's command: status %d", w.Code)
	}
	w := post(t, k, "/start", url.Values{"case": {"-x"}, "target-model": {"kept"}})
	if w.Code != 422 || !strings.Contains(w.Body.String(), "case: must be") || !strings.Contains(w.Body.String(),
		"kept") {
		t.Errorf("a wrong form: status %d", w.Code)
	}
	for _, path := range []string{"/start", "/start/command"} {
		if w := post(t, k, path, url.Values{"case": {strings.Repeat("x", mostForm)}}); w.Code != 422 ||
			k.c.Start.State().Any {
			t.Errorf("%s with a form without end: status %d", path, w.Code)
		}
	}
	if w := post(t, k, "/start", url.Values{"case": {"wait"}}); w.Code != 303 {
		t.Fatalf("a form: status %d, %s", w.Code, w.Body)
	}
	if w := post(t, k, "/start", url.Values{"case": {"wait"}}); w.Code != 409 || !strings.Contains(w.Body.String(),
		"only one is allowed") {
		t.Errorf("a second run: status %d", w.Code)
	}
	for !strings.Contains(k.c.Start.State().Output, "ready to be stopped") {
		time.Sleep(10 * time.Millisecond)
	}
	if w := post(t, k, "/stop", nil); w.Code != 303 {
		t.Errorf("stop: status %d", w.Code)
	}
	if st := ended(t, k.c.Start); st.Code != 130 || !strings.Contains(st.Output, "stopped in order") {
		t.Errorf("after the stop: %+v", st)
	}
	if w := get(t, k, "/start"); !strings.Contains(w.Body.String(), "exit code 130, interrupted") {
		t.Errorf("the page does not say how it ended:\n%s", w.Body)
	}
}

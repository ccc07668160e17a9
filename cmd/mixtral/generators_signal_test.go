//go:build unix

package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	reports "github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/faults"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// signalCase has phases that a server can tell apart by their max_tokens.
const signalCase = `schema_version: 1
id: TC-SIGNAL
name: A run that is stopped
targets: {latency_ms: 60000}
limits: {issue_delay_ms: 10000}
profiles:
  quick:
    - {id: warmup, kind: warmup, concurrency: 2, requests: 40, max_s: 60, max_tokens: 3, prompts: [reasoning/simple]}
    - {id: load, kind: open, rps: 20, duration_s: %d, max_tokens: 5, prompts: [reasoning/simple]}
checks:
  - {id: latency, clause: fast, rule: mean_latency, phase: load}
`

// proofs is more than the number of requests in the form of the first phase that are sent before it begins.
const proofs = 20

// stages say how the server behaves, and how the test recognises that a run has reached the stage.
var stages = []struct {
	name   string
	mute   string // requests that it does not answer: "", "everything", "warmup" or "load"
	lasts  int    // seconds of load: more than a busy machine takes to notice that it has begun, where it must not end
	here   func(s *stagedServer) bool
	report bool // whether there is a report
}{
	{"before the start", "everything", 3, func(s *stagedServer) bool { return s.asked > 0 }, false},
	{"warm-up", "warmup", 3, func(s *stagedServer) bool { return s.warmup > proofs }, true},
	{"phase", "", 300, func(s *stagedServer) bool { return s.load > 5 }, true},
	{"last answers", "load", 3, func(s *stagedServer) bool {
		return s.load > 0 && time.Since(s.last) > time.Second
	}, true},
}

// TestSignalsStopGeneratorsToo: SIGTERM ends a run with generators at every stage as it ends a lone one, within a
// second on a machine at rest: with the same exit code, and with a report or without one. The generators wait for the
// next run, and end within a second too.
func TestSignalsStopGeneratorsToo(t *testing.T) {
	t.Parallel()
	for _, s := range stages {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			for _, n := range []int{0, 2} {
				server := newStagedServer(t, s.mute)
				generators, addresses := listening(t, n)
				dir := t.TempDir()
				writeSignalCase(t, dir, s.lasts)
				var log lockedBuffer
				cmd := exec.CommandContext(t.Context(), os.Args[0])
				cmd.Args = []string{"mixtral", "certify", filepath.Join(dir, "case.yaml"), "--target", server.URL,
					"--report-dir", filepath.Join(dir, "reports"), "--database-url", "none"}
				if n > 0 {
					cmd.Args = append(cmd.Args, "--generators", strings.Join(addresses, ","))
				}
				cmd.Stderr = &log
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				llmtest.Until(t, s.name, func() bool { return server.is(s.here) })
				stopped(t, cmd, exitInterrupted)
				files, _ := filepath.Glob(filepath.Join(dir, "reports", "*"+reports.JSONExt))
				if (len(files) == 1) != s.report {
					t.Fatalf("%d generators: reports %q\n%s", n, files, log.String())
				}
				if s.report {
					if rep, _, err := reports.ReadFile(files[0]); err != nil || rep.Status != reports.Invalid ||
						len(rep.Generators) != n {
						t.Errorf("%d generators: %+v, %v", n, rep, err)
					}
				}
				for _, g := range generators {
					stopped(t, g, exitOK)
				}
			}
		})
	}
}

// TestAGeneratorIsStopped: a generator ends within a second even during a run, and the run ends as one that lost it.
func TestAGeneratorIsStopped(t *testing.T) {
	t.Parallel()
	for _, s := range stages[1:] {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			server := newStagedServer(t, s.mute)
			generators, addresses := listening(t, 2)
			dir := t.TempDir()
			writeSignalCase(t, dir, s.lasts)
			var log lockedBuffer
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Args = []string{"mixtral", "certify", filepath.Join(dir, "case.yaml"), "--target", server.URL,
				"--report-dir", filepath.Join(dir, "reports"), "--database-url", "none", "--generators",
				strings.Join(addresses, ",")}
			cmd.Stderr = &log
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			llmtest.Until(t, s.name, func() bool { return server.is(s.here) })
			stopped(t, generators[1], exitOK)
			llmtest.Await(t, "the run", llmtest.Done(func() { _ = cmd.Wait() }))
			if code := cmd.ProcessState.ExitCode(); code != exitInvalid {
				t.Errorf("exit code %d\n%s", code, log.String())
			}
			stopped(t, generators[0], exitOK)
		})
	}
}

// writeSignalCase writes the case with so many seconds of load.
func writeSignalCase(t *testing.T, dir string, seconds int) {
	t.Helper()
	text := fmt.Appendf(nil, signalCase, seconds)
	if err := os.WriteFile(filepath.Join(dir, "case.yaml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// stagedServer is a server that leaves some of its requests unanswered.
type stagedServer struct {
	*httptest.Server
	mu                  sync.Mutex
	asked, warmup, load int
	last                time.Time // that a request of load came
}

func newStagedServer(t *testing.T, mute string) *stagedServer {
	t.Helper()
	bank := faults.New(faults.Config{TTFT: 2 * time.Millisecond, Gap: time.Millisecond})
	t.Cleanup(bank.Close)
	s := &stagedServer{}
	ended := make(chan struct{})
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		phase := s.count(body)
		switch {
		case mute == "everything":
			w.WriteHeader(http.StatusServiceUnavailable) // like a server that is starting
		case mute != "" && mute == phase:
			select {
			case <-r.Context().Done():
			case <-ended:
			}
		default:
			bank.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(ended) })
	return s
}

// count returns the phase of a request.
func (s *stagedServer) count(body []byte) (phase string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	switch {
	case bytes.Contains(body, []byte(`"max_tokens":3`)):
		if s.warmup++; s.warmup > proofs {
			return "warmup"
		}
	case bytes.Contains(body, []byte(`"max_tokens":5`)):
		s.load, s.last = s.load+1, time.Now()
		return "load"
	}
	return ""
}

func (s *stagedServer) is(here func(*stagedServer) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return here(s)
}

// listening starts generators.
func listening(t *testing.T, n int) (all []*exec.Cmd, addresses []string) {
	t.Helper()
	for range n {
		var log lockedBuffer
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Args = []string{"mixtral", "generate", "--listen", "127.0.0.1:0"}
		cmd.Stderr = &log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		at := regexp.MustCompile(`listens on (\S+)`)
		llmtest.Until(t, "a generator", func() bool { return at.MatchString(log.String()) })
		all, addresses = append(all, cmd), append(addresses, at.FindStringSubmatch(log.String())[1])
	}
	return all, addresses
}

// stopped sends SIGTERM and waits for the end.
func stopped(t *testing.T, cmd *exec.Cmd, code int) {
	t.Helper()
	begun := time.Now()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	llmtest.Await(t, cmd.String(), llmtest.Done(func() { _ = cmd.Wait() })) // a second on a machine at rest
	t.Logf("%s ended %s after the signal", cmd.Args[1], time.Since(begun).Round(time.Millisecond))
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("%s: exit code %d, want %d", cmd.Args[1], got, code)
	}
}

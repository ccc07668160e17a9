//go:build unix

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	reports "github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/faults"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// ends waits for a command's end, which must come soon after a signal: within a second, and a few more on a machine
// that others use too.
func ends(t *testing.T, cmd *exec.Cmd, sig os.Signal) {
	t.Helper()
	if err := cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	llmtest.Await(t, cmd.String(), llmtest.Done(func() { _ = cmd.Wait() }))
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("%s: it took %s to end", sig, took)
	}
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted {
		t.Errorf("%s: exit code %d, want %d", sig, code, exitInterrupted)
	}
}

// TestCertifyLeavesAReportWhenItIsStopped: a terminal that is closed stops a run like Ctrl-C does, and what was
// measured until then has its report.
func TestCertifyLeavesAReportWhenItIsStopped(t *testing.T) {
	t.Parallel()
	// Under nohup a hangup is ignored, here and in every process that begins here; one that is listened to is not.
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGHUP)
	for _, sig := range []os.Signal{syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			bank := faults.New(faults.Config{TTFT: 10 * time.Millisecond, Gap: time.Millisecond})
			defer bank.Close()
			server := httptest.NewServer(bank)
			defer server.Close()
			dir := t.TempDir()
			var stderr bytes.Buffer
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Args = []string{"mixtral", "certify", "--target", server.URL, "--report-dir", dir,
				"--database-url", "none"}
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			measured := func() bool { // a phase has ended
				files, _ := filepath.Glob(filepath.Join(dir, "*.part"))
				n := 0
				for _, f := range files {
					_, _ = evidence.ScanFile(f, func(e *evidence.Event) error {
						if e.Phase != nil {
							n++
						}
						return nil
					})
				}
				return n > 0
			}
			llmtest.Until(t, "the first phase", measured)
			ends(t, cmd, sig)
			files, _ := filepath.Glob(filepath.Join(dir, "*"+reports.JSONExt))
			if len(files) != 1 {
				t.Fatalf("reports %q; %s", files, stderr.String())
			}
			rep, _, err := reports.ReadFile(files[0])
			if err != nil || rep.Status != reports.Invalid || len(rep.Phases) == 0 {
				t.Errorf("%+v, %v", rep, err)
			}
		})
	}
}

// TestASecondSignalEndsAtOnce: the first one lets the run send its last traces, which nobody takes here; the second
// one does not wait for that. The record is left as far as it goes, and can be judged.
func TestASecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGHUP)
	for _, second := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(second.String(), func(t *testing.T) {
			t.Parallel()
			bank := faults.New(faults.Config{TTFT: 10 * time.Millisecond, Gap: time.Millisecond})
			defer bank.Close()
			server := httptest.NewServer(bank)
			defer server.Close()
			hole, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and never answers
			if err != nil {
				t.Fatal(err)
			}
			defer hole.Close()
			dir := t.TempDir()
			var stderr lockedBuffer
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Args = []string{"mixtral", "certify", "--target", server.URL, "--report-dir", dir, "--database-url",
				"none", "--tracing-url", "http://" + hole.Addr().String()}
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			llmtest.Until(t, "a request", func() bool { return strings.Contains(stderr.String(), "warmup") })
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			time.Sleep(200 * time.Millisecond) // two that come at the same moment are one
			ends(t, cmd, second)
			if !strings.Contains(stderr.String(), "second signal") {
				t.Errorf("it ended by itself: %s", stderr.String())
			}
			files, _ := filepath.Glob(filepath.Join(dir, "*"+reports.EventsExt+"*"))
			if len(files) != 1 {
				t.Fatalf("records %q", files)
			}
			events := 0
			count := func(*evidence.Event) error {
				events++
				return nil
			}
			if _, err := evidence.ScanFile(files[0], count); err != nil || events == 0 {
				t.Errorf("%d events, %v", events, err)
			}
		})
	}
}

// TestASignalEndsTheJudge: also while a large record is read, and while records are joined, of which nothing is left
// then.
func TestASignalEndsTheJudge(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "large"+reports.EventsExt)
	w, err := evidence.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := testcases.Load("TC-L1-COMP-MIXTRAL-003")
	if err != nil {
		t.Fatal(err)
	}
	header := evidence.Header{SchemaVersion: evidence.SchemaVersion, Profile: "full", Case: loaded.Case, Run: "x",
		Generators: []evidence.Generator{{}}}
	compared := &evidence.Comparison{Generator: 1, Error: 1, RoundTrip: 2, Exchanges: 1}
	if err := errors.Join(w.Add(evidence.Event{Header: &header}),
		w.Add(evidence.Event{Comparison: compared})); err != nil {
		t.Fatal(err)
	}
	for i := range 150_000 { // seconds of work
		at := int64(i) * 20_000_000
		if err := w.Add(evidence.Event{At: at, Request: &evidence.Request{Phase: "sustained", N: i, Scheduled: at,
			Issued: at + 1000, Done: at + 5_000_000, Detail: fmt.Sprint(i), Gaps: make([]int32, 20)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	header.Generator = 1
	part := filepath.Join(t.TempDir(), "part"+reports.EventsExt)
	if w, err = evidence.Create(part); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Add(evidence.Event{Header: &header}), w.Close()); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "merged")
	for _, c := range []struct {
		args  []string
		begun func() bool
	}{
		{[]string{"report", "show", path}, nil},
		{[]string{"report", "merge", path, part, "--report-dir", out}, nil},
		{[]string{"report", "merge", path, part, "--report-dir", out}, func() bool { // it writes
			files, _ := filepath.Glob(filepath.Join(out, "*"))
			return len(files) > 0
		}},
	} {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Args = append([]string{"mixtral"}, c.args...)
		cmd.Stderr = t.Output()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if c.begun == nil {
			time.Sleep(400 * time.Millisecond) // it has begun to read
		} else {
			llmtest.Until(t, "the merged record", c.begun)
		}
		ends(t, cmd, syscall.SIGTERM)
		if files, _ := filepath.Glob(filepath.Join(out, "*")); len(files) > 0 {
			t.Errorf("%s leaves %q", strings.Join(c.args[:2], " "), files)
		}
	}
}

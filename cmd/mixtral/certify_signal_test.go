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
	"runtime"
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

// ends waits for a command's end, which must come soon after a signal: within a second on an idle machine, and within
// the limit of every wait on a busy one.
func ends(t *testing.T, cmd *exec.Cmd, sig os.Signal) {
	t.Helper()
	if err := cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	llmtest.Await(t, cmd.String(), llmtest.Done(func() { _ = cmd.Wait() }))
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted {
		t.Errorf("%s: exit code %d, want %d", sig, code, exitInterrupted)
	}
}

// TestCertifyLeavesAReportWhenItIsStopped: closing the terminal stops a run like Ctrl-C, and leaves a report of what
// was measured until then.
func TestCertifyLeavesAReportWhenItIsStopped(t *testing.T) {
	t.Parallel()
	// With nohup a hangup is ignored, here and in every process that starts here; a signal that a handler waits for is
	// not.
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

// TestASecondSignalEndsAtOnce: the first one lets the run send its last traces, which nobody takes here, and print its
// report, which nobody reads: it cannot end by itself. The second one does not wait for that. The record is left as
// far as it goes, and can be judged.
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
			hole, err := net.Listen("tcp", "127.0.0.1:0") // accepts connections and never answers
			if err != nil {
				t.Fatal(err)
			}
			defer hole.Close()
			dir := t.TempDir()
			var stderr lockedBuffer
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Args = []string{"mixtral", "certify", "--target", server.URL, "--report-dir", dir, "--database-url",
				"none", "--tracing-url", "http://" + hole.Addr().String()}
			cmd.Stdout, cmd.Stderr = fullPipe(t), &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			llmtest.Until(t, "a request", func() bool { return strings.Contains(stderr.String(), "warmup") })
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			// Two signals at the same moment count as one: the first has arrived when the record is closed.
			llmtest.Until(t, "the end of the record", func() bool {
				files, _ := filepath.Glob(filepath.Join(dir, "*"+reports.EventsExt))
				return len(files) > 0
			})
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

// fullPipe is a pipe that nobody reads: every write to it waits.
func fullPipe(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	for n := 0; n == 0; { // the deadline may have passed before anything was written
		if err := w.SetWriteDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		n, err = w.Write(make([]byte, 8<<20))
		if !errors.Is(err, os.ErrDeadlineExceeded) { // pipes hold 1 MiB at most
			t.Fatal(err)
		}
	}
	return w
}

// TestASignalEndsTheJudge: a signal also ends the reading of a large record, and the merging of records, which then
// leaves nothing.
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
		begun func(pid int) bool
	}{
		{[]string{"report", "show", path}, func(pid int) bool { return reads(pid, path) }},
		{[]string{"report", "merge", path, part, "--report-dir", out}, func(pid int) bool { return reads(pid, path) }},
		{[]string{"report", "merge", path, part, "--report-dir", out}, func(int) bool { // it writes
			files, _ := filepath.Glob(filepath.Join(out, "*"))
			return len(files) > 0
		}},
	} {
		for tries := 1; !endsEarly(t, c.args, c.begun); tries++ {
			if tries == 10 { // the other process always finishes before this test gets a turn
				t.Fatalf("%s was done %d times before it could be told to stop", strings.Join(c.args[:2], " "), tries)
			}
			if err := os.RemoveAll(out); err != nil {
				t.Fatal(err)
			}
		}
		if files, _ := filepath.Glob(filepath.Join(out, "*")); len(files) > 0 {
			t.Errorf("%s leaves %q", strings.Join(c.args[:2], " "), files)
		}
	}
}

// endsEarly starts a command and ends it by a signal after it has begun its work. It is false if the command had ended
// before.
func endsEarly(t *testing.T, args []string, begun func(pid int) bool) bool {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Args = append([]string{"mixtral"}, args...)
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := llmtest.Done(func() { _ = cmd.Wait() })
	ended := func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	}
	llmtest.Until(t, "the work", func() bool { return begun(cmd.Process.Pid) || ended() })
	_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended already: its exit code tells
	llmtest.Await(t, cmd.String(), done)
	switch code := cmd.ProcessState.ExitCode(); code {
	case exitOK, exitFail, exitInvalid:
		return false
	case exitInterrupted:
	default:
		t.Errorf("%s: exit code %d, want %d", strings.Join(args[:2], " "), code, exitInterrupted)
	}
	return true
}

// reads says that a process has begun to read a file.
func reads(pid int, path string) bool {
	if runtime.GOOS != "linux" {
		time.Sleep(400 * time.Millisecond)
		return true
	}
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, link := range links {
		if to, err := os.Readlink(link); err != nil || to != path {
			continue
		}
		info, err := os.ReadFile(strings.Replace(link, "/fd/", "/fdinfo/", 1))
		at := 0
		if _, scanned := fmt.Sscanf(string(info), "pos: %d", &at); err == nil && scanned == nil && at > 0 {
			return true
		}
	}
	return false
}

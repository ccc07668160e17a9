package certify

import (
	"bytes"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/faults"
)

// TestARunWithoutFiles tries a server that becomes slow under load, so that the client runs out of open files.
// Connections, metrics and the counters of processes that cannot be opened then must not fail the server, and the
// record must be complete.
func TestARunWithoutFiles(t *testing.T) {
	if dir := os.Getenv(fewFiles); dir != "" {
		runWithFewFiles(t, dir)
		return
	}
	t.Parallel()
	inner := faults.New(faults.Config{Seed: 1, TTFT: 10 * time.Millisecond, Gap: time.Millisecond})
	defer inner.Close()
	h := httptest.NewServer(slowBetween(inner, 90, 240, 80, 5*time.Second))
	defer h.Close()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestARunWithoutFiles$")
	cmd.Env = append(os.Environ(), fewFiles+"="+dir, fewFilesTarget+"="+h.URL)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"+report.JSONExt))
	if len(files) != 1 {
		t.Fatalf("reports %q: %s", files, out.String())
	}
	rep, _, err := report.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	blamesNobody(t, rep, "EMFILE")
}

func runWithFewFiles(t *testing.T, dir string) {
	const files = 150 // for the 82 connections of a schedule of 40 requests/s, and 64 others
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: files, Max: files}); err != nil {
		t.Fatal(err)
	}
	// What slowBetween holds the server does not count as running. Most of that time nobody can ask it, for want of
	// files.
	_, err := Run(t.Context(), Options{Case: "testdata/short.yaml", Target: os.Getenv(fewFilesTarget), ReportDir: dir,
		Set: []string{"profiles.quick.sustained.duration_s=6", "limits.max_in_flight=" + strconv.Itoa(2*files),
			"limits.little_share=1"}})
	if err != nil {
		t.Fatal(err)
	}
}

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/hostile"
	"github.com/hxp-enterprise/mixtral/internal/base/property"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// killCase is a certification of two seconds with phases of every kind that takes time.
const killCase = `schema_version: 1
id: TC-KILL
name: A run that is killed
targets: {latency_ms: 60000, throughput_rps: 5, quality: 0.8, memory_gb: 90}
limits: {issue_delay_ms: 10000, metrics_gap_ms: 10000}
profiles:
  quick:
    - {id: single, kind: closed, concurrency: 1, requests: 4, max_tokens: 4}
    - {id: sustained, kind: open, duration_s: 0.5, max_tokens: 2, prompts: [reasoning/simple]}
    - {id: idle, kind: idle, duration_s: 0.1}
    - {id: quality, kind: quality, keep_text: true, max_tokens: 8}
checks:
  - {id: latency, clause: fast, rule: mean_latency, phase: single}
  - {id: steps, clause: complete, rule: steps_complete}
`

// killRand draws from MIXTRAL_CHAOS_SEED, or from a seed that is usually the same.
func killRand(t *testing.T) *rand.Rand {
	t.Helper()
	return rand.New(rand.NewPCG(property.Seed(t, "MIXTRAL_CHAOS_SEED"), 0))
}

// binary returns the path of a program called mixtral that is this test binary, so that it and its children act as
// mixtral.
func binary(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "mixtral")
	if os.Link(self, path) == nil {
		return path
	}
	data, err := os.ReadFile(self) // on another file system
	if err == nil {
		err = os.WriteFile(path, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// result is how a command ended.
type result struct {
	code           int
	stdout, stderr string
}

func (r result) String() string {
	return fmt.Sprintf("exit code %d\n%s\n%s", r.code, r.stdout, r.stderr)
}

// command runs the program to its end.
func command(t *testing.T, program string, args ...string) result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// isVerdict says whether an exit code belongs to a run that was judged; the verdict depends on the load of the
// machine.
func isVerdict(code int) bool { return code == exitOK || code == exitFail || code == exitInvalid }

// processes counts the processes of a program.
func processes(program string) (n int) {
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		if exe, err := os.Readlink(link); err == nil && exe == program {
			n++
		}
	}
	return n
}

// TestKilledCertify kills certifications at any moment, the first when its record has begun: reports that are there
// stay whole, what the killed run had recorded can be read and is not a verdict, its server dies with it, and
// the next run is none the worse.
func TestKilledCertify(t *testing.T) {
	if testing.Short() {
		t.Skip("runs certifications for half a minute")
	}
	rng := killRand(t)
	program, dir := binary(t), t.TempDir()
	tc, reports := filepath.Join(dir, "case.yaml"), filepath.Join(dir, "reports")
	t.Setenv("MIXTRAL_DATABASE_URL", "sqlite:"+filepath.Join(dir, "runs.db"))
	if err := os.WriteFile(tc, []byte(killCase), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"certify", tc, "--model", "synth:tiny", "--report-dir", reports, "--seed", "1"}
	began := time.Now()
	whole := command(t, program, args...)
	took := time.Since(began)
	first := glob(t, reports, "performance_*.json")
	if len(first) != 1 || !isVerdict(whole.code) {
		t.Fatalf("%d reports, %v", len(first), whole)
	}
	original, err := os.ReadFile(first[0])
	if err != nil {
		t.Fatal(err)
	}
	kills := hostile.Kills(t, 6)
	left, late := 0, 0
	for i := range kills {
		cmd := exec.Command(program, args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		wait := time.Duration(rng.Int64N(int64(took) * 11 / 10))
		ended := llmtest.Done(func() { cmd.Wait() })
		if i == 0 {
			llmtest.Until(t, "a record", func() bool { return hasRecord(t, reports) })
			wait = 0
		}
		select {
		case <-time.After(wait):
		case <-ended:
			late++
		}
		cmd.Process.Kill()
		llmtest.Await(t, "the killed run", ended)
		if runtime.GOOS == "linux" {
			llmtest.Until(t, "its server to die with it", func() bool { return processes(program) == 0 })
		}
		left = checkReports(t, program, reports, fmt.Sprintf("kill %d after %v of %v", i, wait, took))
	}
	if left == 0 {
		t.Error("no run was killed in the middle")
	}
	if again := command(t, program, args...); !isVerdict(again.code) {
		t.Errorf("after %d kills: %v", kills, again)
	}
	checkReports(t, program, reports, "the last run")
	runs := regexp.MustCompile(`"run": "([0-9a-f]+)"`).FindAllStringSubmatch(command(t, program, "report", "list",
		"--json").stdout, -1)
	if len(runs) < 2 { // the first run and the last; those that were killed at their very end may be there too
		t.Errorf("the database has %d runs", len(runs))
	}
	for _, run := range runs {
		if r := command(t, program, "report", "show", run[1]); r.code != exitOK ||
			!strings.Contains(r.stdout, "TC-KILL") && !strings.Contains(r.stdout, "latency") {
			t.Errorf("run %s: %v", run[1], r)
		}
	}
	if now, err := os.ReadFile(first[0]); err != nil || !bytes.Equal(now, original) {
		t.Errorf("the first report changed: %v", err)
	}
	hostile.Survived(t, "`certify`", kills, kills-late, "%d unfinished records, all readable; complete reports; "+
		"the server ended too", left)
}

// hasRecord says whether a run in a folder of reports has recorded something.
func hasRecord(t *testing.T, dir string) bool {
	t.Helper()
	for _, path := range glob(t, dir, "*.part") {
		if info, err := os.Stat(path); err == nil && info.Size() > 0 {
			return true
		}
	}
	return false
}

// checkReports looks at a folder of reports as a user would, and returns how many runs in it did not end.
func checkReports(t *testing.T, program, dir, when string) (unfinished int) {
	t.Helper()
	if r := command(t, program, "report", "list", dir); r.code != exitOK || strings.Contains(r.stderr, "skipped") {
		t.Errorf("%s: report list: %v", when, r)
	}
	if r := command(t, program, "report", "list"); r.code != exitOK { // of the database
		t.Errorf("%s: report list: %v", when, r)
	}
	for _, path := range glob(t, dir, "performance_*.json") {
		if r := command(t, program, "report", "verify", path); r.code != exitOK {
			t.Errorf("%s: report verify %s: %v", when, filepath.Base(path), r)
		}
		for _, ext := range []string{".html", ".junit.xml", ".events.jsonl.gz"} {
			if _, err := os.Stat(strings.TrimSuffix(path, ".json") + ext); err != nil {
				t.Errorf("%s: %v", when, err)
			}
		}
	}
	for _, path := range glob(t, dir, "*.part") {
		r := command(t, program, "report", "show", path)
		record, err := evidence.ScanFile(path, func(*evidence.Event) error { return nil })
		switch {
		case r.code == exitOK && err == nil && record.Ended: // killed before the whole record got its name
		case r.code == exitOK && strings.Contains(r.stdout, "INVALID") && strings.Contains(r.stdout, "killed"):
			unfinished++
		case r.code == exitUsage && strings.Contains(r.stderr, "is empty"): // it had recorded nothing yet
		default:
			t.Errorf("%s: report show %s: %v", when, filepath.Base(path), r)
		}
	}
	return unfinished
}

func glob(t *testing.T, dir, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestKilledServe kills the service at any moment, from its start on and under load: the next one starts at once on
// the same port, and gives the same answers.
func TestKilledServe(t *testing.T) {
	rng := killRand(t)
	const question = `{"messages":[{"role":"user","content":"hi"}],"max_tokens":8,"temperature":0,"ignore_eos":true}`
	content := func(body string) string { // without what differs each time
		_, rest, _ := strings.Cut(body, `"message":`)
		text, _, _ := strings.Cut(rest, "}")
		return text
	}
	port := llmtest.Port(t)
	first := startServe(t, "--port", port)
	code, body := first.post("/v1/chat/completions", question)
	want := content(body)
	if code != 200 || want == "" {
		t.Fatalf("%d %s", code, body)
	}
	s, rounds := first, hostile.Kills(t, 5)
	for range rounds {
		var clients sync.WaitGroup
		for range 4 {
			url := s.url
			clients.Go(func() {
				for {
					resp, err := http.Post(url+"/v1/chat/completions", "application/json",
						strings.NewReader(`{"messages":[{"role":"user","content":"hi"}],"n":3,"max_tokens":200,"stream":true}`))
					if err != nil {
						return // killed
					}
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			})
		}
		time.Sleep(time.Duration(rng.IntN(150)) * time.Millisecond)
		s.cmd.Process.Kill()
		llmtest.Await(t, "the killed service", llmtest.Done(func() { s.cmd.Wait() }))
		llmtest.Await(t, "its clients", llmtest.Done(clients.Wait))
		// The same for one that is killed before it is ready.
		early := exec.Command(os.Args[0])
		early.Args = []string{"mixtral", "serve", "--model", "synth:tiny", "--port", port}
		if err := early.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rng.IntN(30)) * time.Millisecond)
		early.Process.Kill()
		llmtest.Await(t, "the service that was killed early", llmtest.Done(func() { early.Wait() }))
		s = startServe(t, "--port", port)
		if code, body := s.post("/v1/chat/completions", question); code != 200 || content(body) != want ||
			!strings.HasSuffix(s.url, ":"+port) {
			t.Errorf("after a kill: %d %s, want %s", code, body, want)
		}
	}
	hostile.Survived(t, "`serve` under load, and at its start", 2*rounds, 2*rounds,
		"each next start succeeds at once on the same port, with the same answer")
}

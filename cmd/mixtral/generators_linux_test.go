package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	certreport "github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/faults"
)

// generatorsCase is an open loop of seconds. Its limits suit a busy machine: what is tried is the protocol.
const generatorsCase = `schema_version: 1
id: TC-GENERATORS
name: Load from many machines
targets: {latency_ms: 5000, throughput_rps: 60}
limits: {issue_delay_ms: 1000, metrics_gap_ms: 10000, little_share: 0.9}
profiles:
  quick:
    - {id: load, kind: open, rps: 60, duration_s: %d, max_tokens: 4, prompts: [reasoning/simple]}
checks:
  - {id: latency, clause: fast, rule: mean_latency, phase: load}
  - {id: errors, clause: few errors, rule: error_budget}
  - {id: generator, clause: the load is the plan's, rule: generator}
  - {id: steps, clause: complete, rule: steps_complete}
`

// loaded is a server that notes when each request of the phase came, on this process's clock.
type loaded struct {
	*httptest.Server
	mu    sync.Mutex
	came  map[int]time.Time // by the request's number
	at    time.Time         // of the last one
	count int
}

const runSeed = 1000

func serveOn(t *testing.T, address string) *loaded {
	t.Helper()
	s := faults.New(faults.Config{Fault: faults.Healthy, Seed: 7, TTFT: 5 * time.Millisecond, Gap: time.Millisecond})
	t.Cleanup(s.Close)
	l := &loaded{came: map[int]time.Time{}}
	listener, err := net.Listen("tcp", address+":0")
	if err != nil {
		t.Fatal(err)
	}
	l.Server = &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			now := time.Now()
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			var asked struct {
				Seed int `json:"seed"`
			}
			if r.Method == http.MethodPost && json.Unmarshal(body, &asked) == nil && asked.Seed >= runSeed {
				l.mu.Lock()
				l.came[asked.Seed-runSeed], l.at, l.count = now, now, l.count+1
				l.mu.Unlock()
			}
			s.ServeHTTP(w, r)
		})}}
	l.Start()
	t.Cleanup(l.Close)
	return l
}

func (l *loaded) seen() (n int, last time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count, l.at
}

// manyLoad is a run with generators in machines of their own, so to say: network namespaces and clocks.
type manyLoad struct {
	t          *testing.T
	program    string
	net        *network
	server     *loaded
	addresses  []string
	generators []*exec.Cmd
	dir, key   string
}

// startLoad starts n generators, on nodes 2 and following of a network. Node 0 is this machine, with the server; the
// coordinator is on node 1.
func startLoad(t *testing.T, n, seconds int, delay time.Duration, loss float64) *manyLoad {
	t.Helper()
	t.Parallel()
	l := &manyLoad{t: t, program: binary(t), net: newNetwork(t, n+2, delay, loss), dir: t.TempDir()}
	l.server = serveOn(t, l.net.address(0))
	l.key = filepath.Join(l.dir, "key")
	for name, text := range map[string]string{"key": "0123456789abcdef0123", "case.yaml": fmt.Sprintf(generatorsCase,
		seconds)} {
		if err := os.WriteFile(filepath.Join(l.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		address := net.JoinHostPort(l.net.address(i+2), generatorPort)
		var log bytes.Buffer
		// clocks that differ by days
		cmd := exec.Command("ip", "netns", "exec", l.net.name(i+2), "unshare", "--time", "--monotonic",
			fmt.Sprint(i*100_000), l.program, "generate", "--listen", address, "--key-file", l.key)
		cmd.Stderr = &log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			if t.Failed() {
				t.Logf("generator %d: %s", i+1, log.String())
			}
		})
		l.addresses, l.generators = append(l.addresses, address), append(l.generators, cmd)
	}
	return l
}

// coordinator is the command that certifies.
func (l *manyLoad) coordinator(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "ip", "netns", "exec", l.net.name(1), l.program, "certify",
		filepath.Join(l.dir, "case.yaml"), "--target", l.server.URL, "--generators", strings.Join(l.addresses, ","),
		"--generators-key-file", l.key, "--generators-wait", "20s", "--report-dir", filepath.Join(l.dir, "reports"),
		"--seed", fmt.Sprint(runSeed))
	cmd.Env = append(os.Environ(), "MIXTRAL_DATABASE_URL=none")
	return cmd
}

// run certifies to the end and reads the report. during runs beside it once the load is under way.
func (l *manyLoad) run(during func()) (certreport.Report, result) {
	l.t.Helper()
	cmd := l.coordinator(l.t.Context())
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	done := make(chan struct{})
	if during != nil {
		go func() {
			defer close(done)
			for l.t.Context().Err() == nil {
				if n, _ := l.server.seen(); n >= 20 {
					during()
					return
				}
				time.Sleep(5 * time.Millisecond)
			}
		}()
	} else {
		close(done)
	}
	_ = cmd.Wait()
	<-done
	res := result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
	files := glob(l.t, filepath.Join(l.dir, "reports"), "performance_*.json")
	if len(files) != 1 {
		l.t.Fatalf("%d reports: %v", len(files), res)
	}
	data, err := os.ReadFile(files[0])
	var rep certreport.Report
	if err == nil {
		err = json.Unmarshal(data, &rep)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	if again := command(l.t, l.program, "report", "verify", files[0]); again.code != exitOK {
		l.t.Errorf("the verdict cannot be derived again: %v", again)
	}
	return rep, res
}

// TestGeneratorsInNamespaces: three generators behind links that delay and lose packets, with clocks days apart, make
// the load of one. The server's own notes hold the times of the record: on the record's clock, requests of different
// generators come as much after their issue as the links delay them, within what the report says of the clocks.
func TestGeneratorsInNamespaces(t *testing.T) {
	l := startLoad(t, 3, 3, 3*time.Millisecond, 0.01)
	rep, res := l.run(nil)
	if rep.Status != "PASS" || len(rep.Generators) != 3 {
		t.Fatalf("%s, %d generators\n%v", rep.Status, len(rep.Generators), res)
	}
	rec, err := evidence.ReadFile(glob(t, filepath.Join(l.dir, "reports"), "*.events.jsonl.gz")[0])
	if err != nil {
		t.Fatal(err)
	}
	l.server.mu.Lock()
	defer l.server.mu.Unlock()
	seen, ways := map[int]bool{}, make([][]float64, 4)
	zero := time.Now()
	for _, e := range rec.Events {
		q := e.Request
		if q == nil {
			continue
		}
		came, ok := l.server.came[q.N]
		if !ok || seen[q.N] || q.Generator != q.N%3+1 {
			t.Errorf("request %d of generator %d: the server had it: %v, recorded before: %v", q.N, q.Generator, ok,
				seen[q.N])
		}
		seen[q.N] = true
		ways[q.Generator] = append(ways[q.Generator], came.Sub(zero).Seconds()*1e3-float64(q.Issued)/1e6)
	}
	if len(seen) != 180 || len(l.server.came) != 180 {
		t.Errorf("%d requests on record and %d at the server, of 180", len(seen), len(l.server.came))
	}
	least := func(x []float64) float64 { return slices.Min(x) } // what no packet's loss and no wait made longer
	for g := 2; g <= 3; g++ {
		apart := math.Abs(least(ways[g]) - least(ways[1]))
		bound := rep.Generators[0].ClockError + rep.Generators[g-1].ClockError
		if apart > bound+5 { // milliseconds that a busy machine may add to the fastest of sixty
			t.Errorf("requests of generators 1 and %d are %.2f ms apart, their clocks %.2f ms at most", g, apart,
				bound)
		}
	}
}

// TestOneOfEightGeneratorsIsKilled: the run ends within seconds, is INVALID and names the generator.
func TestOneOfEightGeneratorsIsKilled(t *testing.T) {
	l := startLoad(t, 8, 30, time.Millisecond, 0)
	rep, res := l.run(func() { _ = l.generators[4].Process.Kill() })
	want := "generator 5 (" + l.addresses[4] + ") was lost"
	if res.code != exitInvalid || !strings.Contains(fmt.Sprint(rep.Notices), want) || rep.Generators[4].Lost == "" {
		t.Errorf("%v\n%v", rep.Notices, res)
	}
	for _, c := range rep.Checks {
		if c.Verdict == "FAIL" {
			t.Errorf("%s accuses the server: %s", c.ID, c.Reason)
		}
	}
	quiet(t, l.server)
}

// TestAGeneratorIsCutOff: no packet of a generator arrives any more. It stops its load by itself, and the
// run is INVALID and names it.
func TestAGeneratorIsCutOff(t *testing.T) {
	l := startLoad(t, 2, 60, time.Millisecond, 0)
	rep, res := l.run(func() { l.net.cut(3) })
	if res.code != exitInvalid || !strings.Contains(fmt.Sprint(rep.Notices), "generator 2 ("+l.addresses[1]+
		") was lost: nothing was heard of it for 5s") {
		t.Errorf("%v\n%v", rep.Notices, res)
	}
	quiet(t, l.server)
}

// TestACoordinatorIsKilled: its generators stop within a second, and take part in the next run.
func TestACoordinatorIsKilled(t *testing.T) {
	l := startLoad(t, 2, 60, time.Millisecond, 0)
	cmd := l.coordinator(t.Context())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for t.Context().Err() == nil {
		if n, _ := l.server.seen(); n >= 20 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	quiet(t, l.server)
	if err := os.WriteFile(filepath.Join(l.dir, "case.yaml"), fmt.Appendf(nil, generatorsCase, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(l.dir, "reports")); err != nil {
		t.Fatal(err)
	}
	if rep, res := l.run(nil); rep.Status != "PASS" {
		t.Errorf("the next run: %v", res)
	}
}

// TestACoordinatorIsToldToStop: SIGTERM ends the load within a second and leaves a report.
func TestACoordinatorIsToldToStop(t *testing.T) {
	l := startLoad(t, 2, 60, time.Millisecond, 0)
	var told time.Time
	rep, res := l.run(func() {
		told = time.Now()
		out, err := exec.Command("sh", "-c", "kill -TERM $(ip netns pids "+l.net.name(1)+")").CombinedOutput()
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	if res.code != exitInterrupted || rep.Status != "INVALID" {
		t.Error(res)
	}
	if _, last := l.server.seen(); last.Sub(told) > 3*time.Second { // a machine at rest takes milliseconds
		t.Errorf("a request came %s after the signal", last.Sub(told))
	}
}

// quiet demands that no request comes any more.
func quiet(t *testing.T, s *loaded) {
	t.Helper()
	time.Sleep(500 * time.Millisecond) // those under way
	before, _ := s.seen()
	time.Sleep(500 * time.Millisecond)
	if after, _ := s.seen(); after != before {
		t.Errorf("%d requests came after the end", after-before)
	}
}

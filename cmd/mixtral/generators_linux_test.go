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
	"strings"
	"sync"
	"testing"
	"time"

	certreport "github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/faults"
	"github.com/hxp-enterprise/mixtral/internal/certify/remote"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// generatorsCase is an open loop of some seconds. Its limits suit a busy machine, because the test is about the
// protocol.
const generatorsCase = `schema_version: 1
id: TC-GENERATORS
name: Load from many machines
targets: {latency_ms: 60000, throughput_rps: 60}
limits: {issue_delay_ms: 60000, metrics_gap_ms: 60000, little_share: 0.9}
profiles:
  quick:
    - {id: load, kind: open, rps: 60, duration_s: %d, max_tokens: 4, prompts: [reasoning/simple]}
checks:
  - {id: latency, clause: fast, rule: mean_latency, phase: load}
  - {id: errors, clause: few errors, rule: error_budget}
  - {id: generator, clause: the load is the plan's, rule: generator}
  - {id: steps, clause: complete, rule: steps_complete}
`

// loaded is a server that records when each request of the phase came, on this process's clock.
type loaded struct {
	*httptest.Server
	mu    sync.Mutex
	came  map[int]time.Time // by the request's number
	at    time.Time         // of the last one
	count int
}

const runSeed = 1000

// long is seconds of load in a run that something else ends: the load must not end by itself before the test has
// noticed.
const long = 300

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

// manyLoad is a run with generators on simulated machines: network namespaces with clocks of their own.
type manyLoad struct {
	t          *testing.T
	program    string
	net        *network
	server     *loaded
	addresses  []string
	generators []*exec.Cmd
	logs       []*lockedBuffer
	dir, key   string
	env        []string
}

// startLoad starts n generators, on nodes 2 and following of a network. Node 0 is this machine, with the server; the
// coordinator is on node 1. Both ends give each other up after so much silence.
func startLoad(t *testing.T, n, seconds int, delay time.Duration, loss float64, silence time.Duration) *manyLoad {
	t.Helper()
	t.Parallel()
	l := &manyLoad{t: t, program: binary(t), net: newNetwork(t, n+2, delay, loss), dir: t.TempDir(),
		env: append(os.Environ(), "MIXTRAL_DATABASE_URL=none", silenceEnv+"="+silence.String())}
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
		log := &lockedBuffer{}
		// clocks that differ by days
		cmd := exec.Command("ip", "netns", "exec", l.net.name(i+2), "unshare", "--time", "--monotonic",
			fmt.Sprint(i*100_000), l.program, "generate", "--listen", address, "--key-file", l.key)
		cmd.Env, cmd.Stderr = l.env, log
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
		l.logs = append(l.logs, log)
	}
	return l
}

// coordinator is the command that certifies.
func (l *manyLoad) coordinator(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "ip", "netns", "exec", l.net.name(1), l.program, "certify",
		filepath.Join(l.dir, "case.yaml"), "--target", l.server.URL, "--generators", strings.Join(l.addresses, ","),
		"--generators-key-file", l.key, "--generators-wait", "60s", "--report-dir", filepath.Join(l.dir, "reports"),
		"--seed", fmt.Sprint(runSeed))
	cmd.Env = l.env
	return cmd
}

// stoodStill says that one end of a run got no processor time for so long that the other one gave it up: the
// coordinator lost generator 1, which nobody cuts off, or a generator has told why it stopped, which one that is cut
// off cannot. A busy machine can cause that where a run has the product's own patience; it is not checked further
// then.
func (l *manyLoad) stoodStill(notices string) bool {
	l.t.Helper()
	const silence = "nothing was heard of "
	if !strings.Contains(notices, "generator 1 ("+l.addresses[0]+") was lost: "+silence) &&
		!strings.Contains(notices, "it was stopped: "+silence) && !strings.Contains(l.logs[0].String(), silence) {
		return false
	}
	l.t.Logf("the machine stood still for seconds: %s\n%s", notices, l.logs[0])
	return true
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
	done, over := make(chan struct{}), make(chan struct{})
	if during != nil {
		go func() {
			defer close(done)
			for {
				if n, _ := l.server.seen(); n >= 20 {
					during()
					return
				}
				select {
				case <-over:
					return
				case <-time.After(5 * time.Millisecond):
				}
			}
		}()
	} else {
		close(done)
	}
	_ = cmd.Wait()
	close(over)
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
// the load of one. The server's own notes hold the times of the record: each request came after its issue and before
// its answer. So each generator's times say how far at least and at most the record's clock is from the server's,
// however busy the machine is, and what they say must agree within what the report says of the clocks.
func TestGeneratorsInNamespaces(t *testing.T) {
	l := startLoad(t, 3, 3, 3*time.Millisecond, 0.01, llmtest.Limit)
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
	seen, least, most := map[int]bool{}, make([]float64, 4), make([]float64, 4)
	for g := range most {
		least[g], most[g] = math.Inf(-1), math.Inf(1)
	}
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
		at, g := came.Sub(zero).Seconds()*1e3, q.Generator
		least[g], most[g] = max(least[g], at-float64(q.First)/1e6), min(most[g], at-float64(q.Issued)/1e6)
	}
	if len(seen) != 180 || len(l.server.came) != 180 {
		t.Errorf("%d requests on record and %d at the server, of 180", len(seen), len(l.server.came))
	}
	for _, pair := range [][2]int{{1, 2}, {2, 1}, {1, 3}, {3, 1}, {2, 3}, {3, 2}} {
		a, b := pair[0], pair[1]
		bound := rep.Generators[a-1].ClockError + rep.Generators[b-1].ClockError
		t.Logf("clocks of generators %d and %d: %.2f ms apart at most", a, b, most[b]-least[a])
		if apart := least[a] - most[b]; apart > bound {
			t.Errorf("clocks of generators %d and %d are %.2f ms apart at least, %.2f ms at most says the report",
				a, b, apart, bound)
		}
	}
}

// TestOneOfEightGeneratorsIsKilled: the run ends within seconds, is INVALID and names the generator.
func TestOneOfEightGeneratorsIsKilled(t *testing.T) {
	l := startLoad(t, 8, long, time.Millisecond, 0, llmtest.Limit)
	rep, res := l.run(func() { _ = l.generators[4].Process.Kill() })
	want := "generator 5 (" + l.addresses[4] + ") was lost"
	named := rep.Generators[4].Lost != "" && strings.Contains(fmt.Sprint(rep.Notices), want)
	if res.code != exitInvalid || !named {
		t.Errorf("%v\n%v", rep.Notices, res)
	}
	for _, c := range rep.Checks {
		if c.Verdict == "FAIL" {
			t.Errorf("%s accuses the server: %s", c.ID, c.Reason)
		}
	}
	quiet(t, l.server)
}

// TestAGeneratorIsCutOff: no packet of a generator arrives any more. It stops its load by itself, and the run is
// INVALID and names it.
func TestAGeneratorIsCutOff(t *testing.T) {
	l := startLoad(t, 2, long, time.Millisecond, 0, remote.Silence)
	rep, res := l.run(func() { l.net.cut(3) })
	said := fmt.Sprint(rep.Notices)
	if l.stoodStill(said) {
		return
	}
	if res.code != exitInvalid || !strings.Contains(said, "generator 2 ("+l.addresses[1]+
		") was lost: nothing was heard of it for 5s") {
		t.Errorf("%v\n%v", rep.Notices, res)
	}
	quiet(t, l.server)
}

// TestACoordinatorIsKilled: its generators stop within a second, and take part in the next run.
func TestACoordinatorIsKilled(t *testing.T) {
	l := startLoad(t, 2, long, time.Millisecond, 0, llmtest.Limit)
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
	l := startLoad(t, 2, long, time.Millisecond, 0, llmtest.Limit)
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
	if _, last := l.server.seen(); last.Sub(told) > llmtest.Limit { // an idle machine takes milliseconds
		t.Errorf("a request came %s after the signal", last.Sub(told))
	}
}

// quiet expects that no more requests come after those under way, long before the load's own end.
func quiet(t *testing.T, s *loaded) {
	t.Helper()
	llmtest.Until(t, "the end of the load", func() bool {
		_, last := s.seen()
		return time.Since(last) > time.Second
	})
}

// Package observe certifies through a Prometheus server, as an operator does who has one: Debian's prometheus scrapes
// a real service under load, and the certifier reads from it alone. What Prometheus stored must be what the client
// saw, and a server whose metrics lie must be caught there too.
package observe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

var (
	prometheus string // the programs
	mixtral    string
	faults     string
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if prometheus, err = exec.LookPath("prometheus"); err != nil {
		if os.Getenv("CI") != "" {
			fmt.Fprintln(os.Stderr, "prometheus is missing (Debian's package prometheus)")
			return 1
		}
		fmt.Fprintln(os.Stderr, "skipped: prometheus is not installed")
		return 0
	}
	dir, err := os.MkdirTemp("", "observe")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	mixtral, faults = filepath.Join(dir, "mixtral"), filepath.Join(dir, "mixtral-faults")
	for _, program := range []string{mixtral, faults} {
		build := exec.Command("go", "build", "-o", program, "./cmd/"+filepath.Base(program))
		build.Dir = "../.."
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
			return 1
		}
	}
	return m.Run()
}

// start runs a program until the test ends, and waits until an address answers 200.
func start(t *testing.T, ready string, program string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, args...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		cmd.Wait()
		close(exited)
	}()
	t.Cleanup(func() {
		cancel()
		<-exited
		if t.Failed() {
			t.Logf("%s: %s", filepath.Base(program), &output)
		}
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if resp, err := http.Get(ready); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-exited:
			t.Fatalf("%s ended before it was ready", program)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s was not ready in a minute", program)
		}
	}
}

// scraper starts a Prometheus server that scrapes one target every second, and gives its URL once it has.
func scraper(t *testing.T, target, metric string, flags ...string) string {
	t.Helper()
	dir := t.TempDir()
	config := "scrape_configs:\n  - job_name: mixtral\n    scrape_interval: 1s\n    static_configs: [{targets: ['" +
		strings.TrimPrefix(target, "http://") + "']}]\n"
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	address := "127.0.0.1:" + llmtest.Port(t)
	base := "http://" + address
	start(t, base+"/-/ready", prometheus, append([]string{"--config.file=" + filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path=" + filepath.Join(dir, "data"),
		"--web.listen-address=" + address}, flags...)...)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if _, err := instant(t.Context(), base, metric); err == nil {
			return base
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

var errNone = errors.New("no such series")

// instant evaluates a query that gives one number.
func instant(ctx context.Context, base, query string) (float64, error) {
	r, err := http.NewRequestWithContext(ctx, "GET", base+"/api/v1/query?query="+url.QueryEscape(query), nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var answer struct {
		Data struct {
			Result []struct{ Value [2]json.RawMessage }
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return 0, err
	}
	if len(answer.Data.Result) == 0 {
		return 0, fmt.Errorf("%w: %s", errNone, query)
	}
	text, err := strconv.Unquote(string(answer.Data.Result[0].Value[1]))
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(text, 64)
}

// report is what these tests read of a certification report.
type report struct {
	Status string
	Checks []struct {
		ID, Verdict, Reason string
	}
	Phases []struct {
		ID        string
		Completed int
	}
	Reconciliation []row
	Target         struct {
		Dialect string `json:"metrics_dialect"`
	}
}

type row struct {
	ID              string
	Server, Client  *float64
	Verdict, Reason string
}

func (r *report) row(id string) row {
	for _, x := range r.Reconciliation {
		if x.ID == id {
			return x
		}
	}
	return row{Verdict: "missing"}
}

const testCase = `schema_version: 1
id: TC-OBSERVE
name: Load under the eyes of Prometheus
targets: {latency_ms: 60000, throughput_rps: 8, memory_gb: 90}
limits: {issue_delay_ms: 10000, metrics_gap_ms: 10000}
profiles:
  quick:
    - {id: single, kind: closed, concurrency: 1, requests: 12, max_tokens: 6}
    - {id: concurrent, kind: closed, concurrency: 3, requests: 30, max_tokens: 6}
    - {id: sustained, kind: open, duration_s: 4, max_tokens: 6}
checks:
  - {id: metrics, clause: the metrics are true, rule: metrics_reported}
  - {id: memory, clause: small, rule: peak_memory}
`

// certify certifies a target whose metrics only a Prometheus server knows, and gives the report and the exit code.
func certify(t *testing.T, target, prometheus string) (r report, code int) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "case.yaml")
	if err := os.WriteFile(file, []byte(testCase), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), mixtral, "certify", file, "--target", target, "--prometheus", prometheus,
		"--report-dir", dir, "--seed", "5", "--database", "none")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "performance_TC-OBSERVE_*.json"))
	if len(files) != 1 {
		t.Fatalf("%d reports: %s", len(files), out)
	}
	data, err := os.ReadFile(files[0])
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("certify: %s", out)
		}
	})
	return r, cmd.ProcessState.ExitCode()
}

// TestThroughPrometheus: the figures that Prometheus stored are those of the client, for a server with classic
// histograms and for one that keeps native ones, and those of the service.
func TestThroughPrometheus(t *testing.T) {
	for name, flags := range map[string][]string{"classic": nil, "native": {"--enable-feature=native-histograms"}} {
		t.Run(name, func(t *testing.T) {
			port := llmtest.Port(t)
			service := "http://127.0.0.1:" + port
			start(t, service+"/readyz", mixtral, "serve", "--model", "synth:tiny", "--port", port, "--log-level",
				"warn")
			server := scraper(t, service, "mixtral_build_info", flags...)
			r, code := certify(t, service, server)
			if code != 0 || r.Status != "PASS" || r.Target.Dialect != "mixtral" {
				t.Errorf("exit code %d, %s, dialect %q", code, r.Status, r.Target.Dialect)
			}
			completed := 0
			for _, p := range r.Phases {
				completed += p.Completed
			}
			for _, id := range []string{"requests", "prompt_tokens", "generation_tokens", "latency_count",
				"latency_mean", "latency_p50", "ttft_count", "ttft_mean", "monotone"} {
				if got := r.row(id); got.Verdict != "PASS" {
					t.Errorf("%s: %s: %s", id, got.Verdict, got.Reason)
				}
			}
			if got := r.row("requests"); got.Server == nil || got.Client == nil ||
				*got.Server != float64(completed) || *got.Client != *got.Server || completed < 12+30+20 {
				t.Errorf("%+v, %d completed", got, completed)
			}
			// Nothing is asked any more: what the service says now is what Prometheus says after its next scrape.
			for _, metric := range []string{"mixtral_generation_tokens_total", "mixtral_prompt_tokens_total"} {
				own := scrape(t, service, metric)
				var stored float64
				for deadline := time.Now().Add(time.Minute); stored != own &&
					time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
					var err error
					stored, err = instant(t.Context(), server, metric)
					if err != nil && !errors.Is(err, errNone) { // a scrape that took too long leaves it without any
						t.Fatal(err)
					}
				}
				if stored != own || own == 0 {
					t.Errorf("%s: the service says %v, Prometheus %v", metric, own, stored)
				}
			}
			quantile := `histogram_quantile(0.5, rate(mixtral_e2e_request_latency_seconds[10m]))`
			if name == "classic" {
				quantile = `histogram_quantile(0.5, sum by (le) (rate(mixtral_e2e_request_latency_seconds_bucket[10m])))`
			}
			if p50, err := instant(t.Context(), server, quantile); err != nil || math.IsNaN(p50) || p50 <= 0 {
				t.Errorf("a dashboard's quantile is %v, %v", p50, err)
			}
		})
	}
}

// scrape reads a metric without labels from a service.
func scrape(t *testing.T, service, metric string) float64 {
	t.Helper()
	resp, err := http.Get(service + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, metric+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("%s is not there", metric)
	return 0
}

// TestLiarsAreCaughtThroughPrometheus: a server that counts wrong is found out by what Prometheus stored, and an
// honest one on the same path is not blamed.
func TestLiarsAreCaughtThroughPrometheus(t *testing.T) {
	for fault, caught := range map[string]string{"healthy": "", "missed-counts": "requests",
		"lying-tokens": "generation_tokens"} {
		t.Run(fault, func(t *testing.T) {
			port := llmtest.Port(t)
			target := "http://127.0.0.1:" + port
			start(t, target+"/metrics", faults, "serve", fault, "--port", port)
			server := scraper(t, target, "up == 1")
			r, code := certify(t, target, server)
			for _, c := range r.Checks {
				if c.ID != "metrics" {
					continue
				}
				if caught == "" && (c.Verdict != "PASS" || code != 0) {
					t.Errorf("exit code %d, %+v", code, c)
				}
				if caught != "" && (c.Verdict != "FAIL" || code != 1 || r.row(caught).Verdict != "FAIL") {
					t.Errorf("exit code %d, %+v, %+v", code, c, r.row(caught))
				}
			}
			if len(r.Checks) != 2 {
				t.Errorf("%+v", r.Checks)
			}
		})
	}
}

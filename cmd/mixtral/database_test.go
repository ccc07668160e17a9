package main

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/hxp-enterprise/mixtral/internal/base/store/open"
	"github.com/hxp-enterprise/mixtral/internal/base/store/postgres/pgtest"
	"github.com/hxp-enterprise/mixtral/internal/base/store/storetest"
	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// written returns how many requests a service's log has written.
func (s *servedProcess) written() float64 {
	s.t.Helper()
	resp, err := http.Get(s.url + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil || families[telemetry.LogWritten] == nil {
		s.t.Fatal(err)
	}
	return families[telemetry.LogWritten].Metric[0].Counter.GetValue()
}

const threeTokens = `{"prompt":"a","max_tokens":3,"temperature":0}`

// TestServeLogsRequests: all requests are in the database when the service has ended.
func TestServeLogsRequests(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "requests.db")
	s := startServe(t, "--database", url)
	s.post("/v1/completions", threeTokens)
	llmtest.Until(t, "the database", func() bool { return s.written() == 1 })
	for range 2 {
		s.post("/v1/completions", threeTokens)
	}
	if code := s.stop(os.Interrupt); code != exitOK {
		t.Errorf("exit code %d; %s", code, s.stderr)
	}
	if list := storetest.Logged(t, open.DB, url); len(list) != 3 || list[0].Status != 200 {
		t.Errorf("%+v", list)
	}
}

// TestKilledServeLeavesAReadableLog: everything that the service reported as written is there after SIGKILL, and the
// next service continues with the same file.
func TestKilledServeLeavesAReadableLog(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "requests.db")
	before := 0
	for range 3 {
		s := startServe(t, "--database", url)
		var load sync.WaitGroup
		for range 3 {
			load.Go(func() {
				for {
					resp, err := http.Post(s.url+"/v1/completions", "application/json", strings.NewReader(threeTokens))
					if err != nil {
						return // killed
					}
					resp.Body.Close()
				}
			})
		}
		llmtest.Until(t, "requests are written", func() bool { return s.written() > 20 })
		written := int(s.written())
		if err := s.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		s.cmd.Wait()
		load.Wait()
		now := len(storetest.Logged(t, open.DB, url))
		if now < before+written {
			t.Errorf("%d requests in the file, %d before and %d written since", now, before, written)
		}
		before = now
	}
}

const tinyCase = `schema_version: 1
id: TC-TINY
name: Two requests
targets: {latency_ms: 60000}
profiles: {quick: [{id: single, kind: closed, concurrency: 1, requests: 2, max_tokens: 2}]}
checks: [{id: steps, clause: complete, rule: steps_complete}]
`

// TestCertifyKeepsRunsInPostgreSQL: a run's report comes back from a real server by its id, byte for byte; while the
// server is unavailable, only the copy is missing.
func TestCertifyKeepsRunsInPostgreSQL(t *testing.T) {
	cluster := pgtest.New(t)
	if err := cluster.Start(); err != nil {
		t.Fatal(err)
	}
	program, dir := binary(t), t.TempDir()
	t.Setenv("MIXTRAL_DATABASE_URL", cluster.URL("postgres"))
	file := filepath.Join(dir, "case.yaml")
	if err := os.WriteFile(file, []byte(tinyCase), 0o600); err != nil {
		t.Fatal(err)
	}
	certify := func() (result, string) {
		t.Helper()
		r := command(t, program, "certify", file, "--model", "synth:tiny", "--report-dir", dir)
		path := regexp.MustCompile(`(?m)^report: (.+\.json)$`).FindStringSubmatch(r.stdout)
		if path == nil {
			t.Fatalf("%+v", r)
		}
		return r, path[1]
	}
	first, path := certify()
	run := regexp.MustCompile(`(?m)^run:    ([0-9a-f]{16}) in postgres://`).FindStringSubmatch(first.stdout)
	if run == nil {
		t.Fatalf("%+v", first)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if shown := command(t, program, "report", "show", "--json", run[1][:6]); shown.code != exitOK ||
		!bytes.Equal([]byte(shown.stdout), data) {
		t.Errorf("the database has another report: %d %s", shown.code, shown.stderr)
	}
	if list := storetest.Logged(t, open.DB, cluster.URL("postgres")); len(list) > 0 {
		t.Errorf("%d requests of the certification are in the log of requests", len(list))
	}

	cluster.Stop()
	second, path := certify()
	if second.code != first.code || !strings.Contains(second.stderr, "database unavailable") ||
		!strings.Contains(second.stderr, "hint: the report is complete") || strings.Contains(second.stdout, "run: ") {
		t.Errorf("with the database away: %+v", second)
	}
	if r := command(t, program, "report", "list"); r.code != exitSetup || !strings.Contains(r.stderr, "hint:") {
		t.Errorf("%+v", r)
	}
	if err := cluster.Start(); err != nil {
		t.Fatal(err)
	}
	if r := command(t, program, "report", "save", path); r.code != exitOK {
		t.Errorf("%+v", r)
	}
	if r := command(t, program, "report", "list", "--case", "TC-TINY"); strings.Count(r.stdout, "TC-TINY") != 2 {
		t.Errorf("%+v", r)
	}
}

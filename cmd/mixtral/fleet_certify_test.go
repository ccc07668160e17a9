package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	certreport "github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// fleetCase is a certification whose load takes some seconds.
const fleetCase = `schema_version: 1
id: TC-FLEET
name: Replicas behind one URL
targets: {latency_ms: 60000, throughput_rps: 5, quality: 0.8, memory_gb: 90}
limits: {issue_delay_ms: 10000, metrics_gap_ms: 10000}
profiles:
  quick:
    - {id: load, kind: closed, concurrency: 4, requests: 400, max_tokens: 24}
checks:
  - {id: memory, clause: small, rule: peak_memory}
  - {id: metrics, clause: true metrics, rule: metrics_reported}
`

// TestCertifyAFleet: the metrics of three replicas behind a gateway are added up and agree with the client. A replica
// that is killed during the run is named in the report, and its missing counts do not fail a check.
func TestCertifyAFleet(t *testing.T) {
	f := startFleet(t)
	dir := t.TempDir()
	tc := filepath.Join(dir, "case.yaml")
	if err := os.WriteFile(tc, []byte(fleetCase), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("MIXTRAL_DATABASE_URL", "none")
	var urls, names []string
	for _, port := range f.ports {
		names = append(names, "127.0.0.1:"+port)
		urls = append(urls, "http://127.0.0.1:"+port+"/metrics")
	}
	program := binary(t)
	run := func(name string, more ...string) (*certreport.Report, result) {
		t.Helper()
		reports := filepath.Join(dir, name)
		res := command(t, program, append([]string{"certify", tc, "--target", f.gateway.url, "--metrics",
			strings.Join(urls, ","), "--report-dir", reports, "--seed", "1"}, more...)...)
		var rep certreport.Report
		files := glob(t, reports, "performance_*.json")
		if len(files) != 1 {
			t.Fatalf("%d reports, %v", len(files), res)
		}
		data, err := os.ReadFile(files[0])
		if err == nil {
			err = json.Unmarshal(data, &rep)
		}
		if err != nil {
			t.Fatal(err)
		}
		if again := command(t, program, "report", "verify", files[0]); again.code != exitOK {
			t.Errorf("%s: the verdict cannot be derived again: %v", name, again)
		}
		return &rep, res
	}
	rep, res := run("healthy")
	for try := 0; try < 3 && slices.ContainsFunc(rep.Resources.Replicas, func(x certreport.Replica) bool {
		return len(x.News) > 0
	}); try++ { // metrics took more than 3 s: the machine stood still
		rep, res = run(fmt.Sprint("healthy-", try))
	}
	rows := map[string]certreport.Reconciled{}
	for _, x := range rep.Reconciliation {
		rows[x.ID] = x
	}
	if x := rows["requests"]; x.Verdict != certreport.Pass || *x.Server != *x.Client || *x.Client < 400 {
		t.Errorf("requests: %+v\n%v", x, res)
	}
	if x := rows["latency_count"]; x.Verdict != certreport.Pass {
		t.Errorf("the merged histogram: %+v", x)
	}
	if x := rows["replicas"]; *x.Server != 3 || !strings.Contains(x.Reason, "all 3") {
		t.Errorf("replicas: %+v", x)
	}
	for i, x := range rep.Resources.Replicas {
		if !slices.Contains(names, x.Name) || x.PeakGB <= 0 || len(x.News) > 0 || x.PeakGB > rep.Resources.PeakGB {
			t.Errorf("replica %d: %+v", i, x)
		}
	}
	if len(rep.Resources.Replicas) != 3 {
		t.Errorf("%+v", rep.Resources)
	}
	// The second time, one dies once the load has begun. A kill that comes after the load shows nothing: then it is
	// done again with a longer load.
	const requests = "mixtral_upstream_requests_total"
	want := "replica " + names[1] + " was lost at"
	for seconds := 8; ; seconds *= 4 {
		sent := f.metric(requests, 1)
		killed := make(chan float64, 1) // how many requests another replica had after the kill
		go func() {
			llmtest.Until(t, "the load", func() bool { return f.metric(requests, 1) > sent+20 })
			f.replicas[1].cmd.Process.Signal(syscall.SIGKILL)
			killed <- f.metric(requests, 0)
		}()
		rep, res = run(fmt.Sprint("killed-", seconds), "--set", fmt.Sprint("profiles.quick.load.duration_s=", seconds))
		before := llmtest.Await(t, "the kill", killed)
		found := false
		for _, x := range rep.Reconciliation {
			found = found || x.ID == "replicas" && strings.Contains(x.Reason, want)
			if x.Verdict == certreport.Fail {
				t.Errorf("a lost replica is called a lie: %+v", x)
			}
		}
		if found && strings.Contains(res.stdout, "TC-FLEET") {
			return
		}
		if seconds > 100 || f.metric(requests, 0) > before {
			t.Fatalf("the report does not say that %s: %v", want, res)
		}
		f.replicas[1].cmd.Wait()
		f.replicas[1] = f.start(1)
		f.await(1, "up")
	}
}

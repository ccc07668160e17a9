package certify_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral"
	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/certify/target"
)

// Certify a running server, with a higher rate than the test case demands.
func ExampleRun() {
	rep, err := certify.Run(context.Background(), certify.Options{
		Target:  "http://localhost:8000",
		Profile: "full",
		Set:     []string{"targets.throughput_rps=80"},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range rep.Checks {
		if c.Verdict != certify.Pass {
			fmt.Println(c.ID, c.Verdict, c.Reason)
		}
	}
}

// The monitor can be used without a run.
func ExampleMonitor() {
	m := certify.NewMonitor()
	m.RecordLatency("single_request", 120*time.Millisecond)
	m.RecordLatency("single_request", 80*time.Millisecond)
	m.RecordResourceUsage(certify.ResourceMemory, 3<<30)
	s := m.Summary()
	fmt.Printf("%.0f ms, %.0f GB\n", s.AvgLatencyMS, s.PeakMemoryBytes/(1<<30))
	// Output: 100 ms, 3 GB
}

// TestMixtralInferencePerformance is the pytest of TC-L1-COMP-MIXTRAL-003 as a Go test, to copy: it serves a model in
// this process, runs the case and demands that the checks pass. Here the model is synthetic and answers nonsense, so
// the quality check is left out, and the load is small.
func TestMixtralInferencePerformance(t *testing.T) {
	if testing.Short() {
		t.Skip("makes load for half a minute")
	}
	config := mixtral.DefaultConfig()
	config.ModelPath = "synth:tiny" // yours: /opt/models/mixtral-8x7b-instruct-v0.1.Q4_K_M.gguf
	service, err := mixtral.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = service.Close() })

	options := certify.Options{
		Launch:    target.Handler(service.Handler()), // or Target: "http://…"
		ReportDir: t.TempDir(),
		Set: []string{ // leave these out for a real certification
			"targets.throughput_rps=5",
			// the server and other tests share this machine's cores
			"limits.issue_delay_ms=10000", "limits.metrics_gap_ms=10000", "limits.little_share=0.5",
			"profiles.quick.warmup.max_s=1", "profiles.quick.warmup.duration_s=1",
			"profiles.quick.single.requests=3", "profiles.quick.single.duration_s=0.5",
			"profiles.quick.concurrent.requests=10", "profiles.quick.concurrent.duration_s=1",
			"profiles.quick.concurrent.ramp_s=0",
			"profiles.quick.sustained.duration_s=3", "profiles.quick.sustained.ramp_s=0.5",
			"profiles.quick.single-again.requests=3", "profiles.quick.single-again.duration_s=0.5",
			"profiles.quick.idle.duration_s=0.5",
			"profiles.quick.quality.max_tokens=8", "profiles.quick.quality-under-load.max_tokens=8",
		},
	}
	wanted := map[string]bool{"latency-single": true, "latency-concurrent": true, "memory": true, "metrics": true,
		"steps": true, "report": true}
	for left := 2; ; left-- { // repeat a run that could not be judged because other programs took the machine
		rep, err := certify.Run(t.Context(), options)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(rep.Evidence.File); err == nil {
			t.Error("the record lies in the working folder, and not where the report is")
		}
		again := false
		for _, c := range rep.Checks {
			switch {
			case !wanted[c.ID] || c.Verdict == certify.Pass:
			case c.Verdict == certify.Invalid && left > 0:
				again = true
			default:
				t.Errorf("%s: %s: %s (%s)", c.ID, c.Verdict, c.Clause, c.Reason)
			}
		}
		if !again || t.Failed() {
			return
		}
	}
}

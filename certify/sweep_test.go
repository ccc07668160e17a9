package certify_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/certify/target"
	"github.com/hxp-enterprise/mixtral/internal/certify/faults"
)

func TestASweepFindsWhereAServerSaturates(t *testing.T) {
	t.Parallel()
	// serves 40 a second
	s := faults.New(faults.Config{Fault: faults.TooSlow, TargetRPS: 50, TTFT: 5 * time.Millisecond,
		Gap: time.Millisecond})
	t.Cleanup(s.Close)
	told := 0
	res, err := certify.Sweep(t.Context(), certify.Options{Case: short, Launch: target.Handler(s),
		ReportDir: t.TempDir(), Seed: 5, Set: []string{"targets.latency_ms=400"}},
		time.Second, func(certify.SweepStep) { told++ })
	if err != nil {
		t.Fatal(err)
	}
	if told != len(res.Steps) || res.Highest < 15 || res.Highest > 60 || res.Lowest <= res.Highest {
		t.Errorf("holds %g, fails %g after %d steps (%d told): the server serves 40 a second", res.Highest,
			res.Lowest, len(res.Steps), told)
	}
	for _, step := range res.Steps {
		if step.RPS > 80 && step.Held || step.Requests == 0 {
			t.Errorf("%+v", step)
		}
	}
}

func TestSweepsThatCannotBe(t *testing.T) {
	o := certify.Options{Case: "testdata/audits.yaml", Launch: target.Handler(nil), ReportDir: t.TempDir()}
	if _, err := certify.Sweep(t.Context(), o, time.Minute, nil); !errors.Is(err, certify.ErrOptions) {
		t.Errorf("no open phase: %v", err)
	}
	o.Case = short
	if _, err := certify.Sweep(t.Context(), o, time.Millisecond, nil); !errors.Is(err, certify.ErrOptions) {
		t.Errorf("short steps: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	o.Launch = target.Handler(server(t, faults.Healthy))
	_, err := certify.Sweep(ctx, o, time.Second, func(certify.SweepStep) { cancel() })
	if !errors.Is(err, certify.ErrInterrupted) {
		t.Errorf("interrupted: %v", err)
	}
}

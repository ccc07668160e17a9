package certify_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/certify/target"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/faults"
	"github.com/hxp-enterprise/mixtral/internal/certify/judge"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// TestASweepFindsWhereAServerSaturates tries a sweep on a server that serves 40 requests/s, and derives the report
// again from its record. On a busy machine steps become unclear and the knee less certain, but not wrong.
func TestASweepFindsWhereAServerSaturates(t *testing.T) {
	t.Parallel()
	s := faults.New(faults.Config{Fault: faults.TooSlow, TargetRPS: 50, TTFT: 5 * time.Millisecond,
		Gap: time.Millisecond})
	t.Cleanup(s.Close)
	dir, ended := t.TempDir(), 0
	rep, err := certify.Run(t.Context(), certify.Options{Case: short, Launch: target.Handler(s), ReportDir: dir,
		Seed:  5,
		Sweep: "rate=10..160", SweepStep: time.Second, SLO: []string{"latency:mean<400ms"},
		Set: []string{"targets.throughput_rps=10", "profiles.sweep.knee.sweep.steps=8",
			"profiles.sweep.knee.sweep.rest_s=0.1", "profiles.sweep.knee.sweep.drain_s=60"},
		Progress: func(e certify.Event) {
			if e.Kind == certify.EventEnd && strings.HasPrefix(e.Phase.ID, "knee-") {
				ended++
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	if len(rep.Sweeps) != 1 || rep.Profile != testcases.SweepProfile {
		t.Fatalf("profile %s, sweeps %+v", rep.Profile, rep.Sweeps)
	}
	sweep := rep.Sweeps[0]
	if len(sweep.Steps) != ended || ended < 4 || sweep.Objectives[0] != "latency:mean<400 ms" {
		t.Errorf("%d steps, %d ended, objectives %q", len(sweep.Steps), ended, sweep.Objectives)
	}
	for _, x := range sweep.Steps {
		if x.Load > 80 && x.Verdict == "held" || x.Requests == 0 || x.TTFT == nil || x.TPOT == nil ||
			x.GoodputBand == nil {
			t.Errorf("%+v", x)
		}
	}
	if sweep.Knee != nil && (*sweep.Knee < 15 || *sweep.Knee > 60) {
		t.Errorf("knee at %g: the server serves 40 a second; %s", *sweep.Knee, sweep.Finding)
	}
	for _, c := range rep.Checks {
		if c.ID == "knee" && (c.Verdict == certify.Fail || !strings.Contains(c.Reason, "the knee")) {
			t.Errorf("%+v", c)
		}
	}
	paths := report.PathsFor(dir, rep)
	rec, err := evidence.ReadFile(paths.Events)
	if err != nil {
		t.Fatal(err)
	}
	again, err := judge.Judge(rec.Events)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := report.JSON(rep)
	if b, _ := report.JSON(again); !bytes.Equal(a, b) {
		t.Error("the record gives another report")
	}
}

func TestSweepsThatCannotBe(t *testing.T) {
	o := certify.Options{Case: short, Launch: target.Handler(nil), ReportDir: t.TempDir(), Sweep: "rate=5..2"}
	if _, err := certify.Run(t.Context(), o); !errors.Is(err, testcases.ErrInvalid) || !strings.Contains(err.Error(),
		"rate=1..64") {
		t.Errorf("a range that falls: %v", err)
	}
	o.Sweep = "speed=1..2"
	if _, err := certify.Run(t.Context(), o); !errors.Is(err, testcases.ErrInvalid) {
		t.Errorf("an unknown load: %v", err)
	}
	o.Sweep, o.SweepStep = "rate=1..2", time.Millisecond
	if _, err := certify.Run(t.Context(), o); !errors.Is(err, certify.ErrOptions) {
		t.Errorf("short steps: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	o.Launch, o.SweepStep = target.Handler(server(t, faults.Healthy)), time.Second
	o.Progress = func(e certify.Event) {
		if e.Kind == certify.EventEnd && e.Phase.ID == "knee-01" {
			cancel()
		}
	}
	rep, err := certify.Run(ctx, o)
	if !errors.Is(err, certify.ErrInterrupted) || rep == nil || rep.Status != certify.Invalid ||
		len(rep.Sweeps) != 1 ||
		rep.Sweeps[0].CutShort == "" {
		t.Errorf("interrupted: %v, %+v", err, rep)
	}
}

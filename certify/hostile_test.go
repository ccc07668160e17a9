package certify_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/certify/target"
	"github.com/hxp-enterprise/mixtral/internal/base/cost"
	"github.com/hxp-enterprise/mixtral/internal/certify/faults"
)

// hostileRun runs a tiny case against a hostile server.
func hostileRun(ctx context.Context, t *testing.T, h faults.Hostile, dir string,
	progress func(certify.Event)) (*certify.Report, error) {
	inner := faults.New(faults.Config{Seed: 1, TTFT: 5 * time.Millisecond, Gap: time.Millisecond})
	t.Cleanup(inner.Close)
	s := httptest.NewServer(h.Handler(inner, 30)) // enough for the proof and the warm-up
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	o := certify.Options{Case: "testdata/hostile.yaml", Target: s.URL, TargetModel: faults.ModelID, ReportDir: dir,
		Seed: 3, Progress: progress}
	return certify.Run(ctx, certify.ScrapesIn(o, 5*time.Second))
}

// TestNoServerPreventsItsVerdict checks that the run ends within its planned time and with little memory, whatever the
// server sends. Its report must follow from its record, unless the server could not be measured before the load.
// MIXTRAL_BANK_HOSTILE=1 tries the whole bank one by one, which takes six minutes, and prints the time and memory of
// each.
func TestNoServerPreventsItsVerdict(t *testing.T) {
	if testing.Short() {
		t.Skip("it measures cost, which the race detector multiplies")
	}
	// Phases take 3 s at most and timeouts 1 s. The server needs memory too.
	const most, longest = 500 << 20, 2 * time.Minute
	if os.Getenv("MIXTRAL_BANK_HOSTILE") != "" {
		for _, h := range faults.HostileOnes() {
			t.Run(string(h), func(t *testing.T) {
				cost.Within(t, most, longest, func() { withstand(t, h) })
			})
		}
		return
	}
	cost.Within(t, most, longest, func() {
		t.Run("bank", func(t *testing.T) {
			for _, h := range []faults.Hostile{faults.FatAnswer, faults.ManyChunks, faults.FatMetrics,
				faults.ManyLabels, faults.Redirects} {
				t.Run(string(h), func(t *testing.T) { t.Parallel(); withstand(t, h) })
			}
		})
	})
}

func withstand(t *testing.T, h faults.Hostile) {
	dir := t.TempDir()
	rep, err := hostileRun(t.Context(), t, h, dir, nil)
	refused := h == faults.FatModels || h == faults.FatModel || h == faults.Redirects
	// on a busy machine an answer before the load may take longer than the second that it is given
	for try := 1; try < 5 && errors.Is(err, target.ErrSetup) && !refused; try++ {
		dir = t.TempDir()
		rep, err = hostileRun(t.Context(), t, h, dir, nil)
	}
	if refused {
		if rep != nil || !errors.Is(err, target.ErrSetup) || len(err.Error()) > 1000 {
			t.Fatalf("report %v, %.2000v", rep != nil, err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	paths := report.PathsFor(dir, rep)
	again(t, paths)
	data, err := os.ReadFile(paths.JSON)
	if err != nil || len(data) > 200<<10 {
		t.Errorf("a report of %d bytes, %v", len(data), err)
	}
	if rep.Status == certify.Pass && h != faults.ManyModels {
		t.Error("it passes")
	}
}

// TestASignalEndsARunAtOnce checks that even while a hostile server's answers and metrics are read.
func TestASignalEndsARunAtOnce(t *testing.T) {
	t.Parallel()
	ones := []faults.Hostile{faults.ManyChunks, faults.Silent, faults.SlowMetrics}
	if os.Getenv("MIXTRAL_BANK_HOSTILE") != "" {
		ones = append(ones, faults.Trickle, faults.FatMetrics, faults.ManyBuckets, faults.EndlessHeader, faults.Bomb)
	}
	for _, h := range ones {
		t.Run(string(h), func(t *testing.T) {
			t.Parallel()
			var at time.Time
			var rep *certify.Report
			var err error
			for try := 0; try < 5 && at.IsZero(); try++ { // on a busy machine nothing may be answered before the load
				ctx, cancel := context.WithCancel(t.Context())
				stopped := make(chan struct{})
				var began sync.Once
				rep, err = hostileRun(ctx, t, h, t.TempDir(), func(e certify.Event) {
					if e.Kind == certify.EventStart && e.Phase.ID == "single" {
						began.Do(func() {
							time.AfterFunc(200*time.Millisecond, func() { at = time.Now(); close(stopped); cancel() })
						})
					}
				})
				began.Do(func() { close(stopped) })
				<-stopped
				cancel()
			}
			took := time.Since(at)
			if !errors.Is(err, certify.ErrInterrupted) || rep == nil || rep.Status == certify.Pass {
				t.Errorf("report %v, %v", rep != nil, err)
			}
			t.Log(took)
			if took > time.Minute { // it takes a second on an idle machine
				t.Errorf("it took %s", took)
			}
		})
	}
}

package certify_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/certify/target"
	"github.com/hxp-enterprise/mixtral/internal/certify/faults"
	"github.com/hxp-enterprise/mixtral/internal/certify/judge"
)

// TestARunIsComparedWithAnEarlierOne checks that the record has the comparison, the use of the accelerators, and the
// server's description of itself. So the report can be derived again without the earlier run and without the server.
func TestARunIsComparedWithAnEarlierOne(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("TestARunFromEndToEnd has the same goroutines")
	}
	var joules atomic.Int64
	dcgm := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w,
			"DCGM_FI_DEV_FB_USED{gpu=\"0\",modelName=\"H200\"} 2048\nDCGM_FI_DEV_POWER_USAGE{gpu=\"0\"} 500\n"+
				"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{gpu=\"0\"} %d\n", joules.Add(100_000))
	}))
	defer dcgm.Close()
	healthy := server(t, faults.Healthy)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/props" {
			fmt.Fprint(w, `{"build_info":"b1234","total_slots":4,"default_generation_settings":{"n_ctx":4096},"other":"secret"}`)
			return
		}
		healthy.ServeHTTP(w, r)
	})
	dir := t.TempDir()
	o := certify.Options{Case: short, Launch: target.Handler(handler), ReportDir: dir, Seed: 4,
		GPUMetricsURL: dcgm.URL}
	before, err := certify.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if g := before.Resources.GPU; g == nil || g.PeakGB != 2 || g.Readings < 2 || g.Cards[0].Model != "H200" {
		t.Errorf("accelerators: %+v", g)
	}
	if s := before.Server; s["build_info"] != "b1234" || s["default_generation_settings.n_ctx"] != "4096" ||
		s["other"] != "" {
		t.Errorf("what the server says of itself: %v", s)
	}
	data, err := report.JSON(before)
	if err != nil {
		t.Fatal(err)
	}
	paths := report.PathsFor(dir, before)
	o.Seed, o.Against = 5, &certify.Earlier{Name: "before.json", Report: data, Events: paths.Events}
	now, err := certify.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if a := now.Against; a == nil || a.Name != "before.json" || a.Status != before.Status || len(a.Changes) < 5 {
		t.Fatalf("against: %+v", now.Against)
	}
	banded := 0
	for _, c := range now.Against.Changes {
		if c.Band != nil && c.By != nil && c.Band[0] <= *c.By && *c.By <= c.Band[1] {
			banded++
		}
	}
	if banded == 0 {
		t.Error("no change has an interval")
	}
	paths = report.PathsFor(dir, now)
	derived, err := judge.DeriveFile(t.Context(), paths.Events)
	if err != nil {
		t.Fatal(err)
	}
	again, series := derived.Report, derived.Series
	a, _ := report.JSON(now)
	b, _ := report.JSON(again)
	if !bytes.Equal(a, b) {
		t.Error("the record gives another report")
	}
	overlaid := false
	for _, p := range series.Phases {
		overlaid = overlaid || len(p.EarlierLatencyECDF) > 1
	}
	if !overlaid {
		t.Error("no distribution lies over the earlier one")
	}
	if page, err := os.ReadFile(paths.HTML); err != nil || !strings.Contains(string(page), "Against an earlier run") ||
		!strings.Contains(string(page), "What the server says of itself") {
		t.Errorf("the page lacks the comparison or the server's own words: %v", err)
	}
	o.Against = &certify.Earlier{Name: "x", Report: []byte("{}")}
	if _, err := certify.Run(t.Context(), o); !errors.Is(err, certify.ErrOptions) {
		t.Errorf("no report: %v", err)
	}
}

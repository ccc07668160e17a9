package certify

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/judge"
	"github.com/hxp-enterprise/mixtral/internal/certify/merge"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// writeRecord writes events to a record.
func writeRecord(t *testing.T, events []evidence.Event) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "record.jsonl.gz")
	w, err := evidence.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if err := w.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func merged(t *testing.T, paths ...string) ([]evidence.Event, *merge.Result, error) {
	t.Helper()
	var out []evidence.Event
	res, err := merge.Files(context.Background(), paths, func(e *evidence.Event) error {
		out = append(out, *e)
		return nil
	})
	return out, res, err
}

// TestRecordsMerge checks that a coordinator's record without the requests of one generator, merged with that
// generator's own record, gives the report of the complete record, to the byte.
func TestRecordsMerge(t *testing.T) {
	t.Parallel()
	kept := t.TempDir()
	addresses, _ := startGenerators(t, 2, GenerateOptions{RecordDir: kept})
	dir := t.TempDir()
	rep, err := Run(t.Context(), Options{Case: "testdata/short.yaml", Target: bankServer(t), ReportDir: dir, Seed: 42,
		Generators: addresses, GeneratorsKey: generatorsKey})
	if err != nil {
		t.Fatal(err)
	}
	events := readRecord(t, dir, rep)
	var own []string
	llmtest.Until(t, "the generators' own records", func() bool { // each ends its own after the run
		own, err = filepath.Glob(filepath.Join(kept, "*", "*_generator*.jsonl.gz"))
		return err != nil || len(own) == 2
	})
	if err != nil {
		t.Fatal(err)
	}
	whole := report.PathsFor(dir, rep).Events
	if got, res, err := merged(t, whole, own[0], own[1]); err != nil || res.Requests != 0 || len(got) != len(events) {
		t.Errorf("a record that has everything: %+v, %d events of %d, %v", res, len(got), len(events), err)
	}
	var holes []evidence.Event
	lost := 0
	for _, e := range events {
		if e.Request != nil && e.Request.Generator == 2 {
			lost++
			continue
		}
		holes = append(holes, e)
	}
	cut := writeRecord(t, holes)
	without, err := judge.Judge(holes)
	if err != nil || without.Status != Invalid {
		t.Errorf("without the requests of a generator the run is %s: %v", without.Status, err)
	}
	got, res, err := merged(t, own[1], cut, own[0])
	if err != nil || res.Requests != lost || res.Generators[2] != lost {
		t.Fatalf("%+v, want %d requests; %v", res, lost, err)
	}
	again, err := judge.Judge(got)
	if err != nil {
		t.Fatal(err)
	}
	again.Evidence = rep.Evidence // the events are in another order
	a, _ := report.JSON(rep)
	if b, _ := report.JSON(again); string(a) != string(b) {
		diff, err := report.Differences(b, a)
		t.Errorf("the merged record gives another report: %s, %v", strings.Join(diff, "\n"), err)
	}
	if slices.IndexFunc(got, func(e evidence.Event) bool { return e.End != nil }) != len(got)-1 {
		t.Error("something comes after the end of the merged record")
	}
	strangers(t, cut, own[1], events)
}

// strangers checks that records that do not belong together are refused.
func strangers(t *testing.T, coordinator, generator string, events []evidence.Event) {
	t.Helper()
	header := *events[0].Header
	header.Run = "another"
	other := writeRecord(t, append([]evidence.Event{{Header: &header}}, events[1:]...))
	plain := *events[0].Header
	plain.Run, plain.Generators = "", nil
	alone := writeRecord(t, []evidence.Event{{Header: &plain}})
	for name, tt := range map[string]struct {
		paths []string
		says  string
	}{
		"another run":          {[]string{other, generator}, "the coordinator's is another"},
		"twice":                {[]string{coordinator, generator, generator}, "generator 2, as"},
		"no coordinator":       {[]string{generator}, "the record of the coordinator is missing"},
		"two coordinators":     {[]string{coordinator, other}, "are both of coordinators"},
		"a run without others": {[]string{alone, generator}, "came from no generators"},
	} {
		if _, _, err := merged(t, tt.paths...); !errors.Is(err, merge.ErrPlan) || !strings.Contains(err.Error(),
			tt.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := judge.DeriveFile(t.Context(), generator); !errors.Is(err, judge.ErrEvidence) ||
		!strings.Contains(err.Error(), "report merge") {
		t.Errorf("the record of a generator alone: %v", err)
	}
	if _, _, err := merged(t, filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

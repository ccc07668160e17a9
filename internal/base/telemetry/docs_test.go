package telemetry

import (
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table into docs/METRICS.md")

// markdown returns Table in the form of docs/METRICS.md.
func markdown() (table, buckets, reasons string) {
	var t, b, r strings.Builder
	t.WriteString("| metric | type | labels | meaning | as vLLM's |\n|---|---|---|---|---|\n")
	b.WriteString("| metric | upper bounds in seconds |\n|---|---|\n")
	for _, d := range Table {
		quote := func(names ...string) string {
			for i, n := range names {
				if n != "" {
					names[i] = "`" + n + "`"
				}
			}
			return strings.Join(names, ", ")
		}
		fmt.Fprintf(&t, "| `%s` | %s | %s | %s | %s |\n", d.Name, d.Kind, quote(slices.Clone(d.labels())...), d.Help,
			quote(d.VLLM))
		if d.Kind == Histogram {
			var bounds []string
			for _, v := range d.Buckets {
				bounds = append(bounds, strconv.FormatFloat(v, 'g', -1, 64))
			}
			fmt.Fprintf(&b, "| `%s` | %s |\n", d.Name, strings.Join(bounds, " "))
		}
	}
	r.WriteString("| reason | status | what it means |\n|---|---|---|\n")
	for _, reason := range Reasons {
		status := strconv.Itoa(reason.Status)
		if reason.Status == 0 {
			status = "any"
		}
		fmt.Fprintf(&r, "| `%s` | %s | %s |\n", reason.Name, status, reason.Meaning)
	}
	return t.String(), b.String(), r.String()
}

// TestDocs: docs/METRICS.md contains the table, word for word. -update writes it.
func TestDocs(t *testing.T) {
	const path = "../../../docs/METRICS.md"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	table, buckets, reasons := markdown()
	want := string(data)
	for mark, text := range map[string]string{"<!-- table -->\n": table, "<!-- buckets -->\n": buckets,
		"<!-- reasons -->\n": reasons} {
		before, after, ok := strings.Cut(want, mark)
		if !ok {
			t.Fatalf("no %s in %s", mark, path)
		}
		rest := after
		for strings.HasPrefix(rest, "|") {
			_, rest, _ = strings.Cut(rest, "\n")
		}
		want = before + mark + text + rest
	}
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(data) {
		t.Errorf("%s does not hold the table: go test ./internal/base/telemetry -run TestDocs -update writes it", path)
	}
}

// TestRouterGauges: the gauges that inference routers read exist from the start, with the meaning of their protocol.
func TestRouterGauges(t *testing.T) {
	m := NewMetrics("v1")
	m.SetLoad(func() Load { return Load{Running: 3, Waiting: 4, KVUsage: 0.25} })
	got := scrape(t, m)
	doc, err := os.ReadFile("../../../docs/METRICS.md")
	if err != nil {
		t.Fatal(err)
	}
	for protocol, want := range map[string]struct {
		name  string
		value float64
	}{"TotalQueuedRequests": {Waiting, 4}, "TotalRunningRequests": {Running, 3},
		"KVCacheUtilization": {KVCacheUsage, 0.25}} {
		d, ok := Lookup(want.name)
		if !ok || d.Kind != Gauge || len(d.labels()) > 0 || got[want.name] != want.value {
			t.Errorf("%s: %+v is %v", protocol, d, got[want.name])
		}
		if !strings.Contains(string(doc), "| "+protocol+" | `"+want.name+"` |") {
			t.Errorf("docs/METRICS.md does not name %s", protocol)
		}
	}
}

// TestHistogramsAreNativeAndClassic: older Prometheus servers read buckets, newer ones may ask for the native form.
func TestHistogramsAreNativeAndClassic(t *testing.T) {
	m := NewMetrics("v1")
	c := m.Begin(t0)
	c.Tokens(at(0.5), 1)
	c.Tokens(at(0.6), 1)
	c.End(at(1), "stop", 0)
	families, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, f := range families {
		d, ok := Lookup(f.GetName())
		if !ok || d.Kind != Histogram {
			continue
		}
		seen++
		h := f.Metric[0].Histogram
		if h.GetSampleCount() != 1 || len(h.Bucket) != len(d.Buckets) || h.Schema == nil ||
			len(h.PositiveSpan) == 0 && h.GetZeroCount() != 1 {
			t.Errorf("%s: %v", d.Name, h)
		}
		if factor := math.Exp2(math.Exp2(-float64(h.GetSchema()))); factor > nativeFactor {
			t.Errorf("%s: native buckets grow by %v, want at most %v", d.Name, factor, nativeFactor)
		}
	}
	if seen != 4 {
		t.Errorf("%d histograms", seen)
	}
}

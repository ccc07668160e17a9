package plan

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/slo"
	"github.com/hxp-enterprise/mixtral/internal/serve/route"
)

var update = flag.Bool("update", false, "write the table of docs/SCALE.md anew")

// published are public results of MLPerf Inference's Mixtral-8x7B in the Server scenario, in requests per second.
var published = []struct {
	system      string
	accelerator string
	count       int
	rps         float64
}{
	{"1 × GH200 144 GB", "gh200-144gb", 1, 51},
	{"8 × H100", "h100", 8, 348},
	{"8 × H200", "h200", 8, 403.5}, // the middle of 392 to 415
	{"8 × MI300X", "mi300x", 8, 333},
}

// TestPublishedResults compares docs/SCALE.md with the simulation of these systems from data sheets alone. The
// benchmark's answers have 145 tokens on average. Its prompts mix three data sets; their mean length is not published,
// so two are shown.
func TestPublishedResults(t *testing.T) {
	objectives, err := slo.Parse("ttft:p99<2s,tpot:p99<200ms")
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("| system, Mixtral-8x7B in FP8 | published/s | predicted/s with prompts of 300 tokens | of " +
		"600 tokens |\n" +
		"|---|---|---|---|\n")
	for _, p := range published {
		h, err := NewHardware(p.accelerator, 1, Mixtral8x7B, 8)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&table, "| %s | %.4g |", p.system, p.rps)
		for _, prompt := range []int{300, 600} {
			one := Setup{Replica: h.Replica(), Replicas: 1, Policy: route.NameLeast, Warmup: 0.2, Traffic: Traffic{
				Requests: 6000, RPS: 64, Prompt: []int{prompt}, Output: []int{145}, Seed: 1}}
			knee, _, err := Knee(t.Context(), one, Demand{Objectives: objectives})
			if err != nil {
				t.Fatal(err)
			}
			rps := knee * float64(p.count)
			fmt.Fprintf(&table, " %.0f (%+.0f %%) |", rps, 100*(rps/p.rps-1))
		}
		table.WriteString("\n")
	}
	const path, begin, end = "../../docs/SCALE.md", "<!-- published: begin -->\n", "<!-- published: end -->"
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(doc), begin)
	old, after, found := strings.Cut(rest, end)
	if !ok || !found {
		t.Fatalf("%s has no place for the table", path)
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+table.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if old != table.String() {
		t.Errorf("%s is stale: go test ./internal/plan -update writes\n%s", path, table.String())
	}
}

package certify

import (
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/testcases"
)

func TestFilesAndPortsAreHeldAgainstTheLoad(t *testing.T) {
	c := testcases.Defaults()
	c.Limits.MaxInFlight, c.Targets.ThroughputRPS = 1000, 50
	p := &plan{c: &c, phases: testcases.Phases{{ID: "open", Kind: testcases.KindOpen, DurationS: 1}}}
	for _, tt := range []struct {
		files, ports int
		lost         bool
		says         string
	}{
		{1 << 20, 28000, false, "28000 local ports"},
		{500, 28000, false, "less than limits.max_in_flight may take: raise it with ulimit -n"},
		{100, 28000, true, "allows 100 open files"},
		{1 << 20, 90, true, "allows 90 local ports"},
	} {
		res := limits(p, 1, func() (int, bool) { return tt.files, true }, func() (int, bool) { return tt.ports, true })
		said := res.detail
		if res.err != nil {
			said = res.err.Error()
		}
		if (res.err != nil) != tt.lost || !strings.Contains(said, tt.says) {
			t.Errorf("%d files, %d ports: %s", tt.files, tt.ports, said)
		}
	}
}

package need

import (
	"strings"
	"testing"
)

// recorder is a test that only records how it ends.
type recorder struct {
	testing.TB
	fatal, skipped string
}

func (r *recorder) Helper()                           {}
func (r *recorder) Fatalf(format string, args ...any) { r.fatal = format; panic(r) }
func (r *recorder) Skipf(format string, args ...any)  { r.skipped = format; panic(r) }

func TestMissing(t *testing.T) {
	for _, test := range []struct {
		ci   string
		fail bool
	}{{"", false}, {"true", true}, {"1", true}} {
		t.Setenv("CI", test.ci)
		r := &recorder{}
		func() {
			defer func() { recover() }()
			Missing(r, "no such thing")
		}()
		if (r.fatal != "") != test.fail || (r.skipped != "") == test.fail ||
			!strings.HasPrefix(r.fatal+r.skipped, "no such thing") {
			t.Errorf("CI=%q: failed %q, skipped %q", test.ci, r.fatal, r.skipped)
		}
	}
}

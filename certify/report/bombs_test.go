package report

import (
	"io"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/hostile"
)

// TestBombs checks that reading, showing or comparing a report of a few megabytes, or making its page, does not need
// gigabytes.
func TestBombs(t *testing.T) {
	if testing.Short() {
		t.Skip("it has one goroutine, so the race detector finds nothing in it")
	}
	const size = 2 * mostValues // bytes, for as many values of two bytes as are allowed
	read := func(data []byte) error {
		r, err := Parse(data)
		if err != nil {
			return err
		}
		for _, write := range []func() error{
			func() error { return Text(io.Discard, r) }, func() error { return WriteHTML(io.Discard, r, Series{}) },
			func() error { return WriteJUnit(io.Discard, r) },
			func() error { return DiffText(io.Discard, Diff(r, r), true) },
			func() error { _, err := Differences(data, data); return err },
		} {
			if err := write(); err != nil {
				return err
			}
		}
		return nil
	}
	for _, field := range []string{"checks", "phases", "sweeps", "preconditions", "reconciliation", "environment",
		"notices", "quality", "summary", "unknown"} {
		t.Run(field, func(t *testing.T) {
			hostile.Bombs(t, hostile.Texts(
				`{"test_case":"a","status":"PASS","schema_version":1,"`+field+`":%s}`, size), hostile.Most{Bytes: 512 << 20},
				read)
		})
	}
	hostile.Bombs(t, map[string]string{"words": strings.Repeat("[", 16<<20)}, hostile.Most{Bytes: 64 << 20}, read)
}

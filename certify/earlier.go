package certify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/judge"
)

// read makes what the record keeps of the earlier run. So a comparison can be derived again by whoever has the later
// record alone.
func (e *Earlier) read() (*evidence.Against, error) {
	if _, err := report.Parse(e.Report); err != nil {
		return nil, fmt.Errorf("%w: against %s: %w", ErrOptions, e.Name, err)
	}
	out := &evidence.Against{Name: e.Name, Report: json.RawMessage(e.Report)}
	if e.Events == "" {
		return out, nil
	}
	rec, err := evidence.ReadFile(e.Events)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err == nil {
		out.Phases, err = judge.Samples(rec.Events)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: against %s: %w", ErrOptions, e.Name, err)
	}
	return out, nil
}

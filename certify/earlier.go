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

// mostEarlier limits an earlier report, in bytes, because it becomes a line of the record, and those are limited.
const mostEarlier = 4 << 20

// read returns the part of an earlier run's report that the record keeps. So the comparison can be derived again from
// the later record alone.
func (e *Earlier) read() (*evidence.Against, error) {
	if _, err := report.Parse(e.Report); err != nil {
		return nil, fmt.Errorf("%w: against %s: %w", ErrOptions, e.Name, err)
	}
	if len(e.Report) > mostEarlier {
		return nil, fmt.Errorf("%w: against %s: its report has %d bytes, at most %d can be kept in a record",
			ErrOptions,
			e.Name, len(e.Report), mostEarlier)
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

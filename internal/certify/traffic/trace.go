package traffic

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/testcases"
)

// blockTokens is the number of tokens in a block of Mooncake's traces.
const blockTokens = 512

// mooncake converts a line of Mooncake's traces: a timestamp in milliseconds, lengths in tokens, and ids of shared
// blocks.
func (e *entry) mooncake() (r Record, err error) {
	if e.Timestamp == nil || e.Input == nil || e.Output == nil {
		return r, errors.New("needs timestamp, input_length and output_length")
	}
	r.At = *e.Timestamp / 1000
	if r.Input, err = length("input_length", *e.Input); err != nil {
		return r, err
	}
	if r.Output, err = length("output_length", *e.Output); err != nil {
		return r, err
	}
	if most := r.Input/blockTokens + 1; len(e.HashIDs) > most {
		return r, fmt.Errorf("hash_ids: %d blocks of %d tokens in a prompt of %d", len(e.HashIDs), blockTokens,
			r.Input)
	}
	r.Blocks = e.HashIDs
	return r, r.checkTime()
}

// maxTime is ten years in seconds. Times beyond ten times that are taken for errors.
const maxTime = 10 * 365 * 86400

func (r *Record) checkTime() error {
	if !(math.Abs(r.At) <= maxTime*10) {
		return fmt.Errorf("timestamp: %g s is out of range", r.At)
	}
	return nil
}

// traceReader reads the rows of traces in CSV.
func traceReader(format testcases.Format, at map[string]int) (func([]string) (Record, error), error) {
	names := []string{"timestamp", "request tokens", "response tokens"}
	if format == testcases.FormatAzure {
		names = []string{"timestamp", "contexttokens", "generatedtokens"}
	}
	cols, err := columns(at, names...)
	if err != nil {
		return nil, err
	}
	return func(row []string) (r Record, err error) {
		if r.At, err = moment(format, row[cols[0]]); err != nil {
			return r, err
		}
		if r.Input, err = whole(names[1], row[cols[1]]); err != nil {
			return r, err
		}
		if r.Output, err = whole(names[2], row[cols[2]]); err != nil {
			return r, err
		}
		return r, r.checkTime()
	}, nil
}

// moment reads a time in seconds, or for Azure a date with the time of day.
func moment(format testcases.Format, s string) (float64, error) {
	s = strings.TrimSpace(s)
	if format == testcases.FormatAzure {
		for _, layout := range []string{"2006-01-02 15:04:05.9999999", "2006-01-02 15:04:05.9999999-07:00",
			time.RFC3339Nano} {
			if t, err := time.Parse(layout, s); err == nil {
				return t.Sub(time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)).Seconds(), nil
			}
		}
		return 0, fmt.Errorf("timestamp: must be a date and a time of day such as 2023-11-16 18:15:46.6805900, "+
			"is %q", s)
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("timestamp: must be a number of seconds, got %q", s)
	}
	return v, nil
}

// sortTrace sorts requests by time, and makes times count from the first. Requests without a length, which failed when
// the trace was recorded, get one token.
func sortTrace(list []Record) {
	slices.SortStableFunc(list, func(a, b Record) int { return cmp.Compare(a.At, b.At) })
	first := list[0].At
	for i := range list {
		r := &list[i]
		r.At -= first
		r.Input, r.Output = max(r.Input, 1), max(r.Output, 1)
	}
}

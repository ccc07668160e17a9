package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/base/plainjson"
)

// ErrFormat matches errors about a file that is not a report of this program, or is one of a later version.
var ErrFormat = errors.New("not a certification report")

// Extensions of the files of one report, after BaseName.
const (
	JSONExt        = ".json"
	HTMLExt        = ".html"
	JUnitExt       = ".junit.xml"
	EventsExt      = ".events.jsonl.gz"
	AttestationExt = ".intoto.jsonl" // the suffix that in-toto specifies: each line of JSON is a signed envelope
)

// Bounds of a report that is read. A usual one has 50 KB and 3,000 values.
const (
	maxReport  = 16 << 20
	mostValues = 1 << 18
)

// BaseName is the name of a report's files without their extensions: performance_<case>_<unix seconds>, as the
// specification writes it. Characters that are unsafe in file names become "-".
func BaseName(caseID string, start time.Time) string {
	safe := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' {
			return r
		}
		return '-'
	}, caseID)
	return "performance_" + safe + "_" + strconv.FormatInt(start.Unix(), 10)
}

// JSON returns the report as its file contains it: indented, with a final newline, and always the same bytes for the
// same report.
func JSON(r *Report) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return b.Bytes(), nil
}

// Parse reads a report's JSON. Unknown keys are allowed, because later versions of a schema only add keys. The error
// for anything that is not a report, or has a later schema_version, matches ErrFormat.
func Parse(data []byte) (*Report, error) {
	if n := bounded.Values(data); n > mostValues {
		return nil, fmt.Errorf("report: %w: it holds more than %d values", ErrFormat, mostValues)
	}
	var r Report
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("report: %w: %w", ErrFormat, plainjson.At(data, err))
	}
	switch {
	case r.TestCase == "" || r.Status == "":
		return nil, fmt.Errorf("report: %w: test_case or status is missing", ErrFormat)
	case r.SchemaVersion < 1 || r.SchemaVersion > SchemaVersion:
		return nil, fmt.Errorf("report: %w: schema_version %d, this build reads 1 to %d", ErrFormat, r.SchemaVersion,
			SchemaVersion)
	}
	return &r, nil
}

// ReadFile reads a report's JSON file, and also returns its bytes. Its errors are those of Parse and of reading the
// file; a file of more than 16 MiB matches ErrFormat.
func ReadFile(path string) (*Report, []byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("report: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxReport+1))
	if err != nil {
		return nil, nil, fmt.Errorf("report: %w", err)
	}
	if len(data) > maxReport {
		return nil, nil, fmt.Errorf("%s: %w: larger than %d bytes", path, ErrFormat, maxReport)
	}
	r, err := Parse(data)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, data, nil
}

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
)

// ErrFormat is matched by errors about a file that is not a report of this product, or one of a later version.
var ErrFormat = errors.New("not a certification report")

// Extensions of the files of one report, after BaseName.
const (
	JSONExt        = ".json"
	HTMLExt        = ".html"
	JUnitExt       = ".junit.xml"
	EventsExt      = ".events.jsonl.gz"
	AttestationExt = ".intoto.jsonl" // in-toto's own suffix: a line of JSON is a signed envelope
)

// What is read of a report is bounded; one has some 50 KB and 3,000 values.
const (
	maxReport  = 16 << 20
	mostValues = 1 << 18
)

// BaseName is the name of a report's files without their extensions, performance_<case>_<unix seconds>, as the
// specification test case writes it. Characters that are unsafe in file names become "-".
func BaseName(caseID string, start time.Time) string {
	safe := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' {
			return r
		}
		return '-'
	}, caseID)
	return "performance_" + safe + "_" + strconv.FormatInt(start.Unix(), 10)
}

// JSON is the report as its file holds it: indented, ended by a newline, and the same bytes for the same report.
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

// Parse reads a report's JSON. Unknown keys are allowed, since later versions of a schema only add keys. A later
// schema_version, and anything that is not a report, match ErrFormat.
func Parse(data []byte) (*Report, error) {
	if n := bounded.Values(data); n > mostValues {
		return nil, fmt.Errorf("report: %w: it holds more than %d values", ErrFormat, mostValues)
	}
	var r Report
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("report: %w: %w", ErrFormat, err)
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

// ReadFile reads a report's JSON file and returns its bytes too.
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

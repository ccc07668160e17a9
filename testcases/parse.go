package testcases

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
)

// maxFile bounds a case file; the compiled-in one has about 10 KB.
const maxFile = 1 << 20

// Defaults are the values that a case file may leave out: limits that separate faults from noise in tests of the
// certifier, and requests as chat clients send them.
func Defaults() Case {
	return Case{
		Prompts: BuiltinPrompts,
		Limits: Limits{
			ErrorBudget:  0.001,
			IssueDelayMS: 50, // 2.5 % of the specification's 2,000 ms
			// above arrivals × timeout of the specification's 50 requests/s, so that timeouts come first
			MaxInFlight:      2000,
			RequestTimeoutS:  30,
			DegradationShare: 0.05,
			DegradationMS:    5,    // what a busy machine adds to a request; 1/400 of the specification's target
			StallMS:          1000, // half of the specification's 2,000 ms
			LeakMBPerHour:    100,
			LeakShare:        0.005,
			CacheSpeedup:     0.10,
			MetricsGapMS:     40,
			LittleShare:      0.05,
			Confidence:       0.99,
			QualityTolerance: 0.05,
			BaselineShare:    0.10,
		},
		Request: Request{MaxTokens: 64, Temperature: 0.7, Stream: true, Salt: true},
	}
}

// BuiltinPrompts is the value of Case.Prompts that stands for the prompts of TC-L1-COMP-MIXTRAL-003.
const BuiltinPrompts = "builtin"

// New makes a case of this version with the defaults. Add targets, profiles and checks; Validate says what is missing.
func New(id, name string) *Case {
	c := Defaults()
	c.SchemaVersion, c.ID, c.Name = SchemaVersion, id, name
	return &c
}

// Marshal writes the case as a case file, which Parse reads. It does not validate.
func (c *Case) Marshal() ([]byte, error) {
	data, err := yaml.MarshalWithOptions(c, yaml.UseLiteralStyleIfMultiline(true))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return data, nil
}

// Parse reads a case file: strict YAML over Defaults, validated. Errors match ErrInvalid, and show the line at fault.
func Parse(data []byte) (*Case, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrInvalid, len(data), maxFile)
	}
	c := Defaults()
	if err := unmarshal(data, &c); err != nil {
		return nil, err
	}
	if c.Extends != "" {
		return nil, showLines(&Problem{Key: "extends", Reason: "is for case files: what is read here " +
			"stands by itself"}, data)
	}
	if err := errors.Join(c.ExpandSLO(), c.Validate()); err != nil {
		return nil, showLines(err, data)
	}
	return &c, nil
}

// unmarshal reads strict YAML. The YAML library panics on some files that are not YAML (fuzzing found them, see
// testdata); a bad file is an error here, never the end of the process.
func unmarshal(data []byte, c *Case) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: unreadable YAML (%v)", ErrInvalid, r)
		}
	}()
	if err := bounded.YAML(data); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if err := yaml.UnmarshalWithOptions(data, c, yaml.Strict()); err != nil {
		return fmt.Errorf("%w: %s", ErrInvalid, strings.TrimSpace(bounded.Lines(yaml.FormatError(err, false, true))))
	}
	return nil
}

// annotated gives the lines around a key of the source, or none if the key is not in it.
func annotated(data []byte, key string) (lines string) {
	defer func() {
		if recover() != nil {
			lines = ""
		}
	}()
	path, err := yaml.PathString("$." + key)
	if err != nil {
		return ""
	}
	src, err := path.AnnotateSource(data, false)
	if err != nil {
		return ""
	}
	return "\n" + strings.TrimRight(bounded.Lines(string(src)), "\n ")
}

// Problem is one thing wrong with a case: the key, and what is allowed there.
type Problem struct {
	Key    string // "targets.latency_ms", "profiles.quick[3].rps"
	Reason string
}

// Error gives "key: reason".
func (p *Problem) Error() string { return p.Key + ": " + p.Reason }

// Is makes every Problem an ErrInvalid.
func (p *Problem) Is(target error) bool { return target == ErrInvalid }

// Problems lists the problems in err.
func Problems(err error) []*Problem {
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		var p *Problem
		if errors.As(err, &p) {
			return []*Problem{p}
		}
		return nil
	}
	var all []*Problem
	for _, e := range joined.Unwrap() {
		all = append(all, Problems(e)...)
	}
	return all
}

// showLines adds to every problem the source line it stands in, where the key is in the file.
func showLines(err error, data []byte) error {
	var all []error
	for _, p := range Problems(err) {
		shown := *p
		shown.Reason += annotated(data, p.Key)
		all = append(all, &shown)
	}
	return errors.Join(all...)
}

package testcases

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
)

// maxFile limits a case file, in bytes. The built-in case has about 10 kB.
const maxFile = 1 << 20

// Defaults returns a case with the values that a case file may leave out. The limits separate faults from noise in the
// tests of the certifier, and requests are as chat clients send them.
func Defaults() Case {
	return Case{
		Prompts: BuiltinPrompts,
		Limits: Limits{
			ErrorBudget:  0.001,
			IssueDelayMS: 50, // 2.5 % of the specification's 2,000 ms
			// more than timeout × rate at the specification's 50 requests/s, so that requests time out before the
			// limit is reached
			MaxInFlight:      2000,
			RequestTimeoutS:  30,
			DegradationShare: 0.05,
			DegradationMS:    5,    // a busy machine adds this much to a request; 1/400 of the specification's target
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

// BuiltinPrompts is the value of Case.Prompts for the prompts of TC-L1-COMP-MIXTRAL-003.
const BuiltinPrompts = "builtin"

// New makes a case with the defaults. Add targets, profiles and checks; Validate says what is missing.
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

// Parse reads a case file as strict YAML, adds the defaults, and validates the case. It does not follow extends; Load
// does. Errors match ErrInvalid and show the wrong line.
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

// unmarshal reads strict YAML. It recovers from panics, because the YAML library panics on some invalid files (see
// testdata).
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

// annotated returns the lines around a key in the source, or "" if the key is not there.
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

// Problem is one mistake in a case: the key, and what is allowed there. It matches ErrInvalid.
type Problem struct {
	Key    string // "targets.latency_ms", "profiles.quick[3].rps"
	Reason string
}

// Error returns "key: reason".
func (p *Problem) Error() string { return p.Key + ": " + p.Reason }

// Is makes every Problem match ErrInvalid.
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

// showLines adds to every problem the lines around its key, if the key is in the file.
func showLines(err error, data []byte) error {
	var all []error
	for _, p := range Problems(err) {
		shown := *p
		shown.Reason += annotated(data, p.Key)
		all = append(all, &shown)
	}
	return errors.Join(all...)
}

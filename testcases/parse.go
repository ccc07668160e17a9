package testcases

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/base/spell"
	"github.com/hxp-enterprise/mixtral/internal/base/yamlfile"
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
// does. Errors match ErrInvalid. They list all problems, each with its line.
func Parse(data []byte) (*Case, error) {
	f, err := readFile("", data)
	if err != nil {
		return nil, err
	}
	s := &source{files: []*file{f}, tree: f.tree, data: data}
	if extends(f.tree) {
		f.problems = append(f.problems, &Problem{Key: "extends", Reason: "is for case files: what is read here " +
			"stands by itself", line: f.lines["extends"]})
	}
	return s.parse()
}

// parse makes the case of a source.
func (s *source) parse() (*Case, error) {
	c := Defaults()
	lines, found, err := yamlfile.Read(&c, "", s.data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	var all []*Problem
	for i, f := range s.files {
		for _, p := range f.problems {
			p.file, p.Place = i, yamlfile.Place(f.name, p.line)
			all = append(all, p)
		}
	}
	if len(all)+len(found) == 0 {
		c = Defaults()
		if err := unmarshal(s.data, &c); err != nil {
			return nil, err
		}
	}
	wrong := wrongKeys(found, lines)
	for _, p := range Problems(errors.Join(c.ExpandSLO(), c.Validate())) {
		if !p.follows(wrong) && (!s.partial || p.alone && s.find(s.files[0], p.Key).whole) {
			all = append(all, s.located(p))
		}
	}
	if len(all) == 0 && len(found) > 0 { // cannot happen, as long as what goes wrong together goes wrong alone
		for _, p := range found {
			all = append(all, s.located(problemOf(p)))
		}
	}
	if len(all) > 0 {
		return nil, listed(all)
	}
	return &c, nil
}

// wrongKeys lists the keys whose values could not be read, and those that an unknown key probably means, unless the
// file has them, too.
func wrongKeys(found []yamlfile.Problem, lines yamlfile.Lines) (keys []string) {
	for _, p := range found {
		keys = append(keys, p.Path)
		if near := strings.TrimSuffix(p.Path, p.Key) + nearest(p.Key, p.Known); p.Key != "" && lines[near] == 0 {
			keys = append(keys, near)
		}
	}
	return keys
}

// nearest returns the known key that an unknown one most likely means, or nothing: a similar one, or the one that has
// a unit behind it.
func nearest(key string, known []string) string {
	for _, k := range known {
		if key != "" && strings.HasPrefix(k, key+"_") {
			return k
		}
	}
	return spell.Nearest(key, known)
}

// problemOf says in words what Read found.
func problemOf(p yamlfile.Problem) *Problem {
	reason := fmt.Sprintf("%s, got %s", p.Allowed, p.Value)
	if p.Allowed == "" {
		reason = fmt.Sprintf("unknown key %q", p.Key)
		if near := nearest(p.Key, p.Known); near != "" {
			reason += fmt.Sprintf(" (did you mean %q?)", near)
		}
		reason += "; known keys: " + strings.Join(p.Known, ", ")
	}
	return &Problem{Key: bounded.Short(p.Path, 200), Reason: bounded.Short(reason, 1000), line: p.Line}
}

// unmarshal reads strict YAML. It recovers from panics, because the YAML library panics on some invalid files (see
// testdata).
func unmarshal(data []byte, c *Case) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: cannot be read as YAML", ErrInvalid)
		}
	}()
	if err := bounded.YAML(data); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if err := yaml.UnmarshalWithOptions(data, c, yaml.Strict()); err != nil {
		where := ""
		var detail yaml.Error
		if errors.As(err, &detail) && detail.GetToken() != nil {
			where = yamlfile.Place("", detail.GetToken().Position.Line) + ": "
		}
		return fmt.Errorf("%w: %scannot be read as YAML", ErrInvalid, where)
	}
	return nil
}

package attest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/report"
)

// The types in this product's attestations. An attestation of another type comes from another program and is refused.
const (
	PayloadType   = "application/vnd.in-toto+json"
	StatementType = "https://in-toto.io/Statement/v1"
	PredicateType = "https://in-toto.io/attestation/test-result/v0.1"
)

// The results of a test-result predicate. WARNED means "passed, with warnings", so an INVALID run is FAILED here. The
// subject's annotation has the exact verdict.
const (
	Passed = "PASSED"
	Warned = "WARNED"
	Failed = "FAILED"
)

// ErrFormat matches errors about a file that is not an attestation by this product.
var ErrFormat = errors.New("not an attestation of a certification report")

// Statement is the in-toto statement that is signed (specification v1).
type Statement struct {
	Type          string     `json:"_type"`
	Subject       []Resource `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     TestResult `json:"predicate"`
}

// Resource is in-toto's ResourceDescriptor, with the fields that are used here.
type Resource struct {
	Name        string            `json:"name,omitempty"`
	URI         string            `json:"uri,omitempty"`
	Digest      map[string]string `json:"digest,omitempty"` // algorithm to hexadecimal
	Content     []byte            `json:"content,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// TestResult is in-toto's test-result predicate, version 0.1.
type TestResult struct {
	Result        string     `json:"result"`
	Configuration []Resource `json:"configuration"`
	PassedTests   []string   `json:"passedTests"`
	WarnedTests   []string   `json:"warnedTests"`
	FailedTests   []string   `json:"failedTests"`
}

// Files are the subjects of a statement: the bytes of a report, and its record.
type Files struct {
	ReportName   string // file names without their folders
	Report       []byte // the JSON file, byte for byte
	RecordName   string
	RecordSHA256 string // of the record's file on disk, in hexadecimal
}

// NewStatement makes the statement that is signed. It depends only on the files.
func NewStatement(f Files) (*Statement, error) {
	r, err := report.Parse(f.Report)
	if err != nil {
		return nil, fmt.Errorf("attest: %w", err)
	}
	if n := len(f.RecordSHA256); n != 2*sha256.Size {
		return nil, fmt.Errorf("attest: the digest of the record must have %d hexadecimal digits, has %d",
			2*sha256.Size, n)
	}
	sum := sha256.Sum256(f.Report)
	s := &Statement{Type: StatementType, PredicateType: PredicateType, Subject: []Resource{
		{Name: f.ReportName, Digest: sha256Of(hex.EncodeToString(sum[:])), Annotations: map[string]string{
			"verdict": string(r.Status), "profile": r.Profile,
			"started": time.UnixMilli(int64(r.Timestamp * 1000)).UTC().Format(time.RFC3339)}},
		{Name: f.RecordName, Digest: sha256Of(f.RecordSHA256)},
	}}
	if model := r.Fingerprints["model_sha256"]; model != "" {
		s.Subject = append(s.Subject, Resource{Name: "model", Digest: sha256Of(model),
			Annotations: filled("model", r.Target.Model)})
	}
	s.Predicate = TestResult{Result: result(r.Status), Configuration: configuration(r), PassedTests: []string{},
		WarnedTests: []string{}, FailedTests: []string{}}
	for _, c := range r.Checks {
		switch c.Verdict {
		case report.Pass:
			s.Predicate.PassedTests = append(s.Predicate.PassedTests, c.ID)
		case report.Fail, report.Invalid:
			s.Predicate.FailedTests = append(s.Predicate.FailedTests, c.ID)
		}
	}
	return s, nil
}

func sha256Of(hex string) map[string]string { return map[string]string{"sha256": hex} }

// result translates a verdict into the predicate's results.
func result(status report.Verdict) string {
	if status == report.Pass {
		return Passed
	}
	return Failed
}

// configuration lists what was run, and on what: the case, its prompts and traffic, the server, and the certifier.
func configuration(r *report.Report) []Resource {
	prints := r.Fingerprints
	out := []Resource{{Name: "case", Annotations: filled("id", r.TestCase, "name", r.Case.Name, "level", r.Case.Level,
		"seed", prints["seed"])}}
	if sum := prints["case_sha256"]; sum != "" {
		out[0].Digest = sha256Of(sum)
	} else {
		out[0].Content = []byte(r.TestCase) // a descriptor needs one of digest, uri and content
	}
	server := Resource{Name: "target", Annotations: filled("kind", r.Target.Kind, "model", r.Target.Model,
		"model_id", prints["model_id"], "server_version", prints["server_version"], "metrics_dialect",
		r.Target.Dialect)}
	if u, err := url.Parse(r.Target.URL); err == nil && u.Scheme != "" {
		server.URI = r.Target.URL
	} else {
		server.Content = []byte(r.Target.URL)
		if len(server.Content) == 0 {
			server.Content = []byte("unknown")
		}
	}
	out = append(out, server)
	var files []string
	for key := range prints {
		if strings.HasSuffix(key, "_sha256") || strings.HasPrefix(key, "traffic_sha256:") {
			files = append(files, key)
		}
	}
	slices.Sort(files)
	for _, key := range files {
		if key != "case_sha256" && key != "model_sha256" && prints[key] != "" {
			out = append(out, Resource{Name: strings.Replace(strings.TrimSuffix(key, "_sha256"), "_sha256:", ":", 1),
				Digest: sha256Of(prints[key])})
		}
	}
	if v := prints["version"]; v != "" {
		out = append(out, Resource{Name: "certifier", Content: []byte(v)})
	}
	return out
}

// filled makes annotations of pairs of names and values, and skips empty values.
func filled(pairs ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			m[pairs[i]] = pairs[i+1]
		}
	}
	return m
}

// encode returns the statement's bytes, which are signed.
func (s *Statement) encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return nil, fmt.Errorf("attest: %w", err)
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// Differs lists where a signed statement does not follow from the files, one line for each value. It is empty if all
// values do. Fields that this version does not know are not read and make no difference.
func (s *Statement) Differs(f Files) ([]string, error) {
	want, err := NewStatement(f)
	if err != nil {
		return nil, err
	}
	have, err := s.encode()
	if err != nil {
		return nil, err
	}
	data, err := want.encode()
	if err != nil {
		return nil, err
	}
	lines, err := report.Differences(have, data)
	if err != nil {
		return nil, fmt.Errorf("attest: %w", err)
	}
	for i := range lines {
		lines[i] = "signed " + strings.ReplaceAll(lines[i], "the events give", "the files give")
	}
	return lines, nil
}

// Names says whether the statement is about a report with these bytes.
func (s *Statement) Names(data []byte) bool {
	sum := sha256.Sum256(data)
	return len(s.Subject) > 0 && s.Subject[0].Digest["sha256"] == hex.EncodeToString(sum[:])
}

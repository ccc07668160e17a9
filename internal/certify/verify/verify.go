package verify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/certify/attest"
	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/base/noun"
	"github.com/hxp-enterprise/mixtral/internal/certify/judge"
)

// Files are the files to be checked.
type Files struct {
	ReportName      string // file name without its folder, as in the attestation
	Report          []byte
	RecordName      string
	Record          io.Reader
	AttestationName string
	Attestation     []byte // nil if there is none
}

// Signatory is a party whose signature is required, with any of its keys.
type Signatory struct {
	Name string // name of the file that lists the keys
	Keys []attest.Key
}

// Result is the result of Check. mixtral report verify --json prints it.
type Result struct {
	// the report follows from the record, and all required signatures are valid
	Verified    bool           `json:"verified"`
	Report      string         `json:"report"`
	Events      string         `json:"events"`
	EventCount  int            `json:"event_count"`
	SHA256      string         `json:"events_sha256"` // SHA-256 of the record's uncompressed lines
	Status      report.Verdict `json:"status"`        // the status that the report states
	Derived     report.Verdict `json:"derived_status"`
	Missing     string         `json:"missing,omitempty"` // what is missing in a damaged record
	Differences []string       `json:"differences"`       // between the report and the one derived from the record
	Signature   *Attestation   `json:"signature,omitempty"`

	Again *report.Report `json:"-"` // the report derived from the record
}

// Attestation is the result for the attestation and its signatures.
type Attestation struct {
	File     string   `json:"file,omitempty"`
	Checked  bool     `json:"checked"` // keys were given; without keys no signature can be checked
	Signers  []Signer `json:"signers,omitempty"`
	Unknown  []string `json:"unknown,omitempty"`  // ids of keys in the attestation that were not given
	Problems []string `json:"problems,omitempty"` // why the attestation is not accepted
}

// Signer is a key whose signature is valid.
type Signer struct {
	KeyID string `json:"keyid"`
	Name  string `json:"name,omitempty"`
}

// Check derives the report again from the record, compares the two, and checks the attestation if there is one or if
// signatures are wanted. An error means that a file cannot be read; differences and wrong signatures are in the
// result.
func Check(ctx context.Context, f Files, wanted []Signatory) (*Result, error) {
	r, err := report.Parse(f.Report)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.ReportName, err)
	}
	sum := sha256.New()
	file := io.TeeReader(f.Record, sum)
	d, err := judge.DeriveReader(ctx, f.RecordName, file)
	if err != nil {
		return nil, err
	}
	// data after the record's end is part of the file, so the hash covers it
	if _, err = io.Copy(io.Discard, file); err != nil {
		return nil, fmt.Errorf("%s: %w", f.RecordName, err)
	}
	out := &Result{Report: f.ReportName, Events: f.RecordName, EventCount: d.Record.Count, Status: r.Status,
		Missing: missing(r, d), Differences: []string{}, Again: d.Report}
	out.SHA256, out.Derived = out.Again.Evidence.SHA256, out.Again.Status
	want, err := report.JSON(out.Again)
	if err != nil {
		return nil, err
	}
	differences, err := report.Differences(f.Report, want)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.ReportName, err)
	}
	out.Differences = append(out.Differences, differences...)
	out.Verified = len(differences) == 0
	if f.Attestation == nil && len(wanted) == 0 {
		return out, nil
	}
	out.Signature = signatures(ctx, f, attest.Files{ReportName: f.ReportName, Report: f.Report,
		RecordName: f.RecordName, RecordSHA256: hex.EncodeToString(sum.Sum(nil))}, wanted)
	out.Verified = out.Verified && len(out.Signature.Problems) == 0
	return out, nil
}

// signatures checks whether an attestation is about these files, and who signed it.
func signatures(ctx context.Context, f Files, of attest.Files, wanted []Signatory) *Attestation {
	a := &Attestation{File: f.AttestationName, Checked: len(wanted) > 0}
	if f.Attestation == nil {
		a.Problems = append(a.Problems, "there is no signature")
		return a
	}
	e, err := attest.Parse(f.Attestation)
	if err != nil {
		a.Problems = append(a.Problems, err.Error())
		return a
	}
	a.Unknown = e.KeyIDs()
	for _, who := range wanted {
		by, err := e.Check(ctx, who.Keys)
		if errors.Is(err, attest.ErrSignature) {
			a.Problems = append(a.Problems, fmt.Sprintf("no key of %s signed it; it names %s", who.Name,
				strings.Join(e.KeyIDs(), ", ")))
		} else if err != nil {
			a.Problems = append(a.Problems, err.Error())
		}
		for _, k := range by {
			if s := (Signer{k.ID, k.Name}); !slices.Contains(a.Signers, s) {
				a.Signers = append(a.Signers, s)
			}
			a.Unknown = slices.DeleteFunc(a.Unknown, func(id string) bool { return id == k.ID })
		}
	}
	differs, err := e.Statement.Differs(of)
	if err != nil {
		differs = []string{err.Error()}
	}
	a.Problems = append(a.Problems, differs...)
	return a
}

// missing says what a damaged record lacks in comparison with its report; "" for a complete record.
func missing(r *report.Report, d *judge.Derived) string {
	rec := d.Record
	var parts []string
	if rec.Cut {
		parts = append(parts, "the file breaks off")
	}
	if rec.Lost > 0 {
		parts = append(parts, fmt.Sprintf("lines that cannot be read: %d", rec.Lost))
	}
	if rec.Count < r.Evidence.Events {
		parts = append(parts, fmt.Sprintf("%d of %s there", rec.Count,
			noun.Of(r.Evidence.Events, "event is", "events are")))
	}
	var phases []string
	for _, p := range r.Phases {
		if !slices.ContainsFunc(d.Report.Phases, func(q report.Phase) bool { return q.ID == p.ID }) {
			phases = append(phases, report.Clean(p.ID))
		}
	}
	if len(phases) > 0 {
		parts = append(parts, "the end of these phases is missing: "+strings.Join(phases, ", "))
	}
	if len(parts) > 0 && !rec.Ended {
		parts = append(parts, "the end of the run is missing")
	}
	return strings.Join(parts, "; ")
}

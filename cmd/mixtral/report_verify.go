package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/hxp-enterprise/mixtral/certify/attest"
	reports "github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/base/noun"
	"github.com/hxp-enterprise/mixtral/internal/certify/verify"
)

type reportVerifyCmd struct {
	File        string   `arg:"" help:"A report's .json."`
	Events      string   `placeholder:"FILE" help:"The record of events; default: beside the report."`
	Key         []string `sep:"none" placeholder:"FILE" help:"Public keys, one of which must have signed the report: PEM, an SSH public key, or an authorized_keys file; repeatable. Each --key requires a signature of its own."`
	Attestation string   `placeholder:"FILE" help:"The signed attestation; default: beside the report."`
	JSON        bool     `help:"Print JSON."`
}

func (c *reportVerifyCmd) Run(a *app) error {
	wanted, err := c.wanted()
	if err != nil {
		return err
	}
	v, err := c.verify(a, wanted)
	if err != nil {
		return err
	}
	if v.Missing != "" {
		fmt.Fprintf(a.stderr, "mixtral: %s is not whole: %s\n", c.Events, v.Missing)
	}
	if c.JSON {
		err = printJSON(a.stdout, v)
	} else {
		err = printVerification(a.stdout, v)
	}
	if err != nil || v.Verified {
		return err
	}
	if made := v.Again.Fingerprints["version"]; len(v.Differences) > 0 && made != "" && made != versionString() {
		fmt.Fprintf(a.stderr, "hint: %s made the report, this is %s: the rules may have changed between them\n", made,
			versionString())
	}
	return exitWith(exitFail)
}

// wanted reads the keys of the required signers.
func (c *reportVerifyCmd) wanted() ([]verify.Signatory, error) {
	var out []verify.Signatory
	for _, name := range c.Key {
		keys, err := publicKeys(name)
		if err != nil {
			return nil, usageError(fmt.Errorf("--key: %w", err))
		}
		out = append(out, verify.Signatory{Name: name, Keys: keys})
	}
	return out, nil
}

// publicKeys reads a file of keys, or a key on the command line itself.
func publicKeys(name string) ([]attest.Key, error) {
	if strings.HasPrefix(name, "ssh-") || strings.HasPrefix(name, "ecdsa-") {
		if _, err := os.Stat(name); errors.Is(err, os.ErrNotExist) {
			return attest.ParseKeys([]byte(name), "")
		}
	}
	return attest.ReadKeys(name)
}

// verify checks the report with its files. The names in the result are the given paths.
func (c *reportVerifyCmd) verify(a *app, wanted []verify.Signatory) (*verify.Result, error) {
	r, data, err := openReport(a, c.File)
	if err != nil {
		return nil, err
	}
	if c.Events == "" {
		c.Events = recordOf(c.File, r)
	}
	paths := reports.PathsFor(filepath.Dir(c.File), r)
	files := verify.Files{ReportName: filepath.Base(paths.JSON), Report: data, RecordName: filepath.Base(paths.Events)}
	if c.Attestation == "" {
		c.Attestation = paths.Attestation
		if _, err := os.Lstat(c.Attestation); err != nil {
			c.Attestation = "" // no signature is required without a key
		}
	}
	if c.Attestation != "" {
		files.AttestationName = c.Attestation
		if files.Attestation, err = attest.ReadBytes(c.Attestation); err != nil {
			return nil, usageError(err)
		}
	}
	record, err := os.Open(c.Events)
	if err != nil && !strings.HasSuffix(c.Events, ".part") { // a record of a killed run
		if part, perr := os.Open(c.Events + ".part"); perr == nil {
			record, err = part, nil
		}
	}
	if err != nil {
		return nil, usageError(withHint(fmt.Errorf("events: %w", err), noEventsHint))
	}
	defer record.Close()
	files.Record = record
	v, err := judged(a, func() (*verify.Result, error) { return verify.Check(a.ctx, files, wanted) })
	if err != nil {
		return nil, err
	}
	v.Report, v.Events = c.File, c.Events
	return v, nil
}

func printVerification(w io.Writer, v *verify.Result) error {
	var b strings.Builder
	switch {
	case v.Verified:
		fmt.Fprintf(&b, "verified: %s follows from %s, byte for byte\n  %s\n  events sha256 %s\n", v.Status,
			noun.Of(v.EventCount, "event", "events"), v.Report, v.SHA256)
	case len(v.Differences) > 0:
		fmt.Fprintf(&b, "NOT verified: %s does not follow from %s\n", v.Report, v.Events)
	default:
		fmt.Fprintf(&b, "NOT verified: %s follows from its events, but its signature is not accepted\n", v.Report)
	}
	lines := v.Differences
	if v.Signature != nil {
		lines = append(lines, v.Signature.Problems...)
	}
	for i, line := range lines {
		if i == mostDifferences {
			fmt.Fprintf(&b, "  and %d more\n", len(lines)-i)
			break
		}
		fmt.Fprintf(&b, "  %s\n", reports.Clean(line))
	}
	if s := v.Signature; s != nil {
		for _, by := range s.Signers {
			fmt.Fprintf(&b, "  signed by %s %s\n", by.KeyID, reports.Clean(by.Name))
		}
		for _, id := range s.Unknown {
			fmt.Fprintf(&b, "  not checked: a signature of %s; give the public key with --key\n", reports.Clean(id))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

const mostDifferences = 20

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/hxp-enterprise/mixtral/certify/attest"
	reports "github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/judge"
)

type reportSignCmd struct {
	File           string `arg:"" name:"report" help:"A report's .json, with its record beside it."`
	Key            string `required:"" type:"existingfile" placeholder:"FILE" help:"Private key to sign the report with: PEM (PKCS #8) or OpenSSH. With a public SSH key, the SSH agent signs."`
	PassphraseFile string `name:"passphrase-file" type:"existingfile" placeholder:"FILE" help:"File that holds the passphrase of the key; default: MIXTRAL_SIGN_PASSPHRASE, the SSH agent, or a question on the terminal."`
	JSON           bool   `help:"Print JSON."`
}

// signedReport is what sign --json prints.
type signedReport struct {
	Attestation string   `json:"attestation"`
	KeyID       string   `json:"keyid"`      // of this signature
	Signatures  []string `json:"signatures"` // the keys of all signatures in the file
	Status      string   `json:"status"`     // the verdict that was signed
	HTML        string   `json:"html,omitempty"`
}

// Run signs only what verify would accept.
func (c *reportSignCmd) Run(a *app) error {
	key, err := openSigner(a, c.Key, c.PassphraseFile)
	if err != nil {
		return err
	}
	check := reportVerifyCmd{File: c.File}
	v, err := check.verify(a, nil)
	if err != nil {
		return err
	}
	if len(v.Differences) > 0 {
		if err := printVerification(a.stdout, v); err != nil {
			return err
		}
		return errors.New("not signed: the report does not follow from its record")
	}
	paths := reports.PathsFor(filepath.Dir(c.File), v.Again)
	if same, err := sameFile(c.File, paths.JSON); err != nil || !same {
		return usageError(fmt.Errorf("%s: the report must have the name that its record gives it, %s", c.File,
			filepath.Base(paths.JSON)))
	}
	signed, err := attest.SignFile(a.ctx, v.Again, paths, key)
	if errors.Is(err, attest.ErrOther) || errors.Is(err, attest.ErrFormat) {
		return usageError(withHint(err, "remove the file to sign these"))
	}
	if err != nil {
		return err
	}
	out := signedReport{Attestation: paths.Attestation, KeyID: key.Key().ID, Status: string(v.Status)}
	for _, s := range signed {
		out.Signatures = append(out.Signatures, s.KeyID)
	}
	if _, err := os.Stat(paths.HTML); err == nil { // the page shows the signers
		if err := writePage(a.ctx, paths, signed); err != nil {
			return err
		}
		out.HTML = paths.HTML
	}
	if c.JSON {
		return printJSON(a.stdout, out)
	}
	_, err = fmt.Fprintf(a.stdout, "signed: %s\n  %s, by %s\n", v.Status, out.Attestation, out.KeyID)
	return err
}

func sameFile(a, b string) (bool, error) {
	x, err := os.Stat(a)
	if err != nil {
		return false, err
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y), nil
}

// writePage makes the page of a report again, with its signatures.
func writePage(ctx context.Context, paths reports.Paths, signed []reports.Signature) error {
	d, err := judge.DeriveFile(ctx, paths.Events)
	if err != nil {
		return err
	}
	return reports.WriteFile(paths.HTML, func(w io.Writer) error {
		return reports.WriteHTML(w, d.Report, d.Series, signed...)
	})
}

// signaturesOf returns the signatures beside a report, if they belong to these bytes.
func signaturesOf(path string, data []byte) []reports.Signature {
	e, err := attest.ReadFile(path)
	if err != nil || !e.Statement.Names(data) {
		return nil
	}
	return e.Signatures(filepath.Base(path))
}

// checkedSigners verifies a report with its signatures, and returns its signers. If the signatures are not accepted,
// it prints why and ends with exit code 1.
func checkedSigners(a *app, file string, keys []string) ([]reports.Signature, error) {
	check := reportVerifyCmd{File: file, Key: keys}
	wanted, err := check.wanted()
	if err != nil {
		return nil, err
	}
	v, err := check.verify(a, wanted)
	if err != nil {
		return nil, err
	}
	if !v.Verified {
		if err := printVerification(a.stderr, v); err != nil {
			return nil, err
		}
		return nil, exitWith(exitFail)
	}
	accepted := make([]string, len(keys))
	for i, k := range keys {
		accepted[i] = filepath.Base(k)
		if strings.ContainsRune(k, ' ') { // the key itself
			accepted[i] = "the command line"
		}
	}
	var out []reports.Signature
	for _, s := range v.Signature.Signers {
		out = append(out, reports.Signature{KeyID: s.KeyID, Name: s.Name, File: filepath.Base(v.Signature.File),
			Checked: strings.Join(accepted, " and ")})
	}
	for _, id := range v.Signature.Unknown {
		out = append(out, reports.Signature{KeyID: id, File: filepath.Base(v.Signature.File)})
	}
	return out, nil
}

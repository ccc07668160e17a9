package attest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/hxp-enterprise/mixtral/certify/report"
)

// ErrOther matches the error about an existing attestation of another report.
var ErrOther = errors.New("it is an attestation of other files")

// SignFile signs a report and its record at paths.Events, and writes paths.Attestation. If that file exists and makes
// the same statement, it adds the signature; if it makes another statement, the error matches ErrOther. It returns all
// signatures in the file.
func SignFile(ctx context.Context, r *report.Report, paths report.Paths, by *Signer) ([]report.Signature, error) {
	data, err := report.JSON(r)
	if err != nil {
		return nil, err
	}
	files, err := FilesOf(data, paths)
	if err != nil {
		return nil, err
	}
	e, err := ReadFile(paths.Attestation)
	switch {
	case errors.Is(err, os.ErrNotExist):
		s, err := NewStatement(files)
		if err != nil {
			return nil, err
		}
		if e, err = Sign(ctx, s, by); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	default:
		if differs, err := e.Statement.Differs(files); err != nil || len(differs) > 0 {
			return nil, errors.Join(fmt.Errorf("attest: %s: %w", paths.Attestation, ErrOther), err)
		}
		if err := e.Add(ctx, by); err != nil {
			return nil, err
		}
	}
	line, err := e.Encode()
	if err != nil {
		return nil, err
	}
	write := func(w io.Writer) error {
		_, err := w.Write(line)
		return err
	}
	return e.Signatures(filepath.Base(paths.Attestation)), report.WriteFile(paths.Attestation, write)
}

// FilesOf returns the names of a report's files and the digest of its record.
func FilesOf(data []byte, paths report.Paths) (Files, error) {
	f, err := os.Open(paths.Events)
	if err != nil {
		return Files{}, fmt.Errorf("attest: %w", err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return Files{}, fmt.Errorf("attest: %w", err)
	}
	return Files{ReportName: filepath.Base(paths.JSON), Report: data, RecordName: filepath.Base(paths.Events),
		RecordSHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}

// Signatures returns the signatures for the report's page. file is the name of the envelope's file. They are not
// checked.
func (e *Envelope) Signatures(file string) []report.Signature {
	var out []report.Signature
	for _, id := range e.KeyIDs() {
		out = append(out, report.Signature{KeyID: id, File: file})
	}
	return out
}

package report

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/whole"
)

// Paths are the files of a saved report. Events is the path of the record and Attestation that of the attestation;
// Save does not write these two.
type Paths struct {
	JSON, HTML, JUnit, Events, Attestation string
}

// PathsFor returns the paths of a report's files in a directory.
func PathsFor(dir string, r *Report) Paths {
	base := strings.TrimSuffix(r.Evidence.File, EventsExt)
	if !plainName(base) {
		base = BaseName(r.TestCase, time.Unix(int64(r.Timestamp), 0))
	}
	at := filepath.Join(dir, base)
	return Paths{JSON: at + JSONExt, HTML: at + HTMLExt, JUnit: at + JUnitExt, Events: at + EventsExt,
		Attestation: at + AttestationExt}
}

// plainName checks that the file name in a report does not lead to another directory. Reports also come from
// strangers.
func plainName(base string) bool {
	return base != "" && base[0] != '.' && len(base) <= 200 && filepath.IsLocal(base) &&
		!strings.ContainsFunc(base, func(c rune) bool { return c < ' ' || strings.ContainsRune(`/\:`, c) })
}

// Save writes the JSON, HTML and JUnit files into dir, which it creates if needed. Each file appears complete or not
// at all. The JSON comes last, so once it exists the others do too. The page lists the given signatures.
func Save(dir string, r *Report, s Series, signed ...Signature) (Paths, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Paths{}, fmt.Errorf("report: %w", err)
	}
	p := PathsFor(dir, r)
	for _, f := range []struct {
		path  string
		write func(io.Writer) error
	}{
		{p.HTML, func(w io.Writer) error { return WriteHTML(w, r, s, signed...) }},
		{p.JUnit, func(w io.Writer) error { return WriteJUnit(w, r) }},
		{p.JSON, func(w io.Writer) error {
			data, err := JSON(r)
			if err == nil {
				_, err = w.Write(data)
			}
			return err
		}},
	} {
		if err := WriteFile(f.path, f.write); err != nil {
			return Paths{}, err
		}
	}
	return p, nil
}

// WriteFile writes a temporary file in the same directory and renames it at the end, so that path is never incomplete.
func WriteFile(path string, write func(io.Writer) error) error {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	err := whole.Write(path, 0o644, func(f *os.File) error {
		_, err := f.Write(b.Bytes())
		return err
	})
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

package certify_test

import (
	"crypto"
	"crypto/ed25519"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/certify/attest"
	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/certify/target"
	"github.com/hxp-enterprise/mixtral/internal/certify/faults"
)

// lostKey is a key on a device that is unplugged before it signs.
type lostKey struct{ ed25519.PrivateKey }

func (lostKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("unplugged")
}

// TestSignedRun checks that Options.SignKey signs what Run wrote. If the key fails at the end, only the signature is
// missing: there is a report with its files.
func TestSignedRun(t *testing.T) {
	t.Parallel()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"whole": private, "lost": lostKey{private}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			by, err := attest.NewSigner(key)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			rep, err := certify.Run(t.Context(), certify.Options{Case: "testdata/audits.yaml", ReportDir: dir,
				Launch: target.Handler(server(t, faults.Healthy)), SignKey: by})
			if rep == nil {
				t.Fatal(err)
			}
			paths := report.PathsFor(dir, rep)
			again(t, paths)
			if name == "lost" {
				if _, serr := os.Stat(paths.Attestation); !errors.Is(err, certify.ErrUnsigned) || serr == nil {
					t.Errorf("error %v, attestation %v", err, serr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			e, err := attest.ReadFile(paths.Attestation)
			if err != nil {
				t.Fatal(err)
			}
			k, err := attest.NewKey(public, "")
			if err != nil {
				t.Fatal(err)
			}
			if by, err := e.Check(t.Context(), []attest.Key{k}); err != nil || len(by) != 1 {
				t.Errorf("signed by %v, %v", by, err)
			}
		})
	}
}

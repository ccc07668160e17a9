// Package attest_test holds our signed attestations to other people's software: in-toto's published types, OpenSSL and
// OpenSSH.
package attest_test

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	testresult "github.com/in-toto/attestation/go/predicates/test_result/v0"
	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/hxp-enterprise/mixtral/certify/attest"
	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/base/need"
)

const keys = "../../certify/attest/testdata/"

// signed makes an attestation with a key, and gives its payload and its signature.
func signed(t *testing.T, key string) (payload, signature []byte) {
	t.Helper()
	r := &report.Report{TestCase: "TC-X", Status: report.Invalid, SchemaVersion: report.SchemaVersion,
		Checks:       []report.Check{{ID: "latency", Verdict: report.Pass, Gate: true}},
		Target:       report.TargetInfo{Kind: "url", URL: "http://127.0.0.1:8000/v1", Model: "m"},
		Fingerprints: map[string]string{"model_sha256": strings.Repeat("c", 64), "version": "v1"}}
	paths := report.PathsFor(t.TempDir(), r)
	if err := os.WriteFile(paths.Events, []byte("record"), 0o644); err != nil {
		t.Fatal(err)
	}
	by, err := attest.ReadSigner(t.Context(), keys+key, attest.SignerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := attest.SignFile(t.Context(), r, paths, by); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(paths.Attestation)
	if err != nil {
		t.Fatal(err)
	}
	var e struct {
		PayloadType, Payload string
		Signatures           []struct{ KeyID, Sig string }
	}
	if err := json.Unmarshal(data, &e); err != nil || len(e.Signatures) != 1 || e.PayloadType != attest.PayloadType {
		t.Fatalf("%s: %v", data, err)
	}
	if payload, err = base64.StdEncoding.DecodeString(e.Payload); err == nil {
		signature, err = base64.StdEncoding.DecodeString(e.Signatures[0].Sig)
	}
	if err != nil {
		t.Fatal(err)
	}
	return payload, signature
}

// TestInTotoTypes: the statement and its predicate are what in-toto's own types read, without a field that they do not
// know.
func TestInTotoTypes(t *testing.T) {
	payload, _ := signed(t, "pkcs8.pem")
	var s intoto.Statement
	if err := protojson.Unmarshal(payload, &s); err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	data, err := protojson.Marshal(s.GetPredicate())
	if err != nil {
		t.Fatal(err)
	}
	var p testresult.TestResult
	if err := protojson.Unmarshal(data, &p); err != nil {
		t.Fatal(err)
	}
	if s.GetPredicateType() != attest.PredicateType || p.GetResult() != "FAILED" ||
		!slices.Equal(p.GetPassedTests(), []string{"latency"}) || len(s.GetSubject()) != 3 {
		t.Errorf("%v, %v", &s, &p)
	}
	for _, c := range p.GetConfiguration() {
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", c.GetName(), err)
		}
	}
}

// TestOpenSSLAccepts: whoever has OpenSSL and the DSSE specification can check a signature of each kind of key.
func TestOpenSSLAccepts(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		need.Missing(t, "openssl")
	}
	for private, args := range map[string][]string{"pkcs8.pem": {"-rawin"}, "id_rsa": {"-rawin", "-digest", "sha256"},
		"id_ecdsa": {"-rawin", "-digest", "sha256"}} {
		payload, signature := signed(t, private)
		dir := t.TempDir()
		message := "DSSEv1 28 application/vnd.in-toto+json " + strconv.Itoa(len(payload)) + " " + string(payload)
		public := keys + "pkcs8.pub.pem"
		if private != "pkcs8.pem" {
			out, err := exec.Command("ssh-keygen", "-e", "-m", "PKCS8", "-f", keys+private+".pub").Output()
			if err != nil {
				need.Missing(t, "ssh-keygen")
			}
			public = filepath.Join(dir, "public.pem")
			put(t, public, out)
		}
		put(t, filepath.Join(dir, "message"), []byte(message))
		put(t, filepath.Join(dir, "signature"), signature)
		out, err := exec.Command("openssl", append([]string{"pkeyutl", "-verify", "-pubin", "-inkey", public, "-in",
			filepath.Join(dir, "message"), "-sigfile", filepath.Join(dir, "signature")}, args...)...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "Verified Successfully") {
			t.Errorf("%s: %v: %s", private, err, out)
		}
	}
}

func put(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestFingerprints: a key is called what ssh-keygen calls it.
func TestFingerprints(t *testing.T) {
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		need.Missing(t, "ssh-keygen")
	}
	for _, name := range []string{"id_ed25519.pub", "id_rsa.pub", "id_ecdsa.pub"} {
		out, err := exec.Command("ssh-keygen", "-l", "-f", keys+name).Output()
		if err != nil {
			t.Fatal(err)
		}
		k, err := attest.ReadKeys(keys + name)
		if err != nil || !slices.Contains(strings.Fields(string(out)), k[0].ID) {
			t.Errorf("%s: %s, %v, ssh-keygen says %s", name, k[0].ID, err, out)
		}
	}
}

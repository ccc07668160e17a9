package attest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/hxp-enterprise/mixtral/certify/report"
)

func sampleReport(status report.Verdict) *report.Report {
	return &report.Report{TestCase: "TC-X", Timestamp: 1772600761.25, Status: status,
		SchemaVersion: report.SchemaVersion, Profile: "quick",
		Checks: []report.Check{{ID: "latency", Verdict: report.Pass, Gate: true},
			{ID: "errors", Verdict: report.Fail, Gate: true}, {ID: "leak", Verdict: report.Invalid, Gate: true},
			{ID: "extra", Verdict: report.Info}},
		Case:   report.CaseInfo{ID: "TC-X", Name: "a case", Level: "L1"},
		Target: report.TargetInfo{Kind: "url", URL: "http://127.0.0.1:8000/v1", Model: "m"},
		Fingerprints: map[string]string{"case_sha256": strings.Repeat("a", 64),
			"prompts_sha256": strings.Repeat("b", 64), "model_sha256": strings.Repeat("c", 64),
			"traffic_sha256:chat.jsonl": strings.Repeat("d", 64), "seed": "7", "version": "v1"}}
}

// saved writes a report and a record to a new folder.
func saved(t *testing.T, r *report.Report) report.Paths {
	t.Helper()
	paths := report.PathsFor(t.TempDir(), r)
	data, err := report.JSON(r)
	if err == nil {
		err = errors.Join(os.WriteFile(paths.JSON, data, 0o644), os.WriteFile(paths.Events, []byte("record"), 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func files(t *testing.T, paths report.Paths) Files {
	t.Helper()
	data, err := os.ReadFile(paths.JSON)
	if err != nil {
		t.Fatal(err)
	}
	f, err := FilesOf(data, paths)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func signer(t *testing.T, name string) *Signer {
	t.Helper()
	s, err := ReadSigner(t.Context(), filepath.Join("testdata", name), SignerOptions{Passphrase: sesame})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sesame() ([]byte, error) { return []byte("open sesame"), nil }

func publicKeys(t *testing.T, names ...string) (keys []Key) {
	t.Helper()
	for _, n := range names {
		k, err := ReadKeys(filepath.Join("testdata", n))
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k...)
	}
	return keys
}

// TestStatement checks that a statement has the files, the verdict, the check of each gate, the case, the server and
// the model.
func TestStatement(t *testing.T) {
	for status, want := range map[report.Verdict]string{report.Pass: Passed, report.Fail: Failed,
		report.Invalid: Failed} {
		f := files(t, saved(t, sampleReport(status)))
		s, err := NewStatement(f)
		if err != nil {
			t.Fatal(err)
		}
		record := sha256.Sum256([]byte("record"))
		data := sha256.Sum256(f.Report)
		if s.Subject[0].Name != "performance_TC-X_1772600761.json" ||
			s.Subject[0].Digest["sha256"] != hex.EncodeToString(data[:]) ||
			s.Subject[0].Annotations["verdict"] != string(status) ||
			s.Subject[1].Name != "performance_TC-X_1772600761.events.jsonl.gz" ||
			s.Subject[1].Digest["sha256"] != hex.EncodeToString(record[:]) ||
			s.Subject[2].Digest["sha256"] != strings.Repeat("c", 64) {
			t.Errorf("subjects: %+v", s.Subject)
		}
		p := s.Predicate
		if p.Result != want || !slices.Equal(p.PassedTests, []string{"latency"}) ||
			!slices.Equal(p.FailedTests, []string{"errors", "leak"}) || len(p.WarnedTests) != 0 {
			t.Errorf("%s: predicate: %+v", status, p)
		}
		var names []string
		for _, c := range p.Configuration {
			names = append(names, c.Name)
			if c.URI == "" && len(c.Digest) == 0 && len(c.Content) == 0 {
				t.Errorf("%s has neither uri nor digest nor content", c.Name)
			}
		}
		if !slices.Equal(names, []string{"case", "target", "prompts", "traffic:chat.jsonl", "certifier"}) {
			t.Errorf("configuration: %v", names)
		}
	}
}

// TestSignedFilesOnly checks that a changed byte in either file is found.
func TestSignedFilesOnly(t *testing.T) {
	paths := saved(t, sampleReport(report.Pass))
	signed, err := SignFile(t.Context(), sampleReport(report.Pass), paths, signer(t, "pkcs8.pem"))
	if err != nil || len(signed) != 1 {
		t.Fatal(signed, err)
	}
	e, err := ReadFile(paths.Attestation)
	if err != nil {
		t.Fatal(err)
	}
	f := files(t, paths)
	if d, err := e.Statement.Differs(f); err != nil || len(d) != 0 || !e.Statement.Names(f.Report) {
		t.Fatalf("the same files: %v, %v", d, err)
	}
	changed := f
	changed.Report = bytes.Replace(f.Report, []byte(`"quick"`), []byte(`"full"`), 1)
	if d, err := e.Statement.Differs(changed); err != nil || len(d) != 2 ||
		!strings.Contains(d[1], `signed subject[0].digest.sha256 is`) || e.Statement.Names(changed.Report) {
		t.Errorf("another report: %q, %v", d, err)
	}
	if err := os.WriteFile(paths.Events, []byte("recorD"), 0o644); err != nil {
		t.Fatal(err)
	}
	if d, err := e.Statement.Differs(files(t, paths)); err != nil || len(d) != 1 ||
		!strings.Contains(d[0], `signed subject[1].digest.sha256 is`) {
		t.Errorf("another record: %q, %v", d, err)
	}
	_, err = SignFile(t.Context(), sampleReport(report.Pass), paths, signer(t, "id_rsa"))
	if !errors.Is(err, ErrOther) {
		t.Errorf("a signature beside one of other files: %v", err)
	}
}

// TestSeveralSignatures checks that several people can sign the same bytes, that each key counts once, and that only
// wanted keys count.
func TestSeveralSignatures(t *testing.T) {
	r := sampleReport(report.Pass)
	paths := saved(t, r)
	for _, name := range []string{"pkcs8.pem", "id_ed25519", "id_rsa", "id_ecdsa", "id_ed25519"} {
		if _, err := SignFile(t.Context(), r, paths, signer(t, name)); err != nil {
			t.Fatal(err)
		}
	}
	e, err := ReadFile(paths.Attestation)
	if err != nil || len(e.KeyIDs()) != 4 {
		t.Fatalf("%v, signatures of %v", err, e.KeyIDs())
	}
	for _, name := range []string{"pkcs8.pub.pem", "id_ed25519.pub", "id_rsa.pub", "id_ecdsa.pub"} {
		want := publicKeys(t, name)
		by, err := e.Check(t.Context(), append(publicKeys(t, "id_ed25519_locked.pub"), append(want, want...)...))
		if err != nil || len(by) != 1 || by[0].ID != want[0].ID || by[0].Name != want[0].Name {
			t.Errorf("%s: %v, %v", name, by, err)
		}
	}
	all, err := e.Check(t.Context(), publicKeys(t, "pkcs8.pub.pem", "id_ed25519.pub", "id_rsa.pub", "id_ecdsa.pub"))
	if err != nil || len(all) != 4 {
		t.Errorf("all: %v, %v", all, err)
	}
	if _, err := e.Check(t.Context(), publicKeys(t, "id_ed25519_locked.pub")); !errors.Is(err, ErrSignature) {
		t.Errorf("a key that did not sign: %v", err)
	}
	if _, err := e.Check(t.Context(), nil); !errors.Is(err, ErrSignature) {
		t.Errorf("no key: %v", err)
	}
}

// forge returns an envelope's JSON after a change.
func forge(t *testing.T, data []byte, change func(*dsse.Envelope)) []byte {
	t.Helper()
	var e dsse.Envelope
	if err := json.Unmarshal(data, &e); err != nil {
		t.Fatal(err)
	}
	change(&e)
	out, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestForgeries checks that a changed envelope is either refused as an attestation or has no accepted signature.
func TestForgeries(t *testing.T) {
	s, err := NewStatement(files(t, saved(t, sampleReport(report.Fail))))
	if err != nil {
		t.Fatal(err)
	}
	e, err := Sign(t.Context(), s, signer(t, "id_ed25519"))
	if err != nil {
		t.Fatal(err)
	}
	good, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	payload := func(change func(string) string) func(*dsse.Envelope) {
		return func(e *dsse.Envelope) {
			data, err := base64.StdEncoding.DecodeString(e.Payload)
			if err != nil {
				t.Fatal(err)
			}
			e.Payload = base64.StdEncoding.EncodeToString([]byte(change(string(data))))
		}
	}
	replace := func(old, with string) func(*dsse.Envelope) {
		return payload(func(s string) string {
			if !strings.Contains(s, old) {
				t.Fatalf("%q is not in the payload", old)
			}
			return strings.Replace(s, old, with, 1)
		})
	}
	other := signer(t, "pkcs8.pem")
	for name, c := range map[string]struct {
		change func(*dsse.Envelope)
		want   error
	}{
		"verdict":         {replace(`"FAILED"`, `"PASSED"`), ErrSignature},
		"one space":       {payload(func(s string) string { return s + " " }), ErrSignature},
		"statement type":  {replace(StatementType, "https://in-toto.io/Statement/v0.1"), ErrFormat},
		"predicate type":  {replace(PredicateType, "https://slsa.dev/provenance/v1"), ErrFormat},
		"payload type":    {func(e *dsse.Envelope) { e.PayloadType = "application/json" }, ErrFormat},
		"no payload type": {func(e *dsse.Envelope) { e.PayloadType = "" }, ErrFormat},
		"no payload":      {func(e *dsse.Envelope) { e.Payload = "" }, ErrFormat},
		"null":            {payload(func(string) string { return "null" }), ErrFormat},
		"two statements":  {payload(func(s string) string { return s + s }), ErrFormat},
		"no base64":       {func(e *dsse.Envelope) { e.Payload = "%" }, ErrFormat},
		"no signature":    {func(e *dsse.Envelope) { e.Signatures = nil }, ErrFormat},
		"too many": {func(e *dsse.Envelope) {
			e.Signatures = slices.Repeat(e.Signatures, maxSignatures+1)
		}, ErrFormat},
		"a bit of the signature": {func(e *dsse.Envelope) {
			sig, _ := base64.StdEncoding.DecodeString(e.Signatures[0].Sig)
			sig[7] ^= 1
			e.Signatures[0].Sig = base64.StdEncoding.EncodeToString(sig)
		}, ErrSignature},
		"empty signature": {func(e *dsse.Envelope) { e.Signatures[0].Sig = "" }, ErrSignature},
		"another's key under this name": {func(e *dsse.Envelope) {
			data, _ := e.DecodeB64Payload()
			sig, err := other.Sign(t.Context(), dsse.PAE(e.PayloadType, data))
			if err != nil {
				t.Fatal(err)
			}
			e.Signatures[0].Sig = base64.StdEncoding.EncodeToString(sig)
		}, ErrSignature},
		"signed as another type": {func(e *dsse.Envelope) { // signs the same bytes as another type
			data, _ := e.DecodeB64Payload()
			sig, err := signer(t, "id_ed25519").Sign(t.Context(), dsse.PAE("text/plain", data))
			if err != nil {
				t.Fatal(err)
			}
			e.Signatures[0].Sig = base64.StdEncoding.EncodeToString(sig)
		}, ErrSignature},
		"nothing":            {func(*dsse.Envelope) {}, nil},
		"no name of the key": {func(e *dsse.Envelope) { e.Signatures[0].KeyID = "" }, nil}, // the name is only a hint
	} {
		bad, err := Parse(forge(t, good, c.change))
		if err == nil {
			_, err = bad.Check(t.Context(), publicKeys(t, "id_ed25519.pub"))
		}
		if c.want == nil && err != nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	for name, data := range map[string][]byte{"empty": nil, "garbage": []byte("\x1f\x8b..."),
		"a report": []byte(`{"status":"PASS"}`), "two lines": append(slices.Clone(good), good...),
		"huge": bytes.Repeat([]byte(" "), maxEnvelope+1)} {
		if _, err := Parse(data); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzParse checks that no file causes a panic, and that an accepted envelope is the same after it was encoded and
// parsed again.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"payloadType":"application/vnd.in-toto+json","payload":"e30=",` +
		`"signatures":[{"keyid":"a","sig":"AA=="}]}`))
	keys, err := ReadKeys("testdata/id_ed25519.pub")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := Parse(data)
		if err != nil {
			return
		}
		if _, err := e.Check(t.Context(), keys); err == nil {
			t.Fatal("a signature was made up")
		}
		line, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(line); err != nil {
			t.Fatal(err)
		}
	})
}

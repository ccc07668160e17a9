package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/hxp-enterprise/mixtral/certify/attest"
)

const keys = "../../../certify/attest/testdata/"

// release makes a folder with the smallest program that knows its commit, and its checksums.
func release(t *testing.T) string {
	t.Helper()
	dir, source := t.TempDir(), t.TempDir()
	put(t, filepath.Join(source, "go.mod"), "module example.com/x\n")
	put(t, filepath.Join(source, "main.go"), "package main\nfunc main() {}\n")
	for _, args := range [][]string{{"git", "init", "-q"}, {"git", "add", "."},
		{"git", "-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "-q", "-m", "x"},
		{"go", "build", "-buildvcs=true", "-trimpath", "-o", filepath.Join(dir, "mixtral-linux-amd64"), "."}} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = source
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%q: %v: %s", args, err, out)
		}
	}
	put(t, filepath.Join(dir, "verify.html"), "a page")
	list(t, dir, "mixtral-linux-amd64", "verify.html")
	return dir
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// list writes SHA256SUMS.
func list(t *testing.T, dir string, names ...string) {
	t.Helper()
	var text strings.Builder
	for _, name := range names {
		sum, err := digest(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&text, "%s  %s\n", sum, name)
	}
	put(t, filepath.Join(dir, "SHA256SUMS"), text.String())
}

func sample(key string) options {
	at := time.Date(2026, 11, 29, 10, 0, 0, 0, time.UTC)
	return options{builder: "https://example.com/ci", key: key, started: at, finished: at.Add(time.Minute)}
}

// verify runs the script that users run.
func verify(dir, key string) (string, error) {
	out, err := exec.Command("sh", "../../../scripts/verify-release.sh", dir, key).CombinedOutput()
	return string(out), err
}

// TestSigned: what is signed with a key of either format verifies with openssl by either form of its public half, and
// with ssh-keygen; and nothing else does.
func TestSigned(t *testing.T) {
	dir := release(t)
	// The second key's signatures stay: the changes below are made to them.
	for _, pair := range [][2]string{{"id_ed25519", "id_ed25519.pub"}, {"pkcs8.pem", "pkcs8.pub.pem"}} {
		private, public := pair[0], pair[1]
		if err := run(t.Context(), dir, sample(keys+private)); err != nil {
			t.Fatal(err)
		}
		out, err := verify(dir, keys+public)
		if err != nil || !strings.Contains(out, "built by https://example.com/ci") ||
			!strings.HasSuffix(out, "verify-release: passed\n") {
			t.Errorf("%s: %v: %s", public, err, out)
		}
		for _, other := range []string{"id_ed25519.pub", "pkcs8.pub.pem"} {
			if out, err := verify(dir, keys+other); other != public && err == nil {
				t.Errorf("signed with %s, verified with %s: %s", private, other, out)
			}
		}
	}
	if out, err := verify(dir, keys+"id_rsa.pub"); err == nil {
		t.Errorf("verified with an RSA key: %s", out)
	}
	good := map[string][]byte{}
	for _, name := range []string{"SHA256SUMS", "SHA256SUMS.sig", "provenance.intoto.jsonl", "verify.html"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		good[name] = data
	}
	for name, change := range map[string]func([]byte) []byte{
		"SHA256SUMS":              func(b []byte) []byte { b[0] ^= 1; return b }, // another character
		"SHA256SUMS.sig":          func(b []byte) []byte { b[3] ^= 1; return b },
		"verify.html":             func(b []byte) []byte { return append(b, ' ') },
		"provenance.intoto.jsonl": func(b []byte) []byte { return forge(t, b, `"https://example.com/ci"`, `"https://x"`) },
	} {
		put(t, filepath.Join(dir, name), string(change(bytes.Clone(good[name]))))
		if out, err := verify(dir, keys+"pkcs8.pub.pem"); err == nil {
			t.Errorf("%s was changed, and it verifies: %s", name, out)
		}
		put(t, filepath.Join(dir, name), string(good[name]))
	}
	if out, err := verify(dir, keys+"pkcs8.pub.pem"); err != nil { // the changes were what it found
		t.Errorf("%v: %s", err, out)
	}
}

// forge changes the payload of an envelope and keeps its signature.
func forge(t *testing.T, data []byte, old, with string) []byte {
	t.Helper()
	var e dsse.Envelope
	if err := json.Unmarshal(data, &e); err != nil {
		t.Fatal(err)
	}
	payload, err := e.DecodeB64Payload()
	if err != nil || !bytes.Contains(payload, []byte(old)) {
		t.Fatalf("%v in %s", err, payload)
	}
	text, err := json.Marshal(bytes.Replace(payload, []byte(old), []byte(with), 1))
	if err != nil {
		t.Fatal(err)
	}
	e.Payload = strings.Trim(string(text), `"`)
	if data, err = json.Marshal(e); err != nil {
		t.Fatal(err)
	}
	return data
}

// TestAnotherRelease: a signed provenance of other files is refused, although both signatures are right.
func TestAnotherRelease(t *testing.T) {
	dir := release(t)
	if err := run(t.Context(), dir, sample(keys+"pkcs8.pem")); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(filepath.Join(dir, "provenance.intoto.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "verify.html"), "another page")
	list(t, dir, "mixtral-linux-amd64", "verify.html")
	if err := run(t.Context(), dir, sample(keys+"pkcs8.pem")); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "provenance.intoto.jsonl"), string(old))
	out, err := verify(dir, keys+"pkcs8.pub.pem")
	if err == nil || !strings.Contains(out, "is not about verify.html") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestSSHKeygen: OpenSSH accepts the signature that is meant for it.
func TestSSHKeygen(t *testing.T) {
	dir := release(t)
	if err := run(t.Context(), dir, sample(keys+"id_ed25519")); err != nil {
		t.Fatal(err)
	}
	public, err := os.ReadFile(keys + "id_ed25519.pub")
	if err != nil {
		t.Fatal(err)
	}
	allowed := filepath.Join(t.TempDir(), "allowed_signers")
	put(t, allowed, "releases "+string(public))
	for change, want := range map[string]bool{"": true, "x": false} {
		cmd := exec.Command("ssh-keygen", "-Y", "verify", "-f", allowed, "-I", "releases", "-n", "file", "-s",
			filepath.Join(dir, "SHA256SUMS.sshsig"))
		sums, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdin = strings.NewReader(string(sums) + change)
		if out, err := cmd.CombinedOutput(); (err == nil) != want {
			t.Errorf("with %q more: %v: %s", change, err, out)
		}
	}
}

// TestUnsigned: without a key there is a statement and no signature, and the script does not take it for signed.
func TestUnsigned(t *testing.T) {
	dir := release(t)
	if err := run(t.Context(), dir, sample("")); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "provenance.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s statement
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(filepath.Join(dir, "mixtral-linux-amd64"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(binary)
	p := s.Predicate.BuildDefinition
	if len(s.Subject) != 2 || s.Subject[0].Digest["sha256"] != hex.EncodeToString(sum[:]) ||
		len(p.ResolvedDependencies) != 2 || len(p.ExternalParameters.Platforms) != 1 ||
		p.InternalParameters["-trimpath"] != "true" || p.InternalParameters["go"] == "" {
		t.Errorf("%s", data)
	}
	if out, err := verify(dir, keys+"pkcs8.pub.pem"); err == nil || !strings.Contains(out, "is not signed") {
		t.Errorf("%v: %s", err, out)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*sig")); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}

// TestBad: what would make a false statement, or an unusable signature, is refused before anything is written.
func TestBad(t *testing.T) {
	dir := release(t)
	good, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		sums string
		o    options
		want error
	}{
		"no builder":     {string(good), options{builder: "me"}, errURL},
		"an RSA key":     {string(good), sample(keys + "id_rsa"), attest.ErrKey},
		"a public key":   {string(good), sample(keys + "pkcs8.pub.pem"), attest.ErrKey},
		"a locked key":   {string(good), sample(keys + "id_ed25519_locked"), attest.ErrEncrypted},
		"no key":         {string(good), sample(filepath.Join(dir, "nothing")), os.ErrNotExist},
		"another digest": {strings.Replace(string(good), string(good[:8]), "00000000", 1), sample(""), errSums},
		"no file":        {string(good) + strings.Repeat("0", 64) + "  gone\n", sample(""), os.ErrNotExist},
		"outside":        {strings.Repeat("0", 64) + "  ../x\n", sample(""), errSums},
		"no line":        {"hello\n", sample(""), errSums},
		"empty":          {"", sample(""), errSums},
		"no binary":      {strings.SplitAfter(string(good), "\n")[1], sample(""), errBinary},
	} {
		put(t, filepath.Join(dir, "SHA256SUMS"), c.sums)
		if err := run(t.Context(), dir, c.o); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*prov*")); err != nil || len(left) > 0 {
		t.Errorf("written all the same: %v, %v", left, err)
	}
	if _, err := openKey(t.Context(), keys+"id_ed25519_locked",
		attest.SignerOptions{Passphrase: func() ([]byte, error) { return []byte("open sesame"), nil }}); err != nil {
		t.Errorf("with its passphrase: %v", err)
	}
}

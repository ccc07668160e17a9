package attest

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// pairs has private keys from ssh-keygen and openssl with their public keys. The locked ones have the passphrase "open
// sesame". They are used only in these tests.
var pairs = map[string]string{
	"id_ed25519": "id_ed25519.pub", "id_ed25519_locked": "id_ed25519_locked.pub", "id_rsa": "id_rsa.pub",
	"id_rsa_pkcs1_locked": "id_rsa_pkcs1_locked.pub", "id_ecdsa": "id_ecdsa.pub", "id_ecdsa_sec1": "id_ecdsa_sec1.pub",
	"pkcs8.pem": "pkcs8.pub.pem", "pkcs8_locked.pem": "pkcs8.pub.pem",
}

// TestKeysThatPeopleHave checks that each private key's signature is accepted with its public key and with no other.
func TestKeysThatPeopleHave(t *testing.T) {
	message := []byte("message")
	for private, public := range pairs {
		s := signer(t, private)
		signature, err := s.Sign(t.Context(), message)
		if err != nil {
			t.Fatal(private, err)
		}
		for _, other := range pairs {
			k := publicKeys(t, other)[0]
			if err := k.Verify(t.Context(), message, signature); (err == nil) != (other == public) {
				t.Errorf("signed by %s, checked by %s: %v", private, other, err)
			}
		}
		k := publicKeys(t, public)[0]
		if s.Key().ID != k.ID || !strings.HasPrefix(k.ID, "SHA256:") {
			t.Errorf("%s: %s and %s", private, s.Key().ID, k.ID)
		}
		if err := k.Verify(t.Context(), []byte("massage"), signature); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: another message: %v", private, err)
		}
	}
	if k := publicKeys(t, "id_ed25519.pub")[0]; k.Name != "ed25519@example.org" {
		t.Errorf("name %q", k.Name)
	}
}

func TestPassphrases(t *testing.T) {
	for name := range pairs {
		if !strings.Contains(name, "locked") {
			continue
		}
		path := filepath.Join("testdata", name)
		if _, err := ReadSigner(t.Context(), path, SignerOptions{}); !errors.Is(err, ErrEncrypted) {
			t.Errorf("%s without a passphrase: %v", name, err)
		}
		for _, wrong := range []string{"", "open  sesame"} {
			_, err := ReadSigner(t.Context(), path, SignerOptions{Passphrase: func() ([]byte, error) {
				return []byte(wrong), nil
			}})
			if !errors.Is(err, ErrPassphrase) {
				t.Errorf("%s with the passphrase %q: %v", name, wrong, err)
			}
		}
	}
}

// startAgent starts an SSH agent with some of the keys.
func startAgent(t *testing.T, names ...string) (socket string) {
	t.Helper()
	ring := agent.NewKeyring()
	for _, n := range names {
		data, err := os.ReadFile(filepath.Join("testdata", n))
		if err != nil {
			t.Fatal(err)
		}
		private, err := ssh.ParseRawPrivateKeyWithPassphrase(data, []byte("open sesame"))
		if err != nil {
			private, err = ssh.ParseRawPrivateKey(data)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := ring.Add(agent.AddedKey{PrivateKey: private}); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp("", "agent") // t.TempDir's names are too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_ = agent.ServeAgent(ring, conn)
			}()
		}
	}()
	return l.Addr().String()
}

// TestAgent checks that an SSH agent signs for a public key, and for a locked private key without a passphrase.
func TestAgent(t *testing.T) {
	socket := startAgent(t, "id_ed25519_locked", "id_rsa", "id_ecdsa", "id_ecdsa_sec1")
	for private, public := range map[string]string{"id_ed25519_locked": "id_ed25519_locked.pub",
		"id_ed25519_locked.pub": "id_ed25519_locked.pub", "id_rsa.pub": "id_rsa.pub", "id_ecdsa.pub": "id_ecdsa.pub",
		"id_ecdsa_sec1.pub": "id_ecdsa_sec1.pub"} {
		s, err := ReadSigner(t.Context(), filepath.Join("testdata", private), SignerOptions{AgentSocket: socket})
		if err != nil {
			t.Errorf("%s: %v", private, err)
			continue
		}
		signature, err := s.Sign(t.Context(), []byte("message"))
		if err != nil {
			t.Fatal(err)
		}
		if err := publicKeys(t, public)[0].Verify(t.Context(), []byte("message"), signature); err != nil {
			t.Errorf("%s: %v", private, err)
		}
	}
	for _, o := range []SignerOptions{{}, {AgentSocket: socket}, {AgentSocket: socket + "-none"}} {
		if _, err := ReadSigner(t.Context(), "testdata/id_ed25519.pub", o); err == nil {
			t.Errorf("an agent without the key signs: %+v", o)
		}
	}
}

// TestBadPrivateKeys checks that each is refused with its reason, and that no message quotes the file.
func TestBadPrivateKeys(t *testing.T) {
	dir := t.TempDir()
	put := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key, err := os.ReadFile("testdata/id_rsa")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"testdata/rsa1024.pem":                      "RSA with 1024 bits, must be 2048",
		"testdata/x25519.pem":                       "must be Ed25519, ECDSA or RSA",
		"testdata/pkcs8_scrypt.pem":                 "encrypted in a way that is not understood",
		"testdata/pkcs8.pub.pem":                    "it is a public key; only a private key signs",
		"testdata/id_ecdsa-cert.pub":                "must be a private key",
		put("empty", nil):                           "must be a private key",
		put("text", []byte("hello")):                "must be a private key",
		put("cut", key[:len(key)/2]):                "the PEM block is damaged",
		put("hollow", block("OPENSSH PRIVATE KEY")): "is not a private key that can be read",
		filepath.Join(dir, "none"):                  "no such file",
		put("other", block("X")):                    "the PEM block \"X\" is not a private key",
	} {
		_, err := ReadSigner(t.Context(), path, SignerOptions{Passphrase: sesame})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
			continue
		}
		data, _ := os.ReadFile(path)
		for line := range strings.Lines(string(data)) {
			if line = strings.TrimSpace(line); len(line) > 20 && strings.Contains(err.Error(), line[:20]) &&
				!strings.HasPrefix(line, "-----") {
				t.Errorf("%s: the message quotes the file: %v", path, err)
			}
		}
	}
}

// block returns a PEM block of a type without useful content.
func block(kind string) []byte {
	return []byte("-----BEGIN " + kind + "-----\nAAAA\n-----END " + kind + "-----\n")
}

func TestFilesOfPublicKeys(t *testing.T) {
	line := func(name string) string {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(data))
	}
	bare := strings.Join(strings.Fields(line("id_ed25519.pub"))[:2], " ")
	keys, err := ParseKeys([]byte("# ours\n\n"+line("id_ed25519.pub")+"\r\nrestrict,command=\"a b\" "+
		line("id_rsa.pub")+
		"\nanna@example.org "+bare+"\n"), "file")
	if err != nil || len(keys) != 3 || keys[0].Name != "ed25519@example.org" || keys[1].Name != "rsa@example.org" ||
		keys[2].Name != "anna@example.org" || keys[2].ID != keys[0].ID {
		t.Errorf("%+v, %v", keys, err)
	}
	if keys, err := ParseKeys([]byte(bare), "file"); err != nil || keys[0].Name != "file" {
		t.Errorf("a key without a name: %+v, %v", keys, err)
	}
	pem := line("pkcs8.pub.pem") + "\n"
	if keys, err := ParseKeys([]byte(pem+pem), "file"); err != nil || len(keys) != 2 || keys[0].Name != "file" {
		t.Errorf("two PEM blocks: %+v, %v", keys, err)
	}
	for name, c := range map[string]struct{ data, want string }{
		"nothing":     {"# none\n", "there is no public key"},
		"garbage":     {"hello world foo bar\n", "line 1: attest: unusable key: no SSH public key"},
		"one is bad":  {bare + "\nssh-ed25519 AAAA\n", "line 2:"},
		"private":     {line("pkcs8.pem"), "it is a private key"},
		"private SSH": {line("id_ed25519"), "it is a private key"},
		"authority":   {"cert-authority " + bare, "the option \"cert-authority\" limits"},
		"for git":     {`anna@example.org namespaces="git" ` + bare, "limits what the key is good for"},
		"expired":     {`valid-before="20200101" ` + bare, "limits what the key is good for"},
		"certificate": {line("id_ecdsa-cert.pub"), "is a certificate, must be a key"},
		"other PEM":   {string(block("X")), `PEM block "X", must be "PUBLIC KEY"`},
		"broken PEM":  {string(block("PUBLIC KEY")), "unusable key"},
		"huge":        {strings.Repeat("#", maxKeyFile+1), "larger than"},
	} {
		_, err := ParseKeys([]byte(c.data), "file")
		if !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// FuzzParseKeys checks that no file of keys causes a panic.
func FuzzParseKeys(f *testing.F) {
	for private, public := range pairs {
		for _, name := range []string{private, public} {
			data, err := os.ReadFile(filepath.Join("testdata", name))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if keys, err := ParseKeys(data, "file"); err == nil && len(keys) == 0 {
			t.Fatal("neither keys nor an error")
		}
		_, _ = parseSigner(data, SignerOptions{})
	})
}

// FuzzReadSigner checks that a private key's file is read or refused with this package's errors, and that a key that
// does not match its public key is refused. It has no agent.
func FuzzReadSigner(f *testing.F) {
	for name := range pairs {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, "open sesame")
		f.Add(data, "")
	}
	f.Add([]byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n"), "x")
	f.Fuzz(func(t *testing.T, data []byte, passphrase string) {
		s, err := parseSigner(data, SignerOptions{AgentSocket: filepath.Join(t.TempDir(), "none"),
			Passphrase: func() ([]byte, error) { return []byte(passphrase), nil }})
		if err != nil {
			if !errors.Is(err, ErrKey) && !errors.Is(err, ErrEncrypted) && !errors.Is(err, ErrPassphrase) {
				t.Errorf("an error of no kind: %v", err)
			}
			return
		}
		if err := s.try(t.Context()); err != nil && !errors.Is(err, ErrKey) {
			t.Errorf("an error of no kind: %v", err)
		}
	})
}

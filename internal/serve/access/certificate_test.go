package access

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// makeCertificate returns a self-signed certificate and its key as PEM.
func makeCertificate(t *testing.T, serial int64) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

// TestCertificateChanges: new files are used from the first handshake that checks them, whether they were written in
// place, one after the other, or swapped by a symbolic link. Files that are not valid never replace what works.
func TestCertificateChanges(t *testing.T) {
	dir := t.TempDir()
	log := &bytes.Buffer{}
	for i, folder := range []string{"one", "two"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
		cert, key := makeCertificate(t, int64(i+1))
		write(t, filepath.Join(dir, folder, "tls.crt"), cert)
		write(t, filepath.Join(dir, folder, "tls.key"), key)
	}
	link := filepath.Join(dir, "current")
	point := func(to string) { // as Kubernetes does it: the name always exists
		t.Helper()
		if err := os.Symlink(to, link+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(link+".new", link); err != nil {
			t.Fatal(err)
		}
	}
	point("one")
	certFile, keyFile := filepath.Join(link, "tls.crt"), filepath.Join(link, "tls.key")
	c, err := LoadCertificate(certFile, keyFile, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	c.now = func() time.Time { return now }
	serial := func() int64 {
		got, err := c.TLSConfig().GetCertificate(&tls.ClientHelloInfo{})
		if err != nil {
			t.Fatal(err)
		}
		return got.Leaf.SerialNumber.Int64()
	}
	want := func(what string, n int64) {
		t.Helper()
		if got := serial(); got != n {
			t.Errorf("%s: certificate %d, want %d", what, got, n)
		}
	}
	stamp := time.Now()
	rewrite := func(path string, data []byte) { // with a time of its own: clocks of files are coarse
		t.Helper()
		stamp = stamp.Add(time.Second)
		write(t, path, data)
		if err := os.Chtimes(path, time.Time{}, stamp); err != nil {
			t.Fatal(err)
		}
	}
	want("at first", 1)
	point("two")
	want("within a second", 1)
	now = now.Add(checkEvery)
	want("after a second", 2)
	third, key := makeCertificate(t, 3)
	rewrite(certFile, third)
	now = now.Add(checkEvery)
	want("the key is not there yet", 2)
	rewrite(keyFile, key[:20])
	now = now.Add(checkEvery)
	want("the key is half written", 2)
	rewrite(keyFile, key)
	now = now.Add(checkEvery)
	want("both are there", 3)
	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	now = now.Add(checkEvery)
	want("the file is gone", 3)
	if err := c.Reload(); !errors.Is(err, ErrCertificate) {
		t.Errorf("%v", err)
	}
	want("after a reload that failed", 3)
	for range 3 { // the same error is logged once
		now = now.Add(checkEvery)
		serial()
	}
	if n := strings.Count(log.String(), "is not valid"); n != 3 || strings.Contains(log.String(), "PRIVATE") {
		t.Errorf("%d warnings: %s", n, log)
	}
	if _, err := LoadCertificate(certFile, keyFile, nil); !errors.Is(err, ErrCertificate) {
		t.Errorf("%v", err)
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

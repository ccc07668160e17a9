package api

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// ErrCertificate is matched by every error about a certificate and its key.
var ErrCertificate = errors.New("invalid TLS certificate")

// Certificate is a certificate with its key in two PEM files. Handshakes look whether the files have changed, so that a
// renewed certificate counts without a restart; connections that are open stay.
type Certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	now               func() time.Time

	mu      sync.Mutex
	pair    *tls.Certificate
	state   [2]os.FileInfo // of the files when they were last read, whether they were good or not
	checked time.Time
}

// checkEvery is how often handshakes look at the files.
const checkEvery = time.Second

// LoadCertificate reads a certificate. Errors match ErrCertificate.
func LoadCertificate(certFile, keyFile string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log, now: time.Now}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	return c, c.Reload()
}

// Reload reads the files again. If they are not good, the old certificate stays.
func (c *Certificate) Reload() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.load(c.look())
}

// look gives the files' state; nil for one that is not there.
func (c *Certificate) look() (s [2]os.FileInfo) {
	for i, path := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(path); err == nil {
			s[i] = info
		}
	}
	return s
}

// sameFile tells whether a file is as it was. A symbolic link that points elsewhere, as Kubernetes renews secrets, is another file.
func sameFile(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == b
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// load reads the files, which had the given state just before; mu is held.
func (c *Certificate) load(state [2]os.FileInfo) error {
	c.state, c.checked = state, c.now()
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	c.pair = &pair
	return nil
}

// current gives the certificate, after a look at the files if the last one was a while ago.
func (c *Certificate) current() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now().Sub(c.checked) >= checkEvery {
		c.checked = c.now()
		if state := c.look(); !sameFile(state[0], c.state[0]) || !sameFile(state[1], c.state[1]) {
			// A file may be half written, or its partner not yet: then the next look will see another state.
			if err := c.load(state); err != nil {
				c.log.Warn("the certificate has changed and is not good: the old one stays", "error", err)
			} else {
				c.log.Info("certificate loaded", "expires", c.pair.Leaf.NotAfter)
			}
		}
	}
	return c.pair
}

// Leaf gives the certificate itself.
func (c *Certificate) Leaf() *x509.Certificate { return c.current().Leaf }

// TLSConfig gives the configuration of a server: TLS 1.2 or newer, HTTP/2 or HTTP/1.1.
func (c *Certificate) TLSConfig() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current(), nil },
	}
}

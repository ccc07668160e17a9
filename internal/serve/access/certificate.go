package access

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// ErrCertificate is matched by every error about a certificate and its key.
var ErrCertificate = errors.New("invalid TLS certificate")

// Certificate is a certificate with its key in two PEM files. Each handshake checks whether the files have changed, so
// a renewed certificate is used without a restart. Open connections keep the old one.
type Certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	now               func() time.Time

	mu    sync.Mutex
	pair  *tls.Certificate
	watch watch
}

// LoadCertificate reads a certificate. Errors match ErrCertificate.
func LoadCertificate(certFile, keyFile string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log, now: time.Now,
		watch: watch{paths: []string{certFile, keyFile}}}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	return c, c.Reload()
}

// Reload reads the files again. If they are not valid, the old certificate stays.
func (c *Certificate) Reload() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watch.look(c.now())
	return c.load()
}

// load reads the files; mu is held.
func (c *Certificate) load() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	WarnReadable(c.log, "tls_key_file", c.keyFile)
	c.pair = &pair
	return nil
}

// current returns the certificate. It checks the files first if the last check was a while ago.
func (c *Certificate) current() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watch.changed(c.now()) {
		// One of the files may be half written, or not yet replaced: the next check will see another state.
		if err := c.load(); err != nil {
			c.log.Warn("the certificate has changed and is not valid: the old one stays", "error", err)
		} else {
			c.log.Info("certificate loaded", "expires", c.pair.Leaf.NotAfter)
		}
	}
	return c.pair
}

// Leaf returns the server's own certificate, the first of the chain.
func (c *Certificate) Leaf() *x509.Certificate { return c.current().Leaf }

// TLSConfig returns the configuration of a server: TLS 1.2 or newer, HTTP/2 or HTTP/1.1.
func (c *Certificate) TLSConfig() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current(), nil },
	}
}

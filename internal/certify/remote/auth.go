package remote

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

// MinKey is the length of the shortest allowed key, in bytes. An attacker between the two ends could find shorter ones
// by trial.
const MinKey = 16

// ErrKey matches errors that say that the two ends have different keys.
var ErrKey = errors.New("the key is not the generator's")

// proofTime is the time limit for either end to prove that it has the key.
func proofTime() time.Duration { return 2 * Silence }

// The connection uses TLS 1.3. The generator may make its own certificate: each end proves that it has the shared key
// with a MAC over a value that is unique to this connection (RFC 9266). So nobody can intercept the connection, and
// the key itself is never sent.
const exporter = "EXPORTER-mixtral-generators"

func proof(key []byte, role string, c *tls.Conn) ([]byte, error) {
	state := c.ConnectionState()
	binding, err := state.ExportKeyingMaterial(exporter, nil, sha256.Size)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(role))
	mac.Write(binding)
	return mac.Sum(nil), nil
}

// connect secures a connection to a generator. roots are the authorities whose signature its certificate needs; if it
// is nil, only the key is checked. The error matches ErrKey if the keys differ.
func connect(ctx context.Context, raw net.Conn, host string, key []byte, roots *x509.CertPool) (*tls.Conn, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS13, ServerName: host, RootCAs: roots,
		InsecureSkipVerify: roots == nil} // the proof of the key authenticates this connection
	c := tls.Client(raw, config)
	ctx, cancel := context.WithTimeout(ctx, proofTime())
	defer cancel()
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	if err := c.SetDeadline(time.Now().Add(proofTime())); err != nil {
		return nil, err
	}
	mine, err := proof(key, "coordinator", c)
	if err != nil {
		return nil, err
	}
	theirs, err := proof(key, "generator", c)
	if err != nil {
		return nil, err
	}
	if _, err := c.Write(mine); err != nil {
		return nil, err
	}
	got, err := readAll(c, len(theirs))
	if err != nil {
		return nil, fmt.Errorf("%w, or no generator listens there: %w", ErrKey, err)
	}
	if !hmac.Equal(got, theirs) {
		return nil, ErrKey
	}
	return c, c.SetDeadline(time.Time{})
}

// accept secures a connection from a coordinator. The error is ErrKey if the keys differ.
func accept(raw net.Conn, certificate *tls.Certificate, key []byte) (*tls.Conn, error) {
	c := tls.Server(raw, &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*certificate},
		SessionTicketsDisabled: true})
	if err := c.SetDeadline(time.Now().Add(proofTime())); err != nil {
		return nil, err
	}
	if err := c.Handshake(); err != nil {
		return nil, err
	}
	want, err := proof(key, "coordinator", c)
	if err != nil {
		return nil, err
	}
	got, err := readAll(c, len(want))
	if err != nil {
		return nil, err
	}
	if !hmac.Equal(got, want) {
		return nil, ErrKey
	}
	mine, err := proof(key, "generator", c)
	if err != nil {
		return nil, err
	}
	if _, err := c.Write(mine); err != nil {
		return nil, err
	}
	return c, c.SetDeadline(time.Time{})
}

// ownCertificate makes a self-signed certificate, for a generator without one.
func ownCertificate() (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(10 * 365 * 24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

package service

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
)

// writeCertificate writes a self-signed certificate with a serial number.
func writeCertificate(t *testing.T, certFile, keyFile string, serial int64) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "mixtral test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der},
		keyFile: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// serveTiny serves on a free port until the test ends.
func serveTiny(t *testing.T, s *Service, serve func(context.Context, net.Listener) error) (address string) {
	t.Helper()
	address, stop, served := serving(t, serve)
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return address
}

// TestTLS: the service speaks HTTP/2 over TLS 1.2 or newer, and a renewed certificate is used for new connections
// while open ones stay.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	first := writeCertificate(t, certFile, keyFile, 1)
	s := openTiny(t, func(c *Options) { c.TLSCertFile, c.TLSKeyFile = certFile, keyFile })
	address := serveTiny(t, s, s.Serve)
	trusted := x509.NewCertPool()
	trusted.AddCert(first)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted},
		ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	ask := func() (serial int64, status int) {
		t.Helper()
		resp, err := client.Post("https://"+address+"/v1/chat/completions", "application/json",
			strings.NewReader(`{"messages":[{"role":"user","content":"hi"}],"max_tokens":3,"stream":true}`))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.ProtoMajor != 2 || !bytes.HasSuffix(body, []byte("[DONE]\n\n")) {
			t.Errorf("%s %s: %v", resp.Proto, body, err)
		}
		return resp.TLS.PeerCertificates[0].SerialNumber.Int64(), resp.StatusCode
	}
	if serial, status := ask(); serial != 1 || status != 200 {
		t.Errorf("certificate %d, status %d", serial, status)
	}
	plain, err := http.Get("http://" + address + "/v1/models") // a client with the wrong scheme
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(plain.Body)
	if plain.Body.Close(); err != nil || plain.StatusCode != 400 || !strings.Contains(string(body), `"code":"tls_required"`) {
		t.Errorf("plain HTTP: %s %s, %v", plain.Status, body, err)
	}
	trusted.AddCert(writeCertificate(t, certFile, keyFile, 2))
	if err := s.ReloadCertificate(); err != nil {
		t.Fatal(err)
	}
	if serial, _ := ask(); serial != 1 {
		t.Errorf("the open connection was dropped: certificate %d", serial)
	}
	client.CloseIdleConnections()
	if serial, _ := ask(); serial != 2 {
		t.Errorf("after the reload: certificate %d", serial)
	}
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
		if conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: trusted, MinVersion: version,
			MaxVersion: version}); err == nil {
			conn.Close()
			t.Errorf("speaks TLS version %#x", version)
		}
	}
	if resp, err := http.Get("http://" + address + "/livez"); err == nil {
		resp.Body.Close()
		if resp.StatusCode == 200 {
			t.Error("answers without TLS")
		}
	}
}

// TestLimitsAreShown: the metrics show the service's limits, and when its certificate expires.
func TestLimitsAreShown(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	leaf := writeCertificate(t, certFile, keyFile, 1)
	s := openTiny(t, func(c *Options) {
		c.TLSCertFile, c.TLSKeyFile, c.MaxConcurrentRequests, c.MaxQueuedRequests, c.MemoryLimit = certFile,
			keyFile, 3, 7, 3*gib/2
	})
	for name, want := range map[string]float64{
		telemetry.Ready: 1, telemetry.RunningLimit: 3, telemetry.WaitingLimit: 7,
		telemetry.MemoryLimit:       float64(s.MemoryPlan().Limit),
		telemetry.CertificateExpiry: float64(leaf.NotAfter.Unix()),
	} {
		if got := metricOf(t, s, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

// TestHosts: on an address that only this machine can reach, requests with another host name are refused on every
// route, and those with allowed names are not.
func TestHosts(t *testing.T) {
	for _, test := range []struct {
		host    string
		allowed []string
		names   map[string]bool
	}{
		{"127.0.0.1", nil, map[string]bool{"127.0.0.1:80": true, "127.0.0.1": true, "localhost": true,
			"LocalHost.:9": true, "[::1]:80": true, "10.1.2.3": true,
			"evil.example": false, "evil.example:11400": false, "localhost.evil.example": false,
			"127.0.0.1.evil.example": false, "evil": false}},
		{"127.0.0.1", []string{"llm.example", "other"}, map[string]bool{"llm.example": true, "LLM.example:443": true,
			"other": true, "localhost": true, "evil.example": false}},
		{"0.0.0.0", nil, map[string]bool{"any.example": true}},
		{"0.0.0.0", []string{"llm.example"}, map[string]bool{"llm.example": true, "10.1.2.3:80": true,
			"evil.example": false}},
	} {
		s := openTiny(t, func(c *Options) { c.Host, c.AllowedHosts = test.host, test.allowed })
		address := serveTiny(t, s, s.Serve)
		for name, want := range test.names {
			for _, path := range []string{"/v1/models", "/metrics", "/livez", "/nowhere"} {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Host = name
				resp, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if got := resp.StatusCode != http.StatusForbidden; got != want || !got &&
					(!bytes.Contains(body, []byte("host_not_allowed")) || bytes.Contains(body, []byte("evil"))) {
					t.Errorf("bound to %s, asked as %s for %s: %d %s", test.host, name, path, resp.StatusCode, body)
				}
			}
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestMetricsApart: with metrics_listen, only that address has /metrics, and it has nothing else.
func TestMetricsApart(t *testing.T) {
	s := openTiny(t, func(c *Options) { c.MetricsListen = "127.0.0.1:0" })
	main, apart := serveTiny(t, s, s.Serve), serveTiny(t, s, s.ServeMetrics)
	status := func(address, path string) int {
		t.Helper()
		resp, err := http.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if body, err := io.ReadAll(resp.Body); path == "/metrics" && resp.StatusCode == 200 &&
			!bytes.Contains(body, []byte("mixtral_requests_total")) || err != nil {
			t.Errorf("%s: %v", body, err)
		}
		return resp.StatusCode
	}
	defer http.DefaultClient.CloseIdleConnections()
	for path, want := range map[string][2]int{
		"/metrics": {404, 200}, "/livez": {200, 200}, "/readyz": {200, 200}, "/version": {200, 200},
		"/v1/models": {200, 404}, "/v1/models/x": {404, 404},
		"/debug/pprof/": {404, 200}, "/debug/pprof/goroutine": {404, 200}, "/debug/pprof/cmdline": {404, 404},
	} {
		if got := [2]int{status(main, path), status(apart, path)}; got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
	open := openTiny(t, func(c *Options) { c.MetricsListen = "0.0.0.0:0" })
	if got := status(serveTiny(t, open, open.ServeMetrics), "/debug/pprof/"); got != 404 {
		t.Errorf("profiles where others can reach them: %d", got)
	}
}

func listenAndServe(ctx context.Context, s *Service) error {
	l, err := s.Listen(ctx)
	if err != nil {
		return err
	}
	return s.ServeAll(ctx, l)
}

// TestListenAndServe listens at the configured addresses, also for the metrics.
func TestListenAndServe(t *testing.T) {
	s := openTiny(t, func(c *Options) { c.MetricsListen = "127.0.0.1:0" })
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- listenAndServe(ctx, s) }()
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s = openTiny(t, func(c *Options) { c.MetricsListen = taken.Addr().String() })
	var failed *ListenError
	if err := listenAndServe(t.Context(), s); !errors.As(err, &failed) || failed.Key != "metrics_listen" {
		t.Errorf("two listen at one address: %v", err)
	}
}

// TestBadAccess: a file that cannot be read is an error at the start, which names the key and shows no secret.
func TestBadAccess(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	writeCertificate(t, certFile, keyFile, 1)
	other := filepath.Join(dir, "other.key")
	writeCertificate(t, filepath.Join(dir, "other.crt"), other, 2)
	for _, c := range []Options{
		tinyOptions(func(c *Options) { c.TLSCertFile, c.TLSKeyFile = certFile, filepath.Join(dir, "none") }),
		tinyOptions(func(c *Options) { c.TLSCertFile, c.TLSKeyFile = certFile, other }),
		tinyOptions(func(c *Options) { c.TLSCertFile, c.TLSKeyFile = keyFile, keyFile }),
		tinyOptions(func(c *Options) { c.APIKeyFile = filepath.Join(dir, "none") }),
	} {
		if _, err := New(c); !errors.Is(err, ErrConfig) || strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("%v", err)
		}
	}
	s, err := New(tinyOptions())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, err := range []error{s.ReloadKeys(), s.ReloadCertificate()} {
		if !errors.Is(err, ErrConfig) {
			t.Errorf("%v", err)
		}
	}
}

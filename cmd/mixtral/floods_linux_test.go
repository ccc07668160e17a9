package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/hostile"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// Types of HTTP/2 frames (RFC 9113, section 6) and their flags.
const (
	frameData, frameHeaders, framePriority, frameReset, frameSettings = 0, 1, 2, 3, 4
	framePing, frameWindow, frameContinuation                         = 6, 8, 9
	flagEndStream, flagEndHeaders                                     = 1, 4
)

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

func frame(dst []byte, kind, flags byte, stream uint32, payload []byte) []byte {
	n := len(payload)
	dst = append(dst, byte(n>>16), byte(n>>8), byte(n), kind, flags)
	return append(append(dst, byte(stream>>24), byte(stream>>16), byte(stream>>8), byte(stream)), payload...)
}

// header is a field that is not indexed, with a literal name and value (RFC 7541, section 6.2.2).
func header(dst []byte, name, value string) []byte {
	dst = append(append(dst, 0, byte(len(name))), name...)
	if len(value) < 127 {
		return append(append(dst, byte(len(value))), value...)
	}
	dst = append(dst, 127)
	n := len(value) - 127
	for ; n >= 128; n >>= 7 {
		dst = append(dst, byte(n)|128)
	}
	return append(append(dst, byte(n)), value...)
}

// request is the header block of a request, with :method and :scheme from the static table.
func request(method byte, path string) []byte {
	block := []byte{method, 0x87}
	block = append(append(block, 0x04, byte(len(path))), path...)
	return append(append(block, 0x01, byte(len("localhost"))), "localhost"...)
}

const (
	methodGet  = 0x82
	methodPost = 0x83
)

// floods send endlessly over one connection. Each call returns the frames of a step; n counts the steps.
var floods = []struct {
	name string
	deaf bool // the server's answers are not read
	step func(dst []byte, n int) []byte
}{
	{"requests that are reset at once (rapid reset)", false, func(dst []byte, n int) []byte {
		id := uint32(2*n + 1)
		dst = frame(dst, frameHeaders, flagEndHeaders|flagEndStream, id, request(methodGet, "/v1/models"))
		return frame(dst, frameReset, 0, id, []byte{0, 0, 0, 8})
	}},
	{"posts that are reset at once", false, func(dst []byte, n int) []byte {
		id := uint32(2*n + 1)
		dst = frame(dst, frameHeaders, flagEndHeaders, id, request(methodPost, "/v1/chat/completions"))
		dst = frame(dst, frameData, 0, id, []byte(`{"messages":`))
		return frame(dst, frameReset, 0, id, []byte{0, 0, 0, 8})
	}},
	{"requests that the server has to reset", false, func(dst []byte, n int) []byte { // the window becomes too large
		id := uint32(2*n + 1)
		dst = frame(dst, frameHeaders, flagEndHeaders, id, request(methodPost, "/v1/chat/completions"))
		return frame(dst, frameWindow, 0, id, []byte{0x7f, 0xff, 0xff, 0xff})
	}},
	{"PING", false, func(dst []byte, n int) []byte { return frame(dst, framePing, 0, 0, make([]byte, 8)) }},
	{"PING, answers unread", true, func(dst []byte, n int) []byte {
		return frame(dst, framePing, 0, 0, make([]byte, 8))
	}},
	{"SETTINGS", false, func(dst []byte, n int) []byte {
		return frame(dst, frameSettings, 0, 0, []byte{0, 4, 0, 0, 0xff, byte(n)})
	}},
	{"SETTINGS, answers unread", true, func(dst []byte, n int) []byte { return frame(dst, frameSettings, 0, 0, nil) }},
	{"PRIORITY", false, func(dst []byte, n int) []byte {
		return frame(dst, framePriority, 0, uint32(2*(n%1_000_000)+1), []byte{0, 0, 0, 0, byte(n)})
	}},
	{"DATA of no bytes", false, func(dst []byte, n int) []byte {
		if n == 0 {
			dst = frame(dst, frameHeaders, flagEndHeaders, 1, request(methodPost, "/v1/chat/completions"))
		}
		return frame(dst, frameData, 0, 1, nil)
	}},
	{"CONTINUATION without an end", false, func(dst []byte, n int) []byte {
		if n == 0 {
			return frame(dst, frameHeaders, flagEndStream, 1, request(methodGet, "/livez"))
		}
		return frame(dst, frameContinuation, 0, 1, header(nil, "x", strings.Repeat("y", 8000)))
	}},
	{"one-byte references to a long header field (HPACK)", false, func(dst []byte, n int) []byte {
		id, block := uint32(2*n+1), request(methodGet, "/livez")
		if n == 0 { // added to the dynamic table, whose first index is 62
			block = append(block, 0x40)
			block = append(block, header(nil, "x", strings.Repeat("y", 3000))[1:]...)
		}
		return frame(dst, frameHeaders, flagEndHeaders|flagEndStream, id,
			append(block, bytes.Repeat([]byte{0x80 | 62}, 10_000)...))
	}},
	{"new connections", false, nil},
}

// flooder opens connections one after another and sends the frames of a flood, until a time has passed and something
// was sent.
type flooder struct {
	config  *tls.Config
	address string
	stop    time.Time

	steps, ended atomic.Int64 // steps sent, and connections that the server ended
}

func (f *flooder) over() bool {
	return time.Now().After(f.stop) && (f.steps.Load() > 0 || time.Now().After(f.stop.Add(llmtest.Limit)))
}

func (f *flooder) run(step func([]byte, int) []byte, deaf bool) {
	for !f.over() {
		conn, err := tls.DialWithDialer(&net.Dialer{Timeout: time.Second}, "tcp", f.address, f.config)
		if err != nil { // the maximum number of connections are open
			f.ended.Add(1)
			time.Sleep(time.Millisecond)
			continue
		}
		if step == nil {
			f.steps.Add(1)
		} else {
			f.one(conn, step, deaf)
		}
		conn.Close()
	}
}

// one sends over a connection, some kilobytes at a time.
func (f *flooder) one(conn net.Conn, step func([]byte, int) []byte, deaf bool) {
	limit := f.stop
	if soonest := time.Now().Add(100 * time.Millisecond); limit.Before(soonest) { // the handshake took all the time
		limit = soonest
	}
	conn.SetDeadline(limit)
	if !deaf {
		go io.Copy(io.Discard, conn)
	}
	out := frame([]byte(preface), frameSettings, 0, 0, nil)
	for n := 0; !f.over(); out = out[:0] {
		first := n
		for ; n == first || len(out) < 16<<10; n++ {
			out = step(out, n)
		}
		if _, err := conn.Write(out); err != nil {
			if time.Now().Before(f.stop) {
				f.ended.Add(1)
			}
			return
		}
		f.steps.Add(int64(n - first))
	}
}

// floodTime is the length of each flood: a moment, or MIXTRAL_FLOOD.
func floodTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("MIXTRAL_FLOOD")
	if text == "" {
		return 300 * time.Millisecond
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		t.Fatalf("MIXTRAL_FLOOD=%s: want a time above 0", text)
	}
	return d
}

// certificateFor writes a certificate for this machine and returns the pool that trusts it.
func certificateFor(t *testing.T, dir string) (certFile, keyFile string, trusted *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true,
		BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile, trusted = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), x509.NewCertPool()
	for path, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der},
		keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	trusted.AddCert(cert)
	return certFile, keyFile, trusted
}

// TestHTTP2Floods: four connections without a key send frames that cost a server more than their sender, as fast as
// the server takes them. The service stays within cpu_cores and its memory, and other clients are served meanwhile.
func TestHTTP2Floods(t *testing.T) {
	if testing.Short() {
		t.Skip("floods a service for a quarter of a minute")
	}
	dir, lasts := t.TempDir(), floodTime(t)
	certFile, keyFile, trusted := certificateFor(t, dir)
	keys := filepath.Join(dir, "keys")
	if err := os.WriteFile(keys, []byte("test sk-test-0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startServe(t, "--tls-cert-file", certFile, "--tls-key-file", keyFile, "--api-key-file", keys, "--cpu-cores",
		"1", "--memory-limit-gb", "0.5", "--log-level", "off", "--set", "database_url=none")
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted},
		ForceAttemptHTTP2: true}, Timeout: llmtest.Limit}
	defer client.CloseIdleConnections()
	ask := func(method, path, body string) time.Duration {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer sk-test-0123456789abcdef")
		began := time.Now()
		resp, err := client.Do(r)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return 0
		}
		defer resp.Body.Close()
		if answer, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 || resp.ProtoMajor != 2 {
			t.Errorf("%s: %s %s %s %v", path, resp.Proto, resp.Status, answer, err)
		}
		return time.Since(began)
	}
	ask("POST", "/v1/completions", `{"prompt":"hi","max_tokens":2}`)
	start := s.peak()
	for _, f := range floods {
		sender := &flooder{address: strings.TrimPrefix(s.url, "https://"), stop: time.Now().Add(lasts),
			config: &tls.Config{RootCAs: trusted, NextProtos: []string{"h2"}}}
		before, began := s.cpu(), time.Now()
		var senders sync.WaitGroup
		for range 4 {
			senders.Go(func() { sender.run(f.step, f.deaf) })
		}
		var took []time.Duration
		for n := 0; n < 2 || !sender.over(); n++ {
			took = append(took, ask("POST", "/v1/completions", `{"prompt":"hi","max_tokens":2}`))
			if n%4 == 0 { // like a health check, on a new connection
				client.CloseIdleConnections()
				took = append(took, ask("GET", "/livez", ""))
			}
		}
		senders.Wait()
		cores := (s.cpu() - before) / time.Since(began).Seconds()
		slices.Sort(took)
		grown := s.peak() - start
		if cores > 1.25 || grown > 128<<20 {
			t.Errorf("%s: %.2f cores, %d MiB more", f.name, cores, grown>>20)
		}
		if sender.steps.Load() == 0 {
			t.Errorf("%s: nothing was sent", f.name)
		}
		hostile.Survived(t, f.name, int(sender.steps.Load()), int(sender.ended.Load()),
			"%.2f of 1 core, %d MiB at most; %d answers to others in %v, the slowest %v", cores, s.peak()>>20,
			len(took), took[len(took)/2].Round(100*time.Microsecond), took[len(took)-1].Round(time.Millisecond))
	}
	if code := s.stop(os.Interrupt); code != exitOK {
		t.Errorf("exit code %d: %s", code, s.stderr)
	}
}

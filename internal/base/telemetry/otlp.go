package telemetry

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/hxp-enterprise/mixtral/internal/base/wait"
)

// exporter sends spans by OTLP over HTTP, as protobuf. The SDK's own exporter would also link gRPC, because its
// message types register gRPC services, and would make the program 5 MB larger for code that is never called.
//
// The SDK's batch processor calls ExportSpans from one goroutine of its own. Requests never wait for it: when its
// queue of 2048 spans is full, spans are dropped.
type exporter struct {
	url    string
	header http.Header
	zip    bool
	client *http.Client
	limit  time.Duration // of one attempt
	log    *slog.Logger
	pause  func(ctx context.Context, d time.Duration) error

	ctx    context.Context // ends with abort
	abort  context.CancelFunc
	closed chan struct{} // the processor will send no more
	once   sync.Once
	buf    []byte
	lost   int  // spans lost since the collector last accepted some
	failed bool // the last batch was lost, and the log already says so
}

const (
	defaultSend = 10 * time.Second // as in the specification
	firstPause  = time.Second
	longestPlea = 30 * time.Second // the longest pause that a collector may ask for
	maxReply    = 64 << 10         // bytes that are read of an answer
)

func newExporter(u *url.URL, env environment, log *slog.Logger) (*exporter, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	e := &exporter{url: u.String(), header: http.Header{}, limit: defaultSend, log: log, pause: wait.For,
		closed: make(chan struct{})}
	if v, name := env.get("PROTOCOL"); v != "" && v != "http/protobuf" {
		return nil, fmt.Errorf("%w: %s must be http/protobuf, got %q", ErrTracing, name, v)
	}
	switch v, name := env.get("COMPRESSION"); v {
	case "", "none":
	case "gzip":
		e.zip = true
	default:
		return nil, fmt.Errorf("%w: %s must be gzip or none, got %q", ErrTracing, name, v)
	}
	if v, name := env.get("TIMEOUT"); v != "" {
		ms, err := strconv.Atoi(v)
		if err != nil || ms < 1 {
			return nil, fmt.Errorf("%w: %s must be a number of milliseconds, got %q", ErrTracing, name, v)
		}
		e.limit = time.Duration(ms) * time.Millisecond
	}
	if err := e.headers(env); err != nil {
		return nil, err
	}
	config, err := clientTLS(env)
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = config
	e.client = &http.Client{Transport: transport}
	e.ctx, e.abort = context.WithCancel(context.Background())
	return e, nil
}

// headers sets the headers of every request.
func (e *exporter) headers(env environment) error {
	list, variable := env.get("HEADERS")
	given, err := pairs(list)
	if err != nil {
		return fmt.Errorf("%w: %s %w", ErrTracing, variable, err)
	}
	for _, p := range given {
		if strings.ContainsAny(p[0]+p[1], "\r\n") {
			return fmt.Errorf("%w: %s holds a line break", ErrTracing, variable)
		}
		e.header.Set(p[0], p[1])
	}
	e.header.Set("Content-Type", "application/x-protobuf")
	e.header.Set("User-Agent", "mixtral-otlp")
	if e.zip {
		e.header.Set("Content-Encoding", "gzip")
	}
	return nil
}

// clientTLS reads the certificates that the environment names; nil means those of the system.
func clientTLS(env environment) (*tls.Config, error) {
	config := &tls.Config{}
	ca, caName := env.get("CERTIFICATE")
	certificate, certName := env.get("CLIENT_CERTIFICATE")
	key, _ := env.get("CLIENT_KEY")
	if ca == "" && certificate == "" {
		return nil, nil
	}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrTracing, caName, err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%w: %s: %s holds no certificate", ErrTracing, caName, ca)
		}
	}
	if certificate != "" {
		pair, err := tls.LoadX509KeyPair(certificate, key)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrTracing, certName, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// ExportSpans sends one batch, and tries again as long as the collector allows it and ctx has not ended. It logs
// losses itself, once for each time that the collector is unreachable, since the SDK could do nothing about them.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if len(spans) == 0 {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.ctx, cancel)()
	e.buf = appendSpans(e.buf[:0], spans)
	err := e.deliver(ctx, e.buf)
	if err != nil {
		e.lost += len(spans)
		if !e.failed {
			e.failed = true
			e.log.Warn("traces are being lost", "error", err, "spans", e.lost)
		}
		return nil
	}
	if e.failed {
		e.log.Info("traces are sent again", "lost_spans", e.lost)
		e.failed, e.lost = false, 0
	}
	return nil
}

// deliver tries until the batch is accepted or another attempt makes no sense.
func (e *exporter) deliver(ctx context.Context, body []byte) error {
	if e.zip {
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		w.Write(body) // writing to memory never fails
		w.Close()
		body = packed.Bytes()
	}
	for wait := firstPause; ; wait *= 2 {
		again, plea, err := e.try(ctx, body)
		if err == nil || !again {
			return err
		}
		// Half of the wait is random, so that many services do not come back at the same time.
		if plea = min(max(plea, wait/2+rand.N(wait/2)), longestPlea); e.pause(ctx, plea) != nil {
			return err
		}
	}
}

// try sends a body once. again says that another attempt may succeed; plea is the pause that the collector asks for.
func (e *exporter) try(ctx context.Context, body []byte) (again bool, plea time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, e.limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return false, 0, err
	}
	req.Header = e.header.Clone()
	resp, err := e.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the address, which may contain a password
		}
		return true, 0, err
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, maxReply)) // so that the connection can be used again
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return true, time.Duration(max(seconds, 0)) * time.Second,
			fmt.Errorf("the collector answered with status %d", resp.StatusCode)
	}
	if resp.StatusCode/100 != 2 {
		return false, 0, fmt.Errorf("the collector answered with status %d", resp.StatusCode)
	}
	return false, 0, nil
}

// Shutdown is called after the last batch was sent or lost.
func (e *exporter) Shutdown(context.Context) error {
	e.once.Do(func() {
		e.client.CloseIdleConnections()
		close(e.closed)
	})
	return nil
}

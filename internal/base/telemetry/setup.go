package telemetry

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// ErrTracing is matched by errors in the configuration of traces; the message names the key or variable.
var ErrTracing = errors.New("invalid tracing configuration")

// tracesPath is the path of a collector for traces, below its base URL.
const tracesPath = "/v1/traces"

// TracingURL returns the collector that OpenTelemetry's standard variables name, with the path for traces. It is empty
// if they name none or turn tracing off. set is false if none of them is set.
func TracingURL(getenv func(string) string) (address string, set bool) {
	if strings.EqualFold(strings.TrimSpace(getenv("OTEL_SDK_DISABLED")), "true") ||
		strings.TrimSpace(getenv("OTEL_TRACES_EXPORTER")) == "none" {
		return "", true
	}
	if u := getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"); u != "" {
		return u, true // unchanged
	}
	if u := getenv("OTEL_EXPORTER_OTLP_ENDPOINT"); u != "" {
		return strings.TrimRight(u, "/") + tracesPath, true
	}
	return "", false
}

// TracerConfig says where to send traces. The URL of a collector without a path means its standard path. All other
// settings are read from OpenTelemetry's variables: OTEL_EXPORTER_OTLP_HEADERS, _TIMEOUT, _COMPRESSION, _CERTIFICATE,
// _CLIENT_CERTIFICATE and _CLIENT_KEY (each also with _TRACES_), OTEL_TRACES_SAMPLER and its _ARG, OTEL_SERVICE_NAME,
// OTEL_RESOURCE_ATTRIBUTES and OTEL_BSP_*.
type TracerConfig struct {
	URL     string
	Service string // service.name, if the environment sets none
	Version string
	Logger  *slog.Logger // logs lost spans; nil: no logs
	Getenv  func(string) string
}

// NewTracer makes a tracer, or returns nil if the URL is empty. The collector need not be available yet. Shutdown must
// be called. Errors match ErrTracing.
func NewTracer(c TracerConfig) (*Tracer, error) {
	if c.URL == "" {
		return nil, nil
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%w: the collector's address must be http://host:port or https://host", ErrTracing)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = tracesPath
	}
	e, err := newExporter(u, environment{c.Getenv}, c.Logger)
	if err != nil {
		return nil, err
	}
	sampler, err := newSampler(c.Getenv("OTEL_TRACES_SAMPLER"), c.Getenv("OTEL_TRACES_SAMPLER_ARG"))
	if err != nil {
		return nil, err
	}
	attributes, err := resourceAttributes(c)
	if err != nil {
		return nil, err
	}
	r, err := resource.New(context.Background(), resource.WithTelemetrySDK(), resource.WithAttributes(attributes...))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTracing, err)
	}
	b := sdktrace.NewBatchSpanProcessor(e)
	p := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(b), sdktrace.WithResource(r),
		sdktrace.WithSampler(sampler), sdktrace.WithIDGenerator(ids{}))
	return &Tracer{provider: p, tracer: p.Tracer(scope), sampler: sampler, batches: b, exporter: e}, nil
}

// resourceAttributes describes the sender of the spans. The environment takes precedence.
func resourceAttributes(c TracerConfig) ([]attribute.KeyValue, error) {
	instance := make([]byte, 8)
	crand.Read(instance) // never fails
	values := map[string]string{"service.name": c.Service, "service.version": c.Version,
		"service.instance.id": hex.EncodeToString(instance)}
	given, err := pairs(c.Getenv("OTEL_RESOURCE_ATTRIBUTES"))
	if err != nil {
		return nil, fmt.Errorf("%w: OTEL_RESOURCE_ATTRIBUTES %w", ErrTracing, err)
	}
	for _, p := range given {
		values[p[0]] = p[1]
	}
	if name := c.Getenv("OTEL_SERVICE_NAME"); name != "" {
		values["service.name"] = name
	}
	var all []attribute.KeyValue
	for k, v := range values {
		all = append(all, attribute.String(k, v))
	}
	return all, nil
}

// pairs reads "name=value,name=value" with percent-encoded values. They may be secrets, so no error shows one.
func pairs(list string) (all [][2]string, err error) {
	for pair := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if name = strings.TrimSpace(name); !ok || name == "" || err != nil {
			return nil, errors.New("must be name=value pairs, separated by commas")
		}
		all = append(all, [2]string{name, value})
	}
	return all, nil
}

// Shutdown sends the remaining spans until ctx ends; what is not sent by then is lost. No goroutine remains.
func (t *Tracer) Shutdown(ctx context.Context) error {
	if t == nil {
		return nil
	}
	err := t.provider.Shutdown(ctx)
	t.exporter.abort()          // what is still being sent fails at once, even if ctx has ended
	_ = t.batches.Shutdown(ctx) // the provider does not if ctx has ended before; if it did, this does nothing
	<-t.exporter.closed
	return err
}

// Samplers are the values of OTEL_TRACES_SAMPLER.
var Samplers = []string{"always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off",
	"parentbased_traceidratio"}

// newSampler makes the sampler that the environment names. The default follows the caller's decision, and samples
// every new trace.
func newSampler(name, arg string) (sdktrace.Sampler, error) {
	if name == "" {
		name = "parentbased_always_on"
	}
	if !slices.Contains(Samplers, name) {
		return nil, fmt.Errorf("%w: OTEL_TRACES_SAMPLER must be one of %s, got %q", ErrTracing,
			strings.Join(Samplers, ", "), name)
	}
	kind, parent := strings.CutPrefix(name, "parentbased_")
	var s sdktrace.Sampler
	switch kind {
	case "always_on":
		s = sdktrace.AlwaysSample()
	case "always_off":
		s = sdktrace.NeverSample()
	default:
		ratio := 1.0
		if arg != "" {
			var err error
			if ratio, err = strconv.ParseFloat(arg, 64); err != nil || !(ratio >= 0 && ratio <= 1) {
				return nil, fmt.Errorf("%w: OTEL_TRACES_SAMPLER_ARG must be between 0 and 1, got %q", ErrTracing, arg)
			}
		}
		s = sdktrace.TraceIDRatioBased(ratio)
	}
	if parent {
		return sdktrace.ParentBased(s), nil
	}
	return s, nil
}

// randomIDs draws ids that are not zero, as the W3C requires.
func randomIDs() (t trace.TraceID, s trace.SpanID) {
	for !t.IsValid() || !s.IsValid() {
		binary.BigEndian.PutUint64(t[:8], rand.Uint64())
		binary.BigEndian.PutUint64(t[8:], rand.Uint64())
		binary.BigEndian.PutUint64(s[:], rand.Uint64())
	}
	return t, s
}

// environment reads the variables of the OTLP exporter, each of which may also be set for traces alone.
type environment struct{ getenv func(string) string }

func (e environment) get(name string) (value, variable string) {
	for _, prefix := range []string{"OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"} {
		if v := strings.TrimSpace(e.getenv(prefix + name)); v != "" {
			return v, prefix + name
		}
	}
	return "", ""
}

package mixtral

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/hxp-enterprise/mixtral/internal/base/store/open"
	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/serve/service"
	"github.com/hxp-enterprise/mixtral/internal/serve/upstream"
)

// Config says how a Service runs. Start from DefaultConfig: a zero value is not valid. The same keys stand in YAML
// files and, as MIXTRAL_ and the key in capitals, in the environment.
type Config struct {
	// Where to listen. Port 0 means any free one. An address that others can reach needs APIKeyFile or InsecureBind.
	Host string `yaml:"host"`
	Port int    `yaml:"port"`

	// Backend is what answers: "embedded" is the engine of this program. ModelPath is a GGUF file, the name of a
	// pulled model such as "mixtral-8x7b-instruct:q4_k_m", "synth:tiny" or another synthetic model, or "demo"; empty
	// means the built-in model. ModelID is the name that clients see; empty means the model's own.
	//
	// With Backend "vllm", requests are passed on to OpenAI-compatible servers: Upstream is one gateway's URL, or
	// several replicas' with commas between, UpstreamKeyFile holds the API key to send them, and UpstreamModels
	// renames models, as in "mixtral=mistralai/Mixtral-8x7B-Instruct-v0.1". Memory, cores and context are theirs
	// then. UpstreamTimeoutS is how many seconds one may be silent: before its answer begins, when another is tried,
	// and within it, which ends it.
	Backend          Backend `yaml:"backend"`
	ModelPath        string  `yaml:"model_path"`
	ModelID          string  `yaml:"model_id"`
	Upstream         string  `yaml:"upstream"`
	UpstreamKeyFile  string  `yaml:"upstream_key_file"`
	UpstreamModels   string  `yaml:"upstream_models"`
	UpstreamTimeoutS float64 `yaml:"upstream_timeout_s"`

	// OwnProcess says that the process does nothing but serve, as mixtral serve does: then the processor time of all
	// that it does is held to CPUCores, and not the model's alone.
	OwnProcess bool `yaml:"-"`

	// MemoryLimitGB bounds weights, KV cache and buffers together, in GiB (2³⁰ bytes), as the test case counts. A
	// machine or control group with less sets the bound. CPUCores is the most cores to compute with; a machine with
	// fewer gives what it has. ContextLength is the most tokens of a prompt and its answer; 0 means what the model
	// was trained for.
	MemoryLimitGB float64 `yaml:"memory_limit_gb"`
	CPUCores      int     `yaml:"cpu_cores"`
	ContextLength int     `yaml:"context_length"`

	// KVType is how the keys and values of attention are kept: "f16", or "q8_0" in little more than half the memory,
	// so that twice as long a context or twice as many requests fit.
	KVType string `yaml:"kv_type"`

	// What the service is certified against. The service itself does not act on them.
	TargetLatencyMS     float64 `yaml:"target_latency_ms"`
	TargetThroughputRPS float64 `yaml:"target_throughput_rps"`

	// MaxConcurrentRequests are computed together, MaxQueuedRequests wait; more get a 429. MaxTokens is the most
	// tokens of an answer, and what a chat gets that asks for no number. Temperature is for requests without one.
	MaxConcurrentRequests int     `yaml:"max_concurrent_requests"`
	MaxQueuedRequests     int     `yaml:"max_queued_requests"`
	MaxTokens             int     `yaml:"max_tokens"`
	Temperature           float64 `yaml:"temperature"`

	// DatabaseURL, postgres://user:password@host:port/database or sqlite:PATH, is where each request for completions
	// is logged: ids, times, tokens, how it ended and the key's name. Empty or "none" means nowhere. The log never
	// delays or fails a request: while the database is slow or away, requests wait in memory, and the oldest are
	// dropped and counted when there are too many. LogPrompts keeps the beginning of each prompt too. RequestLogDays
	// is how long requests are kept; 0 means for ever.
	DatabaseURL    string `yaml:"database_url"`
	LogPrompts     bool   `yaml:"log_prompts"`
	RequestLogDays int    `yaml:"request_log_days"`

	// MonitoringURL (http:// or https://) is a Prometheus server that scrapes the service. The service itself does
	// not use it: mixtral certify reads the metrics of a --target from it.
	MonitoringURL string `yaml:"monitoring_url"`

	// TracingURL is an OpenTelemetry collector that takes traces by OTLP over HTTP, as http://localhost:4318; a path
	// means the complete address. Empty means no traces. The environment's OTEL_EXPORTER_OTLP_ENDPOINT sets it too,
	// and the other OTEL_ variables say how to send (headers, compression, certificates), what to sample, and who we
	// are.
	TracingURL string `yaml:"tracing_url"`

	// APIKeyFile holds a name and a key on each line, or a name and sha256:HASH, and behind them the key's limits, as
	// in "alice KEY requests_per_minute=60 tokens_per_minute=20000 concurrent=4"; a line with the name * and no key
	// gives the limits of those that name none. It is read again when it changes. InsecureBind allows an address that
	// others can reach without keys.
	APIKeyFile   string `yaml:"api_key_file"`
	InsecureBind bool   `yaml:"insecure_bind"`

	// With TLSCertFile and TLSKeyFile, PEM files that are read again when they change, the API speaks TLS 1.2 or
	// newer and HTTP/2. AllowedHosts are names under which requests may come in, with commas between: on an address
	// that only this machine reaches, only localhost, Host and IP addresses are without it. MaxConnections bounds the
	// connections that are open together. MetricsListen is an address and port that /metrics moves to, with the
	// health checks beside it.
	TLSCertFile    string `yaml:"tls_cert_file"`
	TLSKeyFile     string `yaml:"tls_key_file"`
	AllowedHosts   string `yaml:"allowed_hosts"`
	MaxConnections int    `yaml:"max_connections"`
	MetricsListen  string `yaml:"metrics_listen"`

	// DrainTimeoutS is how many seconds requests under way have to end when the service stops.
	DrainTimeoutS float64 `yaml:"drain_timeout_s"`

	// LogLevel (debug, info, warn, error, off) and LogFormat (text, json) are for programs that make their logger
	// from the configuration, as mixtral serve does. Logger is the one the service uses; nil means none.
	LogLevel  string       `yaml:"log_level"`
	LogFormat string       `yaml:"log_format"`
	Logger    *slog.Logger `yaml:"-"`
}

// Backend is what answers requests.
type Backend string

// The backends.
const (
	BackendEmbedded Backend = "embedded" // the engine of this program
	BackendVLLM     Backend = "vllm"     // OpenAI-compatible servers that requests are passed on to
)

// DefaultConfig gives the configuration of test case TC-L1-COMP-MIXTRAL-003, with the built-in model.
func DefaultConfig() Config {
	return Config{
		Host: "127.0.0.1", Port: 11400, Backend: BackendEmbedded,
		MemoryLimitGB: 90, CPUCores: 8, KVType: "f16",
		TargetLatencyMS: 2000, TargetThroughputRPS: 50,
		MaxConcurrentRequests: 10, MaxQueuedRequests: 100, MaxTokens: 4096, Temperature: 0.7,
		UpstreamTimeoutS: 600, DrainTimeoutS: 30, MaxConnections: 2048,
		LogLevel: "info", LogFormat: "text",
	}
}

// ErrConfig is matched by every error about a configuration.
var ErrConfig = service.ErrConfig

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	Key     string // as in YAML
	Value   string
	Allowed string // "must be between 0 and 65535"
}

func (p Problem) String() string { return fmt.Sprintf("%s: %s: got %s", p.Key, p.Allowed, p.Value) }

// ConfigError lists all problems of a configuration. It matches ErrConfig.
type ConfigError struct {
	Problems []Problem
}

func (e *ConfigError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	if len(lines) == 1 {
		return ErrConfig.Error() + ": " + lines[0]
	}
	return ErrConfig.Error() + ":\n  " + strings.Join(lines, "\n  ")
}

// Is makes every ConfigError an ErrConfig.
func (e *ConfigError) Is(target error) bool { return target == ErrConfig }

// LoadConfig reads a YAML file, none if path is empty, over the defaults, then the MIXTRAL_ variables of the
// environment. Open checks the result; Validate does it earlier. Errors match ErrConfig, unless the file cannot be
// read.
func LoadConfig(path string) (Config, error) {
	var data []byte
	if path != "" {
		var err error
		if data, err = os.ReadFile(path); err != nil {
			return Config{}, fmt.Errorf("configuration: %w", err)
		}
	}
	return ParseConfig(path, data, os.Environ())
}

// ParseConfig is LoadConfig with the file's content and the environment given. name is for error messages.
func ParseConfig(name string, data []byte, environ []string) (Config, error) {
	c := DefaultConfig()
	if err := c.parseYAML(name, data); err != nil {
		return Config{}, err
	}
	if u, set := telemetry.TracingURL(lookup(environ)); set { // over the file, and below a variable of our own
		c.TracingURL = u
	}
	var problems []Problem
	for _, entry := range environ {
		variable, value, _ := strings.Cut(entry, "=")
		key, ours := strings.CutPrefix(variable, "MIXTRAL_")
		if !ours || value == "" || variable == "MIXTRAL_PORT" && strings.HasPrefix(value, "tcp://") {
			continue // the last is what Kubernetes tells pods beside a Service of the name mixtral
		}
		if p := c.set(strings.ToLower(key), value); p != nil {
			p.Key = variable
			problems = append(problems, *p)
		}
	}
	if len(problems) > 0 {
		return Config{}, &ConfigError{problems}
	}
	return c, nil
}

// lookup finds a variable among environ.
func lookup(environ []string) func(string) string {
	return func(name string) string {
		for _, entry := range slices.Backward(environ) { // the last one counts
			if value, ok := strings.CutPrefix(entry, name+"="); ok {
				return value
			}
		}
		return ""
	}
}

// parseYAML decodes a file strictly over c.
func (c *Config) parseYAML(name string, data []byte) error {
	var plain map[string]any
	documents := yaml.NewDecoder(bytes.NewReader(data))
	if err := documents.Decode(&plain); err != nil && err != io.EOF {
		return yamlError(name, err)
	}
	if err := documents.Decode(new(any)); err != io.EOF {
		return fmt.Errorf("%w: %s: holds more than one document", ErrConfig, name)
	}
	if len(plain) == 0 {
		return nil // comments only: the decoder would reset all of c
	}
	if err := yaml.UnmarshalWithOptions(data, c, yaml.Strict()); err != nil {
		return yamlError(name, err)
	}
	// The decoder cuts fractions off where an integer is wanted.
	var problems []Problem
	t := reflect.TypeFor[Config]()
	for i := range t.NumField() {
		key := t.Field(i).Tag.Get("yaml")
		if f, ok := plain[key].(float64); ok && t.Field(i).Type.Kind() == reflect.Int && f != math.Trunc(f) {
			problems = append(problems, Problem{Key: key, Value: fmt.Sprint(f), Allowed: kindNames[reflect.Int]})
		}
	}
	if len(problems) > 0 {
		return &ConfigError{problems}
	}
	return nil
}

// kindNames says what a key of a kind must be.
var kindNames = map[reflect.Kind]string{
	reflect.String: "must be text", reflect.Int: "must be an integer", reflect.Float64: "must be a number",
	reflect.Bool: "must be true or false",
}

// yamlError shows the faulty line with a mark below the fault.
func yamlError(name string, err error) error {
	var detail yaml.Error
	if !errors.As(err, &detail) || detail.GetToken() == nil {
		return fmt.Errorf("%w: %s: %w", ErrConfig, name, err)
	}
	message, token := detail.GetMessage(), detail.GetToken()
	var typ *yaml.TypeError
	if errors.As(err, &typ) && kindNames[typ.DstType.Kind()] != "" {
		message = kindNames[typ.DstType.Kind()]
	}
	// The first line names the place; the formatter's own would do it a second time.
	_, source, _ := strings.Cut(yaml.FormatErrorWithToken(message, token, false, true), "\n")
	return fmt.Errorf("%w: %s:%d: %s\n%s", ErrConfig, name, token.Position.Line, message,
		strings.TrimRight(source, "\n "))
}

// Set gives a key, as in YAML, a value from a string. Errors match ErrConfig.
func (c *Config) Set(key, value string) error {
	if !slices.Contains(configKeys(), key) {
		return fmt.Errorf("%w: %q is no key: there are %s", ErrConfig, key, strings.Join(configKeys(), ", "))
	}
	if p := c.set(key, value); p != nil {
		return &ConfigError{[]Problem{*p}}
	}
	return nil
}

// configKeys lists all keys in the order of Config.
func configKeys() (keys []string) {
	t := reflect.TypeFor[Config]()
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("yaml"); key != "-" {
			keys = append(keys, key)
		}
	}
	return keys
}

// set gives a key a value from a string. A key that is none is not a problem: other variables begin with MIXTRAL_ too.
func (c *Config) set(key, value string) *Problem {
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("yaml") != key {
			continue
		}
		field := v.Field(i)
		var err error
		switch field.Kind() {
		case reflect.String:
			field.SetString(value)
		case reflect.Int:
			var n int
			n, err = strconv.Atoi(value)
			field.SetInt(int64(n))
		case reflect.Float64:
			var f float64
			f, err = strconv.ParseFloat(value, 64)
			field.SetFloat(f)
		case reflect.Bool:
			var b bool
			b, err = strconv.ParseBool(value)
			field.SetBool(b)
		}
		if err != nil {
			return &Problem{Key: key, Value: strconv.Quote(value), Allowed: kindNames[field.Kind()]}
		}
	}
	return nil
}

// Validate checks every key and reports all problems at once, as a *ConfigError.
func (c *Config) Validate() error {
	_, err := c.options()
	return err
}

// options checks every key, and gives what the service is to do. Errors are a *ConfigError.
func (c *Config) options() (service.Options, error) {
	v := &validator{}
	o := service.Options{
		Version: Version(), Logger: c.Logger,
		ModelPath: c.ModelPath, ModelID: c.ModelID, Upstream: c.upstream(v),
		MemoryLimit: int64(c.MemoryLimitGB * (1 << 30)), CPUCores: c.CPUCores, OwnProcess: c.OwnProcess,
		ContextLength:         c.ContextLength,
		MaxConcurrentRequests: c.MaxConcurrentRequests, MaxQueuedRequests: c.MaxQueuedRequests,
		MaxTokens: c.MaxTokens, Temperature: c.Temperature,
		DatabaseURL: c.database(v), LogPrompts: c.LogPrompts,
		RequestLogKeep: time.Duration(c.RequestLogDays) * 24 * time.Hour,
		TracingURL:     c.TracingURL,
		Host:           c.Host, Port: c.Port, APIKeyFile: c.APIKeyFile, TLSCertFile: c.TLSCertFile,
		TLSKeyFile: c.TLSKeyFile, AllowedHosts: splitList(c.AllowedHosts), MaxConnections: c.MaxConnections,
		MetricsListen: c.MetricsListen, DrainTimeout: seconds(c.DrainTimeoutS),
	}
	v.number("port", float64(c.Port), 0, math.MaxUint16)
	v.above("upstream_timeout_s", c.UpstreamTimeoutS, 24*3600)
	v.above("memory_limit_gb", c.MemoryLimitGB, 1<<20)
	v.number("cpu_cores", float64(c.CPUCores), 1, 1<<12)
	v.number("context_length", float64(c.ContextLength), 0, 1<<24)
	var err error
	if o.KVType, err = quant.ParseKVType(c.KVType); err != nil {
		v.add("kv_type", strconv.Quote(c.KVType), "must be f16 or q8_0")
	}
	v.above("target_latency_ms", c.TargetLatencyMS, 1e9)
	v.above("target_throughput_rps", c.TargetThroughputRPS, 1e9)
	v.number("max_concurrent_requests", float64(c.MaxConcurrentRequests), 1, 1<<16)
	v.number("max_queued_requests", float64(c.MaxQueuedRequests), 0, 1<<20)
	v.number("max_tokens", float64(c.MaxTokens), 1, 1<<24)
	v.number("temperature", c.Temperature, llm.TemperatureRange.Lo, llm.TemperatureRange.Hi)
	v.number("drain_timeout_s", c.DrainTimeoutS, 0, 3600)
	v.number("request_log_days", float64(c.RequestLogDays), 0, 100*365)
	v.url("monitoring_url", c.MonitoringURL, "http", "https")
	v.url("tracing_url", c.TracingURL, "http", "https")
	v.oneOf("log_level", c.LogLevel, telemetry.LogLevels...)
	v.oneOf("log_format", c.LogFormat, telemetry.LogFormats...)
	c.checkAccess(v)
	if len(v.problems) > 0 {
		return service.Options{}, &ConfigError{v.problems}
	}
	return o, nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// upstream gives the servers that requests are passed on to, nil where there are none.
func (c *Config) upstream(v *validator) *service.Upstream {
	v.oneOf("backend", string(c.Backend), string(BackendEmbedded), string(BackendVLLM))
	if c.Backend != BackendVLLM {
		if c.Upstream != "" {
			v.add("upstream", strconv.Quote(c.Upstream), "needs backend: vllm")
		}
		return nil
	}
	u := &service.Upstream{URLs: splitList(c.Upstream), KeyFile: c.UpstreamKeyFile, Models: map[string]string{},
		Timeout: seconds(c.UpstreamTimeoutS)}
	if err := upstream.CheckURLs(u.URLs); err != nil {
		v.add("upstream", strconv.Quote(c.Upstream),
			"must be http://host:port or https://host, several with commas between")
	}
	for _, pair := range splitList(c.UpstreamModels) {
		ours, theirs, ok := strings.Cut(pair, "=")
		if !ok || ours == "" || theirs == "" {
			v.add("upstream_models", strconv.Quote(c.UpstreamModels),
				"must be name=name, several with commas between")
			break
		}
		u.Models[ours] = theirs
	}
	return u
}

// database gives where requests are logged, empty for nowhere. A password is not shown.
func (c *Config) database(v *validator) string {
	if c.DatabaseURL == open.None || c.DatabaseURL == "" {
		return ""
	}
	if open.Check(c.DatabaseURL) != nil {
		shown := "a value that is not a URL" // a parser's message would show it
		if u, err := url.Parse(c.DatabaseURL); err == nil {
			shown = strconv.Quote(open.Redact(*u))
		}
		v.add("database_url", shown, "must be postgres://user:password@host:port/database, sqlite:PATH or none")
	}
	return c.DatabaseURL
}

// checkAccess checks who may reach the service, and how.
func (c *Config) checkAccess(v *validator) {
	switch {
	case c.Host == "" || strings.ContainsAny(c.Host, " /"):
		v.add("host", strconv.Quote(c.Host), "must be an IP address or a name")
	case !service.Loopback(c.Host) && c.APIKeyFile == "" && !c.InsecureBind:
		v.add("host", strconv.Quote(c.Host),
			"others can reach this address: set api_key_file, or insecure_bind if that is meant")
	}
	if (c.TLSCertFile == "") != (c.TLSKeyFile == "") {
		key, value := "tls_key_file", c.TLSKeyFile
		if c.TLSCertFile == "" {
			key, value = "tls_cert_file", c.TLSCertFile
		}
		v.add(key, strconv.Quote(value), "must be given: a certificate and its key go together")
	}
	if slices.ContainsFunc(splitList(c.AllowedHosts), func(name string) bool {
		return strings.ContainsAny(name, ":/ *")
	}) {
		v.add("allowed_hosts", strconv.Quote(c.AllowedHosts),
			"must be host names without ports, several with commas between")
	}
	if c.MetricsListen != "" {
		host, port, err := net.SplitHostPort(c.MetricsListen)
		n, bad := strconv.ParseUint(port, 10, 16)
		if err != nil || bad != nil || host == "" || n != 0 && int(n) == c.Port && host == c.Host {
			v.add("metrics_listen", strconv.Quote(c.MetricsListen), "must be address:port, another than the API's")
		}
	}
	v.number("max_connections", float64(c.MaxConnections), 1, 1<<20)
}

// splitList gives what stands between commas.
func splitList(s string) []string {
	var list []string
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list
}

// validator collects problems.
type validator struct{ problems []Problem }

func (v *validator) add(key, value, allowed string) {
	v.problems = append(v.problems, Problem{key, value, allowed})
}

func (v *validator) number(key string, got, lo, hi float64) {
	if !(got >= lo && got <= hi) {
		v.add(key, fmt.Sprint(got), fmt.Sprintf("must be between %.0f and %.0f", lo, hi))
	}
}

func (v *validator) above(key string, got, hi float64) {
	if !(got > 0 && got <= hi) {
		v.add(key, fmt.Sprint(got), fmt.Sprintf("must be above 0 and at most %.0f", hi))
	}
}

func (v *validator) oneOf(key, got string, allowed ...string) {
	if !slices.Contains(allowed, got) {
		v.add(key, strconv.Quote(got), "must be "+strings.Join(allowed, " or "))
	}
}

// url checks an address that may be empty. Its password is not shown.
func (v *validator) url(key, got string, schemes ...string) {
	if got == "" {
		return
	}
	allowed := "must begin with " + strings.Join(schemes, ":// or ") + "://"
	u, err := url.Parse(got)
	switch {
	case err != nil:
		v.add(key, "a value that is not a URL", allowed) // a parser's message would show it
	case !slices.Contains(schemes, u.Scheme):
		v.add(key, strconv.Quote(u.Redacted()), allowed)
	case u.Host == "":
		v.add(key, strconv.Quote(u.Redacted()), "must name a host")
	}
}

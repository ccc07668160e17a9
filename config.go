package mixtral

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/base/store/open"
	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/model/chat"
	"github.com/hxp-enterprise/mixtral/internal/model/convert"
	"github.com/hxp-enterprise/mixtral/internal/serve/route"
	"github.com/hxp-enterprise/mixtral/internal/serve/service"
	"github.com/hxp-enterprise/mixtral/internal/serve/settings"
	"github.com/hxp-enterprise/mixtral/internal/serve/upstream"
)

// Config says how a Service runs. Start from DefaultConfig: a zero value is not valid. The same keys stand in YAML
// files and, as MIXTRAL_ and the key in capitals, in the environment.
type Config struct {
	// Host is the IP address or the name to listen at. An address that others can reach needs APIKeyFile or
	// InsecureBind. Default: 127.0.0.1.
	Host string `yaml:"host"`

	// Port is the TCP port to listen at, 0 to 65535; 0 means any free one. Default: 11400.
	Port int `yaml:"port"`

	// Backend is what answers: BackendEmbedded or BackendVLLM. With the second, requests are passed on to the
	// servers at Upstream, and memory, cores and context are theirs. Default: embedded.
	Backend Backend `yaml:"backend"`

	// ModelPath is the model. With BackendVLLM it is not opened: the servers read it themselves, and where they list
	// the model under this path, requests may also use the path's last part, or ModelID. With BackendEmbedded it is a
	// GGUF file, a directory with one or with a model in safetensors (see QuantizeTo), the name of a pulled model such
	// as "mixtral-8x7b-instruct:q4_k_m", "demo", or "synth:tiny" or another synthetic model. Default: empty, the
	// built-in model.
	ModelPath string `yaml:"model_path"`

	// QuantizeTo is the format that a model in safetensors is converted to before it is served, such as q4_k_m, and
	// which of several GGUF files in a directory is taken. The conversion is kept in CacheDir, and made again only
	// when the model's files change. Default: empty, the widest of q8_0, q6_k, q5_k_m, q4_k_m, q3_k_m and q2_k that
	// fits MemoryLimitGB and the machine with one context.
	QuantizeTo string `yaml:"quantize_to"`

	// CacheDir is the directory for converted models and packed copies. Default: empty, mixtral in the user's cache
	// directory, $XDG_CACHE_HOME or ~/.cache.
	CacheDir string `yaml:"cache_dir"`

	// PackedCopy lets a service that has run for a minute write a copy of its model to CacheDir in the order in which
	// the engine computes, if the copy takes no more than half of the disk's free space. Later starts map the copy
	// instead of packing the model in memory. It is made again when the model's file changes. Models below 256 MiB
	// start at once without one. Default: true.
	PackedCopy bool `yaml:"packed_copy"`

	// ModelID is the name of the model that clients see. Default: empty, the model's own name.
	ModelID string `yaml:"model_id"`

	// Upstream is one or several URLs, http:// or https://, with commas between: a gateway, or replicas of an
	// OpenAI-compatible server. It needs BackendVLLM. Default: empty.
	Upstream string `yaml:"upstream"`

	// UpstreamKeyFile is a file with the API key that the servers at Upstream want. Default: empty, no key.
	UpstreamKeyFile string `yaml:"upstream_key_file"`

	// UpstreamModels renames models: pairs OURS=THEIRS with commas between, as in
	// "mixtral=mistralai/Mixtral-8x7B-Instruct-v0.1". Default: empty, the names are passed on unchanged.
	UpstreamModels string `yaml:"upstream_models"`

	// UpstreamTimeoutS is how many seconds an upstream server may be silent, above 0 to 86400. Before an answer has
	// begun the next server is tried then; within an answer the request ends with an error. Default: 600.
	UpstreamTimeoutS float64 `yaml:"upstream_timeout_s"`

	// UpstreamFile is a YAML file with the servers, instead of Upstream: for each its URL, and where wanted the models
	// that it serves, its weight, its share as a canary, its own key, and whether it is to be drained. The file is
	// read again when it changes. Default: empty.
	UpstreamFile string `yaml:"upstream_file"`

	// UpstreamPolicy says which of the servers of a model gets a request: "least-outstanding" the one with the fewest
	// requests for its weight, "round-robin" each in turn, "prefix-affinity" the one that had the conversation's
	// beginning before, while it is not busier than UpstreamAffinitySlack allows. Default: least-outstanding.
	UpstreamPolicy string `yaml:"upstream_policy"`

	// UpstreamAffinitySlack is how many requests more than the least busy server another may have and still get the
	// requests of its conversations, 1 to 10000. Default: 4.
	UpstreamAffinitySlack int `yaml:"upstream_affinity_slack"`

	// UpstreamSlowStartS is over how many seconds a server that is new or back comes to its whole weight, 0 to 3600.
	// Default: 10.
	UpstreamSlowStartS float64 `yaml:"upstream_slow_start_s"`

	// UpstreamRetryBudget is how many retries there may be for each request, 0 to 1: 0.2 lets every fifth request be
	// sent to another server because one failed or refused before its answer began. Default: 0.2.
	UpstreamRetryBudget float64 `yaml:"upstream_retry_budget"`

	// UpstreamHealthS is how many seconds lie between two health checks of a server, 0 to 3600; 0 means none: then
	// only failed requests tell. A server that is down is checked each second. Default: 5.
	UpstreamHealthS float64 `yaml:"upstream_health_s"`

	// UpstreamHealthPath is the path that health checks ask for; a status from 200 to 299 is healthy. Default:
	// /v1/models, which every OpenAI-compatible server has.
	UpstreamHealthPath string `yaml:"upstream_health_path"`

	// UpstreamCanaryBy says by what a server with a share of its own gets it: "request", so that the share is exact,
	// "conversation" or "caller" (an API key), so that all requests of one go to the same version. Default: request.
	UpstreamCanaryBy string `yaml:"upstream_canary_by"`

	// UpstreamReady says when the service is ready: "every-model" while each model has a server that may be asked,
	// "any-model" while one has. Default: every-model.
	UpstreamReady string `yaml:"upstream_ready"`

	// OwnProcess says that the process does nothing but serve, as mixtral serve does: then CPUCores bounds the
	// processor time of the whole process, and not of the model alone. Default: false. It is not a key of files.
	OwnProcess bool `yaml:"-"`

	// MemoryLimitGB bounds weights, KV cache and buffers together, in GiB (2³⁰ bytes), above 0 to 1048576. A machine
	// or control group with less sets the bound. Default: 90.
	MemoryLimitGB float64 `yaml:"memory_limit_gb"`

	// CPUCores is the most cores to compute with, 1 to 4096. A machine or control group with fewer sets the bound.
	// Default: 8.
	CPUCores int `yaml:"cpu_cores"`

	// ContextLength is the most tokens of a prompt and its answer together, 0 to 16777216; 0 means what the model was
	// trained for. Default: 0.
	ContextLength int `yaml:"context_length"`

	// KVType is how the keys and values of attention are kept: "f16", or "q8_0" in little more than half the memory,
	// so that a context twice as long or twice as many requests fit. Default: f16.
	KVType string `yaml:"kv_type"`

	// ChatTemplate is the template that formats conversations: a file with a Jinja template, or chatml, llama-2,
	// mistral, zephyr or none. Default: empty, what the model's own file says.
	ChatTemplate string `yaml:"chat_template"`

	// TargetLatencyMS is the latency in milliseconds that the service is certified against, above 0 to 10⁹. The
	// service itself does not act on it. Default: 2000.
	TargetLatencyMS float64 `yaml:"target_latency_ms"`

	// TargetThroughputRPS is the throughput in requests a second that the service is certified against, above 0 to
	// 10⁹. The service itself does not act on it. Default: 50.
	TargetThroughputRPS float64 `yaml:"target_throughput_rps"`

	// MaxConcurrentRequests is how many completions are computed together, 1 to 65536. Default: 10.
	MaxConcurrentRequests int `yaml:"max_concurrent_requests"`

	// MaxQueuedRequests is how many completions wait beyond those, 0 to 1048576. More are refused with status 429.
	// Default: 100.
	MaxQueuedRequests int `yaml:"max_queued_requests"`

	// MaxTokens is the most tokens of an answer, 1 to 16777216, and what a chat gets that asks for no number.
	// Default: 4096.
	MaxTokens int `yaml:"max_tokens"`

	// Temperature is for requests that name none, 0 to 2; 0 always takes the likeliest token. Default: 0.7.
	Temperature float64 `yaml:"temperature"`

	// ModelAliases are more names of the model of the embedded backend, with commas between: requests may use them,
	// and answers then have them. It needs BackendEmbedded; UpstreamModels is for the other. Default: empty.
	ModelAliases string `yaml:"model_aliases"`

	// UnknownFields says what becomes of a request with a field that the embedded backend does not know: "error"
	// refuses it with status 400, "ignore" ignores the field. Default: error.
	UnknownFields string `yaml:"unknown_fields"`

	// ResponseStore says where answers of /v1/responses are kept, so that a later request can go on from one: "memory"
	// keeps the newest 64 MiB of them until the process ends, "database" keeps them at DatabaseURL, and for as long
	// as RequestLogDays says, "none" keeps nothing. Default: memory.
	ResponseStore string `yaml:"response_store"`

	// DatabaseURL is where each request for completions is logged: ids, times, tokens, how it ended and the key's
	// name. It is postgres://user:password@host:port/database, sqlite:PATH or none. The log never delays or fails a
	// request: while the database is slow or away, requests wait in memory, and when there are too many the oldest
	// are dropped and counted. Default: empty, no log.
	DatabaseURL string `yaml:"database_url"`

	// LogPrompts keeps the beginning of each prompt in the request log too. Default: false.
	LogPrompts bool `yaml:"log_prompts"`

	// RequestLogDays is how many days the request log keeps a request, 0 to 36500; 0 means for ever. Default: 0.
	RequestLogDays int `yaml:"request_log_days"`

	// MonitoringURL is a Prometheus server, http:// or https://, that scrapes the service. The service itself does
	// not use it: mixtral certify reads the metrics of a --target from it. Default: empty.
	MonitoringURL string `yaml:"monitoring_url"`

	// TracingURL is an OpenTelemetry collector, http:// or https://, that takes traces by OTLP over HTTP, as
	// http://localhost:4318; a URL with a path is the complete address. OTEL_EXPORTER_OTLP_ENDPOINT in the
	// environment sets it too, and the other OTEL_ variables say how to send (headers, compression, certificates),
	// what to sample, and the service's name. Default: empty, no traces.
	TracingURL string `yaml:"tracing_url"`

	// APIKeyFile has a name and a key on each line, or a name and sha256:HASH, and after them the key's limits, as in
	// "alice KEY requests_per_minute=60 tokens_per_minute=20000 concurrent=4". A line with the name * and no key gives
	// the limits of keys that name none. The file is read again when it changes. Default: empty, everybody may ask.
	APIKeyFile string `yaml:"api_key_file"`

	// PrefixCacheScope says who shares what was computed for the beginnings of prompts: "service" means all requests,
	// "key" those of one API key, "auto" those of one key where there is an APIKeyFile. Where keys share it,
	// cached_tokens and the time to the first token tell each of them what others have asked. With BackendVLLM, "key"
	// sends each key's requests on with a cache_salt of its own, and "auto" leaves it to the upstream. Default: auto.
	PrefixCacheScope string `yaml:"prefix_cache_scope"`

	// InsecureBind allows a Host that others can reach without an APIKeyFile. Default: false.
	InsecureBind bool `yaml:"insecure_bind"`

	// TLSCertFile is a PEM file with the certificate, and those between it and its root. With it the API speaks TLS
	// 1.2 or newer and HTTP/2. It needs TLSKeyFile. Both are read again when they change. Default: empty, plain HTTP.
	TLSCertFile string `yaml:"tls_cert_file"`

	// TLSKeyFile is a PEM file with the certificate's private key. Default: empty.
	TLSKeyFile string `yaml:"tls_key_file"`

	// AllowedHosts are names that requests may ask for in their Host header, with commas between and without ports.
	// On a loopback address, only localhost, Host and IP addresses are accepted besides these names. Default: empty.
	AllowedHosts string `yaml:"allowed_hosts"`

	// AllowedOrigins are the sites whose pages may use the service from a browser, as https://HOST or
	// https://HOST:PORT with commas between, or * for all. Default: empty, none.
	AllowedOrigins string `yaml:"allowed_origins"`

	// MaxConnections is how many connections may be open together, 1 to 1048576, and at most half of the files that
	// the process may open. Beyond it, a new connection takes the place of the longest idle one of the address that
	// has most. A sixteenth of them, at most 64, is kept for health checks. 1 counts as 2. Default: 2048.
	MaxConnections int `yaml:"max_connections"`

	// MetricsListen is an ADDRESS:PORT that /metrics moves to, with the health checks beside it. Default: empty,
	// /metrics is beside the API.
	MetricsListen string `yaml:"metrics_listen"`

	// Console says whether the service has its web pages at /: a chat, what the server does now, and text as tokens.
	// "auto" means only where Host is an address that only this machine reaches; "true" needs an APIKeyFile on any
	// other address; "false" means nowhere. Default: auto.
	Console string `yaml:"console"`

	// DrainTimeoutS is how many seconds requests under way have to end when the service stops, 0 to 3600.
	// Default: 30.
	DrainTimeoutS float64 `yaml:"drain_timeout_s"`

	// LogLevel is debug, info, warn, error or off, for programs that make their logger from the configuration, as
	// mixtral serve does. Default: info.
	LogLevel string `yaml:"log_level"`

	// LogFormat is text or json, for the same programs. Default: text.
	LogFormat string `yaml:"log_format"`

	// Logger is what the service logs to; nil means nowhere. Default: nil. It is not a key of files.
	Logger *slog.Logger `yaml:"-"`

	// Warnings are what LoadConfig and ParseConfig found odd: variables of the environment whose names look misspelt,
	// and, from LoadConfig, a MIXTRAL_CPU_TIER that this machine does not have. New logs them. Default: empty. It is
	// not a key of files.
	Warnings []string `yaml:"-"`

	loaded *loaded `yaml:"-"` // what LoadConfig or ParseConfig read, for the errors of Validate; nil where neither did
}

// loaded is what was read, and where from.
type loaded struct {
	places settings.Places
	config Config
}

// Backend is what answers requests.
type Backend string

// The backends.
const (
	BackendEmbedded Backend = "embedded" // the engine of this program
	BackendVLLM     Backend = "vllm"     // OpenAI-compatible servers that requests are passed on to
)

// What UpstreamReady may be.
const (
	readyEvery = "every-model"
	readyAny   = "any-model"
)

// DefaultConfig gives the configuration of test case TC-L1-COMP-MIXTRAL-003, with the built-in model.
func DefaultConfig() Config {
	return Config{
		Host: "127.0.0.1", Port: 11400, Backend: BackendEmbedded,
		PackedCopy: true, MemoryLimitGB: 90, CPUCores: 8, KVType: "f16",
		TargetLatencyMS: 2000, TargetThroughputRPS: 50,
		MaxConcurrentRequests: 10, MaxQueuedRequests: 100, MaxTokens: 4096, Temperature: 0.7,
		UpstreamTimeoutS: 600, UpstreamPolicy: route.NameLeast, UpstreamAffinitySlack: route.DefaultSlack,
		UpstreamSlowStartS: 10, UpstreamRetryBudget: 0.2, UpstreamHealthS: 5, UpstreamHealthPath: "/v1/models",
		UpstreamCanaryBy: upstream.CanaryByRequest, UpstreamReady: readyEvery,
		DrainTimeoutS: 30, MaxConnections: 2048, Console: "auto", PrefixCacheScope: scopeAuto,
		UnknownFields: unknownError, ResponseStore: service.ResponsesMemory, LogLevel: "info", LogFormat: "text",
	}
}

// ErrConfig is matched by every error about a configuration.
var ErrConfig = service.ErrConfig

// LoadConfig reads a YAML file, none if path is empty, over the defaults, then the MIXTRAL_ variables of the
// environment, then the values in set, each KEY=VALUE. Open checks the result; Validate does it earlier. Errors match
// ErrConfig, unless the file cannot be read, and list everything that is wrong with all of these. With such an error,
// the configuration has nothing but its Warnings.
func LoadConfig(path string, set ...string) (Config, error) {
	var data []byte
	if path != "" {
		var err error
		if data, err = bounded.File(path, bounded.MostYAML); err != nil {
			return Config{}, fmt.Errorf("configuration: %w", err)
		}
	}
	c, err := ParseConfig(path, data, os.Environ(), set...)
	if refused := kernel.TierRefused(); refused != nil {
		c.Warnings = append(c.Warnings, refused.Error())
	}
	return c, err
}

// ParseConfig is LoadConfig with the file's content and the environment given. name is for error messages.
func ParseConfig(name string, data []byte, environ []string, set ...string) (Config, error) {
	c := DefaultConfig()
	warnings := settings.Misspelt(environ, settings.Prefix, settings.Variables(reflect.TypeFor[Config]()))
	places, problems, err := settings.YAML(&c, name, data)
	if err != nil {
		return Config{Warnings: warnings}, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if u, set := telemetry.TracingURL(lookup(environ)); set { // over the file, and below a variable of our own
		c.TracingURL = u
	}
	problems = append(problems, settings.Environ(&c, settings.Prefix, environ, places)...)
	for _, pair := range set {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			problems = append(problems, settings.Problem{Place: fromSet, Key: pair, Value: "no value",
				Allowed: "must be KEY=VALUE"})
			continue
		}
		places[key] = fromSet
		if p := settings.Set(&c, key, value); p != nil {
			p.Place = fromSet
			problems = append(problems, *p)
		}
	}
	c.loaded = &loaded{places, c}
	if len(problems) > 0 {
		return Config{Warnings: warnings}, c.allProblems(problems)
	}
	c.Warnings = warnings
	return c, nil
}

// fromSet is the place of what is neither from a file nor from the environment: the flag that sets it.
const fromSet = "--set"

// allProblems adds to those of reading what is wrong with the values that could be read.
func (c *Config) allProblems(found []settings.Problem) error {
	e := problemsOf(found)
	var checked *ConfigError
	if errors.As(c.Validate(), &checked) {
		for _, p := range checked.Problems {
			if p.Place != "" &&
				!slices.ContainsFunc(e.Problems, func(q Problem) bool { return q.Key == p.Key }) {
				e.Problems = append(e.Problems, p)
			}
		}
	}
	slices.SortStableFunc(e.Problems, func(p, q Problem) int { return cmp.Compare(fileLine(p), fileLine(q)) })
	return e
}

// fileLine gives the line where a file has the problem; what is not in the file comes after it.
func fileLine(p Problem) int {
	if n, err := strconv.Atoi(p.Place[strings.LastIndexByte(p.Place, ':')+1:]); err == nil {
		return n
	}
	return math.MaxInt
}

func problemsOf(list []settings.Problem) *ConfigError {
	e := &ConfigError{}
	for _, p := range list {
		e.Problems = append(e.Problems, Problem{Key: p.Key, Value: p.Value, Allowed: p.Allowed, Place: p.Place})
	}
	return e
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

// Set gives a key, as in YAML, a value from a string. Errors match ErrConfig.
func (c *Config) Set(key, value string) error {
	if p := settings.Set(c, key, value); p != nil {
		return problemsOf([]settings.Problem{*p})
	}
	return nil
}

// configKeys lists all keys in the order of Config.
func configKeys() []string { return settings.Keys(reflect.TypeFor[Config]()) }

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
		QuantizeTo: c.QuantizeTo, CacheDir: c.CacheDir, PackedCopy: c.PackedCopy,
		MemoryLimit: int64(c.MemoryLimitGB * (1 << 30)), CPUCores: c.CPUCores, OwnProcess: c.OwnProcess,
		ContextLength:         c.ContextLength,
		MaxConcurrentRequests: c.MaxConcurrentRequests, MaxQueuedRequests: c.MaxQueuedRequests,
		MaxTokens: c.MaxTokens, Temperature: c.Temperature,
		ModelAliases: splitList(c.ModelAliases), IgnoreUnknown: c.UnknownFields == unknownIgnore,
		Responses:      c.ResponseStore,
		ScopePerKey:    c.scopePerKey(),
		AllowedOrigins: splitList(c.AllowedOrigins),
		DatabaseURL:    c.database(v), LogPrompts: c.LogPrompts,
		RequestLogKeep: time.Duration(c.RequestLogDays) * 24 * time.Hour,
		TracingURL:     c.TracingURL,
		Host:           c.Host, Port: c.Port, APIKeyFile: c.APIKeyFile, TLSCertFile: c.TLSCertFile,
		TLSKeyFile: c.TLSKeyFile, AllowedHosts: splitList(c.AllowedHosts), MaxConnections: c.MaxConnections,
		MetricsListen: c.MetricsListen, DrainTimeout: seconds(c.DrainTimeoutS),
		Pages: c.pages(),
	}
	v.number("port", float64(c.Port), 0, math.MaxUint16)
	v.above("memory_limit_gb", c.MemoryLimitGB, 1<<20)
	v.number("cpu_cores", float64(c.CPUCores), 1, 1<<12)
	v.number("context_length", float64(c.ContextLength), 0, 1<<24)
	var err error
	if o.KVType, err = quant.ParseKVType(c.KVType); err != nil {
		v.add("kv_type", strconv.Quote(c.KVType), "must be f16 or q8_0")
	}
	if o.ChatTemplate, err = chat.Load(c.ChatTemplate); err != nil {
		v.add("chat_template", strconv.Quote(c.ChatTemplate), err.Error())
	}
	if c.QuantizeTo != "" {
		if _, err := convert.ParseMix(c.QuantizeTo); err != nil {
			v.add("quantize_to", strconv.Quote(c.QuantizeTo),
				"must be "+strings.Join(convert.Mixes(), ", ")+" or keep")
		}
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
	v.oneOf("unknown_fields", c.UnknownFields, unknownError, unknownIgnore)
	v.oneOf("response_store", c.ResponseStore, service.ResponsesMemory, service.ResponsesDatabase,
		service.ResponsesNone)
	if c.ResponseStore == service.ResponsesDatabase && o.DatabaseURL == "" {
		v.add("response_store", c.ResponseStore, "needs database_url")
	}
	if c.Backend == BackendVLLM && c.ModelAliases != "" {
		v.add("model_aliases", strconv.Quote(c.ModelAliases),
			"needs backend: embedded; upstream_models renames others")
	}
	v.oneOf("log_level", c.LogLevel, telemetry.LogLevels...)
	v.oneOf("log_format", c.LogFormat, telemetry.LogFormats...)
	c.checkAccess(v)
	if len(v.problems) > 0 {
		c.place(v.problems)
		return service.Options{}, &ConfigError{v.problems}
	}
	return o, nil
}

// place says of each problem where its value was set, unless the program has changed it since.
func (c *Config) place(problems []Problem) {
	for i, p := range problems {
		if c.loaded != nil && settings.Same(c, &c.loaded.config, p.Key) {
			problems[i].Place = c.loaded.places[p.Key]
		}
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

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

package service

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/serve/api"
)

// ErrConfig is matched by every error about the options. The messages name the key of the configuration.
var ErrConfig = errors.New("invalid configuration")

// Options say how a service runs. They have been checked: package mixtral makes them of its Config, which documents
// each of them.
type Options struct {
	Version string
	Logger  *slog.Logger // nil: no logs

	// The source of answers: the model at ModelPath, or other servers.
	ModelPath string
	ModelID   string    // name that clients see; empty: the model's own
	Upstream  *Upstream // nil: the embedded engine

	QuantizeTo string // format that safetensors are converted to; empty: the widest that fits
	CacheDir   string // for converted models and packed copies; empty: the user's cache directory
	PackedCopy bool   // start from a packed copy of the model, and make one in the background if there is none

	MemoryLimit   int64 // bytes
	CPUCores      int
	OwnProcess    bool // the process does nothing but serve, so all of it keeps to CPUCores
	ContextLength int  // tokens; 0: the context that the model was trained for
	KVType        quant.KVType
	ChatTemplate  string // a name, or a template; empty: the model's own

	MaxConcurrentRequests int
	MaxQueuedRequests     int
	MaxTokens             int
	Temperature           float64
	ModelAliases          []string // other names of the embedded model
	IgnoreUnknown         bool     // ignore unknown fields of requests
	Responses             string   // where answers of /v1/responses are stored: ResponsesMemory and so on
	ScopePerKey           bool     // the cached prompts of one API key are used for this key only

	DatabaseURL    string // empty: no request log
	LogPrompts     bool
	RequestLogKeep time.Duration // 0: for ever

	TracingURL string // empty: no traces

	Host           string
	Port           int
	APIKeyFile     string // empty: requests need no key
	TLSCertFile    string // empty: plain HTTP
	TLSKeyFile     string
	AllowedHosts   []string
	AllowedOrigins []string // sites whose pages may use the service
	MaxConnections int
	MetricsListen  string // address and port; empty: /metrics is at the address of the API
	DrainTimeout   time.Duration

	Pages map[string]http.Handler // web pages by path, which need no key; nil: none
}

// Upstream names the servers that requests are passed on to.
type Upstream struct {
	URLs    []string          // servers with nothing else to configure
	File    string            // file with other servers; empty: none. It is read again when it changes
	KeyFile string            // holds the API key for them; empty: none
	Models  map[string]string // the name that clients use → the name that the servers use
	// Directory is the model's directory, which the servers read themselves. Names are what clients may call the model
	// if the servers list it under its path.
	Directory string
	Names     []string
	Timeout   time.Duration // how long a server may be silent

	Policy      string // of route.Names
	Slack       int    // of the policy prefix-affinity
	SlowStart   time.Duration
	Retries     float64       // how many requests may be tried again, as a share of all; 0: none
	CanaryBy    string        // of upstream.CanaryBys
	HealthEvery time.Duration // between health checks; 0: none
	HealthPath  string
	AnyModel    bool // the service is ready if one model has a server; otherwise each model needs one
}

// slots returns how many requests the engine computes together; it is not known for upstream servers.
func (o *Options) slots() int {
	if o.Upstream != nil {
		return 0
	}
	return o.MaxConcurrentRequests
}

// hosts returns the host names that requests may use: the configured ones, and for an address that only this machine
// can reach, its own names. For other addresses without configured names it is nil: the service cannot know its names
// there.
func (o *Options) hosts() []string {
	if len(o.AllowedHosts) == 0 && !Loopback(o.Host) {
		return nil
	}
	return append(append([]string{}, o.AllowedHosts...), o.Host)
}

// IsOrigin says whether a text may be one of Options.AllowedOrigins: a scheme and a host, or *.
func IsOrigin(text string) bool { return api.CheckOrigin(text) }

// Loopback says whether only this machine can reach a host.
func Loopback(host string) bool {
	if ip := net.ParseIP(strings.Trim(host, "[]")); ip != nil {
		return ip.IsLoopback()
	}
	return strings.EqualFold(host, "localhost")
}

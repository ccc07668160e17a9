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

// ErrConfig is matched by every error about what a service was told. The messages name the key of the configuration.
var ErrConfig = errors.New("invalid configuration")

// Options say how a service runs. They have been checked: package mixtral makes them of its Config, and documents
// there what each of them means.
type Options struct {
	Version string
	Logger  *slog.Logger // nil: no logs

	// What answers: the model at ModelPath, or other servers.
	ModelPath string
	ModelID   string    // name that clients see; empty: the model's own
	Upstream  *Upstream // nil: the embedded engine

	QuantizeTo string // what safetensors are converted to; empty: what fits
	CacheDir   string // for converted models and packed copies; empty: the user's cache directory
	PackedCopy bool   // start from a packed copy of the model, and make one in the background where there is none

	MemoryLimit   int64 // bytes
	CPUCores      int
	OwnProcess    bool // the process does nothing but serve: all of it keeps to CPUCores
	ContextLength int  // tokens; 0: what the model was trained for
	KVType        quant.KVType
	ChatTemplate  string // a name, or a template; empty: the model's own

	MaxConcurrentRequests int
	MaxQueuedRequests     int
	MaxTokens             int
	Temperature           float64
	ModelAliases          []string // more names of the embedded model
	IgnoreUnknown         bool     // pass over fields of requests that are not known
	Responses             string   // where what /v1/responses answers is kept: ResponsesMemory and so on
	ScopePerKey           bool     // what was computed for the prompts of one key is used for this key alone

	DatabaseURL    string // empty: no request log
	LogPrompts     bool
	RequestLogKeep time.Duration // 0: for ever

	TracingURL string // empty: no traces

	Host           string
	Port           int
	APIKeyFile     string // empty: everybody may ask
	TLSCertFile    string // empty: plain HTTP
	TLSKeyFile     string
	AllowedHosts   []string
	AllowedOrigins []string // sites whose pages may use the service
	MaxConnections int
	MetricsListen  string // address and port; empty: /metrics is beside the API
	DrainTimeout   time.Duration

	Pages map[string]http.Handler // web pages by path, open to everybody; nil: none
}

// Upstream are servers that requests are passed on to.
type Upstream struct {
	URLs    []string          // without more to say of them
	File    string            // has others; empty: none. It is read again when it changes
	KeyFile string            // holds the API key to send them; empty: none
	Models  map[string]string // the name that clients use → the name that the servers use
	// Directory is the model's directory, which the servers read themselves, and Names what clients may call the model
	// where the servers call it by its path.
	Directory string
	Names     []string
	Timeout   time.Duration // for which one may be silent

	Policy      string // of route.Names
	Slack       int    // of the policy prefix-affinity
	SlowStart   time.Duration
	Retries     float64       // of requests, how many may be tried again; 0: none
	CanaryBy    string        // of upstream.CanaryBys
	HealthEvery time.Duration // between health checks; 0: none
	HealthPath  string
	AnyModel    bool // ready while one model has a server, and not only while each has one
}

// slots is how many requests the engine computes together; of upstream servers nobody knows.
func (o *Options) slots() int {
	if o.Upstream != nil {
		return 0
	}
	return o.MaxConcurrentRequests
}

// hosts gives the names that requests may ask for: those that are given, and on an address that only this machine
// reaches no others but its own. Elsewhere, nil: the service cannot know its names.
func (o *Options) hosts() []string {
	if len(o.AllowedHosts) == 0 && !Loopback(o.Host) {
		return nil
	}
	return append(append([]string{}, o.AllowedHosts...), o.Host)
}

// IsOrigin tells whether a text can be among Options.AllowedOrigins: a scheme and a host, or *.
func IsOrigin(text string) bool { return api.CheckOrigin(text) }

// Loopback tells whether only this machine can reach a host.
func Loopback(host string) bool {
	if ip := net.ParseIP(strings.Trim(host, "[]")); ip != nil {
		return ip.IsLoopback()
	}
	return strings.EqualFold(host, "localhost")
}

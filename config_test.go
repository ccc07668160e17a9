package mixtral

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// specConfig is the configuration that the test case's fixture makes.
const specConfig = `
port: 11400
memory_limit_gb: 90
cpu_cores: 8
target_latency_ms: 2000
target_throughput_rps: 50
model_path: "/opt/models/mixtral-8x7b"
max_concurrent_requests: 10
max_tokens: 4096
temperature: 0.7
database_url: "postgresql://user:pass@192.168.10.35:5432/hana_x_llm"
monitoring_url: "http://192.168.10.37:9090"
`

// sameKeys compares what the keys are set to, and not where they were set.
var sameKeys = cmpopts.IgnoreUnexported(Config{})

func TestSpecConfig(t *testing.T) {
	c, err := ParseConfig("spec.yaml", []byte(specConfig), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	want := DefaultConfig() // the specification's figures are the defaults
	want.ModelPath, want.DatabaseURL, want.MonitoringURL = "/opt/models/mixtral-8x7b",
		"postgresql://user:pass@192.168.10.35:5432/hana_x_llm", "http://192.168.10.37:9090"
	if diff := cmp.Diff(want, c, sameKeys); diff != "" {
		t.Error(diff)
	}
}

func TestDefaultConfig(t *testing.T) {
	c := DefaultConfig()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if err := new(Config).Validate(); !errors.Is(err, ErrConfig) {
		t.Errorf("zero value: %v", err)
	}
}

// TestYAMLErrors: each shows the file, the line and the fault.
func TestYAMLErrors(t *testing.T) {
	for _, test := range []struct {
		yaml string
		want []string
	}{
		{"host: localhost\nprot: 1\n",
			[]string{"c.yaml:2: unknown key \"prot\" (did you mean \"port\"?); known keys: host, port, "}},
		{"port: many\n", []string{"c.yaml:1: port: must be an integer, got \"many\""}},
		{"temperature: [1]\n", []string{"c.yaml:1: temperature: must be a number, got a list"}},
		{"insecure_bind: 7\n", []string{"c.yaml:1: insecure_bind: must be true or false"}},
		{"host:\n  a: 1\n", []string{"c.yaml:", "must be text"}},
		{"port: 1\nhost: a\nport: 2\n", []string{"c.yaml:3: port: must be given once"}},
		{"port: [1\n", []string{"c.yaml:1:", "]"}},
		{"port: 1\n---\nport: 2\n", []string{"c.yaml: has more than one document"}},
		{"- port\n", []string{"c.yaml:1:", "must be a mapping"}},
		{"port: 1.5\ncpu_cores: 2.5\n", []string{"port: must be an integer, got 1.5",
			"cpu_cores: must be an integer, got 2.5"}},
		{"port: 99999999999999999999\n", []string{"c.yaml:1: port: must be an integer that is not so large"}},
	} {
		_, err := ParseConfig("c.yaml", []byte(test.yaml), nil)
		if !errors.Is(err, ErrConfig) {
			t.Errorf("%q: %v", test.yaml, err)
			continue
		}
		for _, w := range test.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q: %v\nwants %q", test.yaml, err, w)
			}
		}
	}
	for _, empty := range []string{"", "\n\n", "# nothing\n", "---\n"} {
		c, err := ParseConfig("c.yaml", []byte(empty), nil)
		if err != nil || !cmp.Equal(c, DefaultConfig(), sameKeys) {
			t.Errorf("%q: %+v, %v", empty, c, err)
		}
	}
}

// TestEverythingAtOnce: unknown keys, wrong kinds, double keys, values out of range and the environment, with places.
func TestEverythingAtOnce(t *testing.T) {
	_, err := ParseConfig("c.yaml", []byte("port: many\nfoo: 1\ncpu_cores: 0\nport: 2\ntempreature: 0.5\n"),
		[]string{"MIXTRAL_MAX_TOKENS=x", "MIXTRAL_KV_TYPE=q7"}, "bar=1", "bar", "temperature=7")
	var e *ConfigError
	if !errors.As(err, &e) || len(e.Problems) != 10 {
		t.Fatal(err)
	}
	for _, want := range []string{"\n  c.yaml:1: port: must be an integer, got \"many\"\n",
		"\n  c.yaml:2: unknown key \"foo\"\n",
		"\n  c.yaml:4: port: must be given once",
		"\n  c.yaml:5: unknown key \"tempreature\" (did you mean \"temperature\"?)\n",
		"\n  MIXTRAL_MAX_TOKENS: max_tokens: must be an integer, got \"x\"\n",
		"\n  MIXTRAL_KV_TYPE: kv_type: must be f16 or q8_0, got \"q7\"\n",
		"\n  --set: unknown key \"bar\"",
		"\n  --set: bar: must be KEY=VALUE, got no value\n",
		"\n  --set: temperature: must be between 0 and 2, got 7\n",
		"\n  c.yaml:3: cpu_cores: must be between 1 and 4096, got 0\n",
		"\n  known keys: host, port, "} {
		if strings.Count(err.Error(), want) != 1 {
			t.Errorf("%v\nwants %q", err, want)
		}
	}
}

// TestIncompleteAtOnce: a key that needs another one is named beside unknown keys too, at the place where it is set.
func TestIncompleteAtOnce(t *testing.T) {
	_, err := ParseConfig("c.yaml", []byte("tls_cert_file: /x\nfoo: 1\nbackend: vllm\n"), nil)
	var e *ConfigError
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	want := []Problem{{"tls_cert_file", `"/x"`, "needs tls_key_file", "c.yaml:1"}, {Key: "foo", Place: "c.yaml:2"},
		{"backend", `"vllm"`, "needs upstream or upstream_file", "c.yaml:3"}}
	if diff := cmp.Diff(want, e.Problems); diff != "" {
		t.Error(diff)
	}
}

// TestPlaces: what cannot be used is named with the place that set it, as long as the program has not set it itself.
func TestPlaces(t *testing.T) {
	c, err := ParseConfig("c.yaml", []byte("port: 99999999\ncpu_cores: 0\n"), []string{"MIXTRAL_TEMPERATURE=3"})
	if err != nil {
		t.Fatal(err)
	}
	c.CPUCores = -1
	var e *ConfigError
	if !errors.As(c.Validate(), &e) {
		t.Fatal("no error")
	}
	want := []Problem{{"port", "99999999", "must be between 0 and 65535", "c.yaml:1"},
		{"cpu_cores", "-1", "must be between 1 and 4096", ""},
		{"temperature", "3", "must be between 0 and 2", "MIXTRAL_TEMPERATURE"}}
	if diff := cmp.Diff(want, e.Problems); diff != "" {
		t.Error(diff)
	}
}

// TestMisspeltVariables: they set nothing, and what the key may be is said; Kubernetes' and our other ones are silent.
func TestMisspeltVariables(t *testing.T) {
	c, err := ParseConfig("", nil, []string{"MIXTRAL_PROT=1", "MIXTRAL_MODELPATH=x", "MIXTRAL_CPU_TIER=generic",
		"MIXTRAL_PORT=tcp://10.0.0.1:11400", "MIXTRAL_SERVICE_HOST=10.0.0.1", "MIXTRAL_SERVICE_PORT=11400",
		"MIXTRAL_SERVICE_PORT_HTTP=11400", "MIXTRAL_PORT_11400_TCP=tcp://10.0.0.1:11400",
		"MIXTRAL_PORT_11400_TCP_ADDR=10.0.0.1", "MIXTRAL_PORT_11400_TCP_PROTO=tcp", "MIXTRAL_HOME=/x"})
	if err != nil || len(c.Warnings) != 2 ||
		!strings.Contains(c.Warnings[0], "MIXTRAL_PROT sets nothing: did you mean MIXTRAL_PORT?") ||
		!strings.Contains(c.Warnings[1], "MIXTRAL_MODEL_PATH?") || c.Port != DefaultConfig().Port {
		t.Errorf("%q, %v", c.Warnings, err)
	}
	for _, file := range []string{"foo: 1\n", "port: [1\n"} { // an error does not hide what may have caused it
		c, err := ParseConfig("c.yaml", []byte(file), []string{"MIXTRAL_PROT=1"})
		if err == nil || len(c.Warnings) != 1 {
			t.Errorf("%q: %q, %v", file, c.Warnings, err)
		}
	}
	var log strings.Builder
	c.Logger, c.LogLevel = slog.New(slog.NewTextHandler(&log, nil)), "warn"
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if s.Close(); strings.Count(log.String(), "MIXTRAL_PORT?") != 1 {
		t.Error(log.String())
	}
}

// TestEnvironment: every key can be set, the environment wins over the file, and foreign variables are passed over.
func TestEnvironment(t *testing.T) {
	c, err := ParseConfig("c.yaml", []byte("port: 1\nhost: file\n"), []string{
		"MIXTRAL_PORT=2", "MIXTRAL_MODEL_PATH=synth:tiny", "MIXTRAL_TEMPERATURE=0.25", "MIXTRAL_INSECURE_BIND=true",
		"MIXTRAL_LOG_LEVEL=debug",
		"MIXTRAL_CPU_TIER=generic", "MIXTRAL_", "PORT=9", "MIXTRAL_CPU_CORES=", "nonsense",
		// Kubernetes, of a Service mixtral
		"MIXTRAL_PORT=tcp://10.0.0.1:11400", "MIXTRAL_SERVICE_HOST=10.0.0.1",
		"MIXTRAL_PORT_11400_TCP=tcp://10.0.0.1:11400",
	})
	want := DefaultConfig()
	want.Port, want.Host, want.ModelPath, want.Temperature, want.InsecureBind, want.LogLevel = 2, "file",
		"synth:tiny", 0.25, true, "debug"
	if diff := cmp.Diff(want, c, sameKeys); diff != "" || err != nil {
		t.Error(diff, err)
	}
	_, err = ParseConfig("", nil, []string{"MIXTRAL_PORT=x", "MIXTRAL_TEMPERATURE=hot", "MIXTRAL_INSECURE_BIND=2"})
	var all *ConfigError
	if !errors.As(err, &all) || len(all.Problems) != 3 || all.Problems[0] != (Problem{"port", `"x"`,
		"must be an integer", "MIXTRAL_PORT"}) {
		t.Errorf("%v", err)
	}
	for i := range reflect.TypeFor[Config]().NumField() {
		f := reflect.TypeFor[Config]().Field(i)
		if f.Tag.Get("yaml") == "-" {
			continue
		}
		value := map[reflect.Kind]string{reflect.String: "x", reflect.Int: "3", reflect.Float64: "0.5",
			reflect.Bool: fmt.Sprint(reflect.ValueOf(DefaultConfig()).Field(i).IsZero())}[f.Type.Kind()]
		c, err := ParseConfig("", nil, []string{"MIXTRAL_" + strings.ToUpper(f.Tag.Get("yaml")) + "=" + value})
		if err != nil || cmp.Equal(c, DefaultConfig(), sameKeys) {
			t.Errorf("%s: no effect, %v", f.Name, err)
		}
	}
}

func TestSet(t *testing.T) {
	c := DefaultConfig()
	if err := errors.Join(c.Set("port", "7"), c.Set("insecure_bind", "true"),
		c.Set("allowed_hosts", "a,b")); err != nil || c.Port != 7 || !c.InsecureBind || c.AllowedHosts != "a,b" {
		t.Errorf("%+v, %v", c, err)
	}
	for key, value := range map[string]string{"prot": "secret", "-": "secret", "": "secret", "Port": "secret",
		"port": "x"} {
		if err := c.Set(key, value); !errors.Is(err, ErrConfig) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// TestConfigIsDocumented: every key stands in docs/CONFIGURATION.md with its default, in the order of Config, and no
// other does.
func TestConfigIsDocumented(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("docs", "CONFIGURATION.md"))
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	keys, _, _ := strings.Cut(string(doc), "\n## ")
	for line := range strings.Lines(keys) {
		if cells := strings.Split(line, " | "); strings.HasPrefix(line, "| `") && len(cells) > 2 {
			got = append(got, strings.TrimPrefix(cells[0], "| ")+" "+cells[1])
		}
	}
	c := reflect.ValueOf(DefaultConfig())
	for i := range c.NumField() {
		key, value := c.Type().Field(i).Tag.Get("yaml"), fmt.Sprint(c.Field(i))
		if key == "-" {
			continue
		}
		if value == "" {
			value = "none"
		}
		want = append(want, "`"+key+"` "+value)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLoadConfig(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mixtral.yaml")
	if err := os.WriteFile(path, []byte("port: 1234\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("MIXTRAL_MAX_TOKENS", "99")
	if c, err := LoadConfig(path); err != nil || c.Port != 1234 || c.MaxTokens != 99 {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err := LoadConfig(""); err != nil || c.Port != 11400 || c.MaxTokens != 99 {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := LoadConfig(path + ".no"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func problem(key, value, allowed string) Problem {
	return Problem{Key: key, Value: value, Allowed: allowed}
}

// TestValidate: each problem names key, value and what is allowed.
func TestValidate(t *testing.T) {
	const databases = "must be postgres://user:password@host:port/database, sqlite:PATH or none"
	for _, test := range []struct {
		change func(*Config)
		want   Problem
	}{
		{func(c *Config) { c.Port = 70000 }, problem("port", "70000", "must be between 0 and 65535")},
		{func(c *Config) { c.Port = -1 }, problem("port", "-1", "must be between 0 and 65535")},
		{func(c *Config) { c.Backend = "triton" }, problem("backend", `"triton"`, "must be embedded or vllm")},
		{func(c *Config) { c.MemoryLimitGB = 0 }, problem("memory_limit_gb", "0",
			"must be above 0 and at most 1048576")},
		{func(c *Config) { c.MemoryLimitGB = math.NaN() }, problem("memory_limit_gb", "NaN",
			"must be above 0 and at most 1048576")},
		{func(c *Config) { c.UpstreamFile = "f" }, problem("upstream_file", `"f"`, "needs backend: vllm")},
		{func(c *Config) { c.Backend, c.Upstream, c.UpstreamFile = BackendVLLM, "http://h", "f" },
			problem("upstream", `"http://h"`, "must be empty where upstream_file is set")},
		{func(c *Config) { c.UpstreamPolicy = "random" }, problem("upstream_policy", `"random"`,
			"must be least-outstanding, round-robin or prefix-affinity")},
		{func(c *Config) { c.UpstreamAffinitySlack = 0 }, problem("upstream_affinity_slack", "0",
			"must be between 1 and 10000")},
		{func(c *Config) { c.UpstreamSlowStartS = -1 }, problem("upstream_slow_start_s", "-1",
			"must be between 0 and 3600")},
		{func(c *Config) { c.UpstreamRetryBudget = 1.5 }, problem("upstream_retry_budget", "1.5",
			"must be between 0 and 1")},
		{func(c *Config) { c.UpstreamHealthS = 0.05 }, problem("upstream_health_s", "0.05",
			"must be 0 or between 0.1 and 3600")},
		{func(c *Config) { c.UpstreamHealthPath = "health" }, problem("upstream_health_path", `"health"`,
			"must be a path that begins with /")},
		{func(c *Config) { c.UpstreamCanaryBy = "moon" }, problem("upstream_canary_by", `"moon"`,
			"must be request, conversation or caller")},
		{func(c *Config) { c.UpstreamReady = "no" }, problem("upstream_ready", `"no"`,
			"must be every-model or any-model")},
		{func(c *Config) { c.CPUCores = 0 }, problem("cpu_cores", "0", "must be between 1 and 4096")},
		{func(c *Config) { c.KVType = "q4_0" }, problem("kv_type", `"q4_0"`, "must be f16 or q8_0")},
		{func(c *Config) { c.ContextLength = -1 }, problem("context_length", "-1", "must be between 0 and 16777216")},
		{func(c *Config) { c.TargetLatencyMS = -1 }, problem("target_latency_ms", "-1",
			"must be above 0 and at most 1000000000")},
		{func(c *Config) { c.TargetThroughputRPS = 0 }, problem("target_throughput_rps", "0",
			"must be above 0 and at most 1000000000")},
		{func(c *Config) { c.MaxConcurrentRequests = 0 }, problem("max_concurrent_requests", "0",
			"must be between 1 and 65536")},
		{func(c *Config) { c.MaxQueuedRequests = -1 }, problem("max_queued_requests", "-1",
			"must be between 0 and 1048576")},
		{func(c *Config) { c.MaxTokens = 0 }, problem("max_tokens", "0", "must be between 1 and 16777216")},
		{func(c *Config) { c.Temperature = 2.5 }, problem("temperature", "2.5", "must be between 0 and 2")},
		{func(c *Config) { c.Temperature = math.NaN() }, problem("temperature", "NaN", "must be between 0 and 2")},
		{func(c *Config) { c.DrainTimeoutS = -1 }, problem("drain_timeout_s", "-1", "must be between 0 and 3600")},
		{func(c *Config) { c.UpstreamTimeoutS = 0 }, problem("upstream_timeout_s", "0",
			"must be above 0 and at most 86400")},
		{func(c *Config) { c.DatabaseURL = "mysql://u:secret@h/d" },
			problem("database_url", `"mysql://u:xxxxx@h/d"`, databases)},
		{func(c *Config) { c.DatabaseURL = "sqlite:" }, problem("database_url", `"sqlite:"`, databases)},
		{func(c *Config) { c.DatabaseURL = "postgres://u:secret@h:port/d" },
			problem("database_url", "a value that is not a URL", databases)},
		{func(c *Config) { c.RequestLogDays = -1 }, problem("request_log_days", "-1", "must be between 0 and 36500")},
		{func(c *Config) { c.MonitoringURL = "prometheus:9090" },
			problem("monitoring_url", `"prometheus:9090"`, "must begin with http:// or https://")},
		{func(c *Config) { c.LogLevel = "loud" }, problem("log_level", `"loud"`,
			"must be debug, info, warn, error or off")},
		{func(c *Config) { c.LogFormat = "xml" }, problem("log_format", `"xml"`, "must be text or json")},
		{func(c *Config) { c.Host = "" }, problem("host", `""`, "must be an IP address or a name")},
		{func(c *Config) { c.Host = "0.0.0.0" }, problem("host", `"0.0.0.0"`,
			"needs api_key_file where other machines can reach it, or insecure_bind to allow it without keys")},
		{func(c *Config) { c.Host, c.TLSCertFile, c.TLSKeyFile = "0.0.0.0", "c", "k" },
			problem("host", `"0.0.0.0"`,
				"needs api_key_file where other machines can reach it, or insecure_bind to allow it without keys")},
		{func(c *Config) { c.TLSCertFile = "c" }, problem("tls_cert_file", `"c"`, "needs tls_key_file")},
		{func(c *Config) { c.TLSKeyFile = "k" }, problem("tls_key_file", `"k"`, "needs tls_cert_file")},
		{func(c *Config) { c.Backend = BackendVLLM }, problem("backend", `"vllm"`, "needs upstream or upstream_file")},
		{func(c *Config) { c.AllowedHosts = "a.example, https://b" },
			problem("allowed_hosts", `"a.example, https://b"`,
				"must be host names without ports, separated by commas")},
		{func(c *Config) { c.AllowedHosts = "a:80" }, problem("allowed_hosts", `"a:80"`,
			"must be host names without ports, separated by commas")},
		{func(c *Config) { c.AllowedOrigins = "https://a.example, b.example" },
			problem("allowed_origins", `"https://a.example, b.example"`,
				"must be https://host or https://host:port, several separated by commas, or *")},
		{func(c *Config) { c.PrefixCacheScope = "all" }, problem("prefix_cache_scope", `"all"`,
			"must be auto, service or key")},
		{func(c *Config) { c.PrefixCacheScope = "key" }, problem("prefix_cache_scope", `"key"`,
			"needs api_key_file: without keys there is one scope")},
		{func(c *Config) { c.UnknownFields = "warn" }, problem("unknown_fields", `"warn"`, "must be error or ignore")},
		{func(c *Config) { c.Backend, c.Upstream, c.ModelAliases = BackendVLLM, "http://h", "a" },
			problem("model_aliases", `"a"`, "needs backend: embedded; upstream_models renames others")},
		{func(c *Config) { c.MetricsListen = "9464" }, problem("metrics_listen", `"9464"`,
			"must be address:port, and not the address of the API")},
		{func(c *Config) { c.MetricsListen = "127.0.0.1:11400" },
			problem("metrics_listen", `"127.0.0.1:11400"`, "must be address:port, and not the address of the API")},
		{func(c *Config) { c.MetricsListen = "127.0.0.1:http" },
			problem("metrics_listen", `"127.0.0.1:http"`, "must be address:port, and not the address of the API")},
		{func(c *Config) { c.MaxConnections = 0 }, problem("max_connections", "0", "must be between 1 and 1048576")},
		{func(c *Config) { c.Host = "::" }, problem("host", `"::"`,
			"needs api_key_file where other machines can reach it, or insecure_bind to allow it without keys")},
	} {
		c := DefaultConfig()
		test.change(&c)
		var e *ConfigError
		if err := c.Validate(); !errors.As(err, &e) || len(e.Problems) != 1 || e.Problems[0] != test.want ||
			!errors.Is(err, ErrConfig) || strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v, want %v", err, test.want)
		}
	}
	for _, change := range []func(*Config){
		func(c *Config) { c.Host = "::1" }, func(c *Config) { c.Host = "localhost" },
		func(c *Config) { c.Host, c.InsecureBind = "0.0.0.0", true },
		func(c *Config) { c.Host, c.APIKeyFile = "10.0.0.1", "keys" },
		func(c *Config) { c.TLSCertFile, c.TLSKeyFile, c.AllowedHosts = "c", "k", "a.example,b" },
		func(c *Config) { c.AllowedOrigins, c.UnknownFields = "*,http://localhost:3000", "ignore" },
		func(c *Config) { c.ModelAliases = "gpt-4o, mistral" },
		func(c *Config) { c.MetricsListen = "[::1]:0" },
		func(c *Config) { c.Host, c.MetricsListen, c.InsecureBind = "0.0.0.0", "127.0.0.1:11400", true },
		func(c *Config) { c.DatabaseURL = "sqlite:///var/lib/mixtral.db" },
		func(c *Config) { c.Port, c.MaxQueuedRequests, c.Temperature = 0, 0, 0 },
	} {
		c := DefaultConfig()
		change(&c)
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
	}
	c := DefaultConfig()
	c.Port, c.CPUCores, c.Temperature = -1, -1, -1
	if err := c.Validate(); strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("not all at once: %v", err)
	}
}

func TestUpstreamConfig(t *testing.T) {
	for _, c := range []struct{ backend, urls, models, want string }{
		{"vllm", "", "", "upstream"}, {"vllm", "localhost:8000", "", "upstream"},
		{"embedded", "http://h:1", "", "needs backend"},
		{"vllm", "http://h:1", "a", "upstream_models"}, {"vllm", "http://h:1, http://h:2", "a=b,c=d", ""},
	} {
		config := DefaultConfig()
		config.Backend, config.Upstream, config.UpstreamModels = Backend(c.backend), c.urls, c.models
		err := config.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	for _, seed := range []string{specConfig, "port: 1.5", "a: &a [*a]\n", "port: !!int x", "<<: {port: 1}",
		"host: |\n  x\n", "\x00", "---\n---\n", "? a\n: b", "temperature: .nan", "port: 0x10"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseConfig("c.yaml", []byte(text), nil)
		if err != nil && (!errors.Is(err, ErrConfig) || !cmp.Equal(c, Config{}, cmpopts.EquateNaNs(), sameKeys)) {
			t.Errorf("%q: %+v, %v", text, c, err)
		}
		if err == nil {
			c.Validate() // must not panic
		}
	})
}

// TestExampleOfAGateway: the configuration that is shown to operators is valid.
func TestExampleOfAGateway(t *testing.T) {
	c, err := LoadConfig(filepath.Join("deploy", "gateway", "mixtral.yaml"))
	if err == nil {
		err = c.Validate()
	}
	if err != nil || c.UpstreamPolicy != "prefix-affinity" {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestDirectoryOfUpstream: with backend vllm a directory is not opened, and names of it are passed on.
func TestDirectoryOfUpstream(t *testing.T) {
	c := DefaultConfig()
	c.Backend, c.Upstream = BackendVLLM, "http://127.0.0.1:1"
	c.ModelPath, c.ModelID = "/opt/models/mixtral-8x7b", "mine"
	o, err := c.options()
	if err != nil {
		t.Fatal(err)
	}
	if u := o.Upstream; u.Directory != c.ModelPath || len(u.Names) != 2 || u.Names[0] != "mixtral-8x7b" {
		t.Errorf("%+v", u)
	}
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatalf("it looks at the directory: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	c.QuantizeTo = "q9"
	if _, err := c.options(); err == nil || !strings.Contains(err.Error(), "quantize_to") {
		t.Errorf("%v", err)
	}
}

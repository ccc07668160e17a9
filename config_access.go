package mixtral

import (
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/serve/service"
	"github.com/hxp-enterprise/mixtral/internal/web/chat"
)

// checkAccess checks who may reach the service, and how.
func (c *Config) checkAccess(v *validator) {
	switch {
	case c.Host == "" || strings.ContainsAny(c.Host, " /"):
		v.add("host", strconv.Quote(c.Host), "must be an IP address or a name")
	case !service.Loopback(c.Host) && c.APIKeyFile == "" && !c.InsecureBind:
		v.add("host", strconv.Quote(c.Host),
			"needs api_key_file where other machines can reach it, or insecure_bind to allow it without keys")
	}
	if (c.TLSCertFile == "") != (c.TLSKeyFile == "") {
		given, value, missing := "tls_cert_file", c.TLSCertFile, "tls_key_file"
		if value == "" {
			given, value, missing = "tls_key_file", c.TLSKeyFile, "tls_cert_file"
		}
		v.add(given, strconv.Quote(value), "needs "+missing) // at the key that is in the file or the environment
	}
	if slices.ContainsFunc(splitList(c.AllowedHosts), func(name string) bool {
		return strings.ContainsAny(name, ":/ *")
	}) {
		v.add("allowed_hosts", strconv.Quote(c.AllowedHosts),
			"must be host names without ports, separated by commas")
	}
	if slices.ContainsFunc(splitList(c.AllowedOrigins), func(o string) bool { return !service.IsOrigin(o) }) {
		v.add("allowed_origins", strconv.Quote(c.AllowedOrigins),
			"must be https://host or https://host:port, several separated by commas, or *")
	}
	if c.MetricsListen != "" {
		host, port, err := net.SplitHostPort(c.MetricsListen)
		n, bad := strconv.ParseUint(port, 10, 16)
		if err != nil || bad != nil || host == "" || n != 0 && int(n) == c.Port && host == c.Host {
			v.add("metrics_listen", strconv.Quote(c.MetricsListen),
				"must be address:port, and not the address of the API")
		}
	}
	v.number("max_connections", float64(c.MaxConnections), 1, 1<<20)
	v.oneOf("prefix_cache_scope", c.PrefixCacheScope, scopeAuto, scopeService, scopeKey)
	if c.PrefixCacheScope == scopeKey && c.APIKeyFile == "" {
		v.add("prefix_cache_scope", strconv.Quote(scopeKey), "needs api_key_file: without keys there is one scope")
	}
	v.oneOf("console", c.Console, "auto", "true", "false")
	if c.Console == "true" && !service.Loopback(c.Host) && c.APIKeyFile == "" {
		v.add("console", `"true"`, "needs api_key_file where other machines can reach host")
	}
}

// What PrefixCacheScope may be.
const (
	scopeAuto    = "auto"
	scopeService = "service"
	scopeKey     = "key"
)

// scopePerKey tells whether keys share nothing that was computed for prompts. Not every upstream takes a field that
// only some know, so there it has to be asked for.
func (c *Config) scopePerKey() bool {
	return c.PrefixCacheScope == scopeKey ||
		c.PrefixCacheScope == scopeAuto && c.APIKeyFile != "" && c.Backend != BackendVLLM
}

// pages gives the console, nil where it is off.
func (c *Config) pages() map[string]http.Handler {
	if c.Console == "true" || c.Console == "auto" && service.Loopback(c.Host) {
		return chat.Pages(Version())
	}
	return nil
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

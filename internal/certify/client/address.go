package client

import (
	"fmt"
	"net/url"
	"strings"
)

// Root returns the root URL of a server. target may be written with or without http://, and with or without /v1.
// Errors match ErrSetup.
func Root(target string) (string, error) {
	if !strings.Contains(target, "://") {
		target = "http://" + target
	}
	u, err := url.Parse(target)
	if err != nil {
		return "", fmt.Errorf("%w: target: %w", ErrSetup, err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return "", fmt.Errorf("%w: target: must be http://host:port or https://host, got %q", ErrSetup, target)
	}
	u.RawQuery, u.Fragment = "", ""
	path := strings.TrimSuffix(u.Path, "/")
	for _, end := range []string{"/v1/chat/completions", "/chat/completions", "/v1"} {
		path = strings.TrimSuffix(path, end)
	}
	u.Path = path
	return u.String(), nil
}

// Route returns the path of chat completions if target names one that is not below /v1, as gateways may have it, and
// the query of target. Both are empty for the root of an API.
func Route(target string) (path string, query url.Values) {
	if !strings.Contains(target, "://") {
		target = "http://" + target
	}
	u, err := url.Parse(target)
	if err != nil {
		return "", nil
	}
	end := strings.TrimSuffix(u.EscapedPath(), "/")
	if strings.HasSuffix(end, "/chat/completions") && !strings.HasSuffix(end, "/v1/chat/completions") {
		path = end
	}
	return path, u.Query()
}

// Redact hides the password in an address, for addresses that are shown or recorded.
func Redact(address string) string {
	if u, err := url.Parse(address); err == nil {
		return u.Redacted()
	}
	return address
}

package client

import (
	"fmt"
	"net/url"
	"strings"
)

// Root gives the root of a server from what people write: with or without http://, with or without /v1.
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

// Route is the path of chat completions where an address names one that does not lie below /v1, as gateways have it,
// and the query of the address; both are empty for the root of an API.
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

// Redact hides the password of an address that is shown or recorded.
func Redact(address string) string {
	if u, err := url.Parse(address); err == nil {
		return u.Redacted()
	}
	return address
}

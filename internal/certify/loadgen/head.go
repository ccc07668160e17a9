package loadgen

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// authorization is the value of the header Authorization: for the key, or for user:password@ in the URL.
func authorization(u *url.URL, key string) string {
	if key != "" {
		return "Bearer " + key
	}
	if u.User == nil {
		return ""
	}
	password, _ := u.User.Password()
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password))
}

// tokenLetters are the characters that RFC 9110 allows in a header's name.
const tokenLetters = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// CheckHeader returns an error for a header that the load generator sets itself, or that could be read as the
// beginning of another request.
func CheckHeader(h http.Header) error {
	for _, name := range slices.Sorted(maps.Keys(h)) { // the same error each time
		if name == "" || strings.Trim(name, tokenLetters) != "" {
			return fmt.Errorf("header %q: a name has letters, digits and hyphens only", name)
		}
		for _, v := range h[name] {
			if strings.ContainsFunc(v, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
				return fmt.Errorf("header %q: its value holds a line break or another control character", name)
			}
		}
		switch http.CanonicalHeaderKey(name) {
		case "Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "Expect", "Trailer":
			return fmt.Errorf("header %q: the load generator sets it itself", name)
		}
	}
	return nil
}

// requestHead returns the path of a request, and its headers in order.
func requestHead(u *url.URL, o ClientOptions) (path string, header [][2]string) {
	path = o.Route
	if path == "" {
		path = strings.TrimSuffix(u.EscapedPath(), "/")
		if !strings.HasSuffix(path, "/v1") {
			path += "/v1"
		}
		path += "/chat/completions"
	}
	if len(o.Query) > 0 {
		path += "?" + o.Query.Encode()
	}
	own := [][2]string{{"Host", u.Host}, {"User-Agent", "mixtral-certify"},
		{"Accept", "application/json, text/event-stream"}, {"Accept-Encoding", "identity"},
		{"Content-Type", "application/json"}, {"Authorization", authorization(u, o.APIKey)}}
	given := map[string][]string{}
	for name, values := range o.Header {
		given[http.CanonicalHeaderKey(name)] = values
	}
	for _, h := range own {
		if _, replaced := given[h[0]]; h[1] != "" && !replaced {
			header = append(header, h)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		for _, v := range given[name] {
			header = append(header, [2]string{name, v})
		}
	}
	return path, header
}

// headBytes is the beginning of each HTTP/1.1 request, up to the value of Content-Length.
func headBytes(path string, header [][2]string) []byte {
	var head strings.Builder
	head.WriteString("POST " + path + " HTTP/1.1\r\n")
	for _, h := range header {
		head.WriteString(h[0] + ": " + h[1] + "\r\n")
	}
	return []byte(head.String() + "Content-Length: ")
}

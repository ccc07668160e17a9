package access

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Hosts are the host names that requests may use; nil means any. The check prevents DNS rebinding: a page from another
// site lets its own name point to this machine, and its requests then count as requests of the same site. A page that
// was loaded from an IP address cannot do so, so IP addresses are always allowed.
type Hosts []string

// ErrHost refuses a request for another host name. The client reads the text.
var ErrHost = errors.New("this service is not known under the name in the Host header: allowed_hosts can add names")

// Check returns ErrHost if a request asks for a name that is not allowed.
func (h Hosts) Check(r *http.Request) error {
	if h == nil || r.Host == "" { // every browser sends it
		return nil
	}
	name := r.Host
	if host, _, err := net.SplitHostPort(name); err == nil {
		name = host
	}
	name = strings.TrimSuffix(strings.ToLower(strings.Trim(name, "[]")), ".")
	if _, err := netip.ParseAddr(name); err == nil || name == "localhost" {
		return nil
	}
	if slices.ContainsFunc([]string(h), func(known string) bool { return strings.EqualFold(known, name) }) {
		return nil
	}
	return ErrHost
}

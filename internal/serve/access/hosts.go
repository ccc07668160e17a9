package access

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Hosts are the names under which a service may be asked; nil means any. The check is against DNS rebinding: a page
// that a visitor's browser took from elsewhere lets its own name point to this machine, and then counts as being of
// the same site. A page that was asked for by an IP address cannot do so, so those are always good.
type Hosts []string

// ErrHost is the answer to a request that asks for another name. The text is for its client.
var ErrHost = errors.New("this service is not known under the name in the Host header: allowed_hosts can add names")

// Check gives ErrHost where a request asks for a name that is not among them.
func (h Hosts) Check(r *http.Request) error {
	if h == nil || r.Host == "" { // no browser leaves it out
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

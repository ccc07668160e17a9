package api

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// hosts are the names under which a service may be asked; nil means any. The check is against DNS rebinding: a page
// that a visitor's browser took from elsewhere lets its own name point to this machine, and then counts as being of
// the same site. A page that was asked for by an IP address cannot do so, so those are always good.
type hosts []string

var errHost = &httpError{status: http.StatusForbidden, typ: typeInvalid, code: "host_not_allowed",
	message: "this service is not known under the name that the Host header gives: allowed_hosts lists further ones"}

func (h hosts) check(r *http.Request) error {
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
	return errHost
}

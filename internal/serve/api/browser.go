package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// anyOrigin among Config.Origins allows the pages of every site.
const anyOrigin = "*"

// preflightAge is how many seconds a browser may cache a preflight's answer. Chromium caches one for two hours at
// most.
const preflightAge = "7200"

// origins says which sites' pages may use the service, besides those from the service's own address.
type origins struct {
	list  []string
	guard *http.CrossOriginProtection
}

// CheckOrigin says whether an entry of Config.Origins is valid: a scheme and a host, as browsers send them.
func CheckOrigin(origin string) bool {
	if origin == anyOrigin {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Scheme != "" && u.Host != "" && origin == u.Scheme+"://"+u.Host &&
		origin == strings.ToLower(origin)
}

func newOrigins(list []string) origins {
	return origins{list: list, guard: http.NewCrossOriginProtection()}
}

// trusts says whether pages of a site may use the service.
func (o origins) trusts(origin string) bool {
	return origin != "" && (slices.Contains(o.list, anyOrigin) || slices.Contains(o.list, origin))
}

// admit refuses a request from a page that may not use the service. For other pages it sets the headers that let them
// read the answer. done says that the request was a browser's preflight and has been answered.
func (o origins) admit(w http.ResponseWriter, r *http.Request) (done bool, err error) {
	h, origin := w.Header(), r.Header.Get("Origin")
	if len(o.list) > 0 {
		h.Add("Vary", "Origin")
	}
	if !o.trusts(origin) {
		return false, o.guard.Check(r)
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "X-Request-Id, Retry-After, X-Ratelimit-Limit-Requests, "+
		"X-Ratelimit-Remaining-Requests, X-Ratelimit-Limit-Tokens, X-Ratelimit-Remaining-Tokens")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false, nil
	}
	h.Set("Access-Control-Allow-Methods", "GET, POST, DELETE, OPTIONS")
	// SDKs send headers about themselves (x-stainless-lang): the page may send any header that it asks for.
	allowed := r.Header.Get("Access-Control-Request-Headers")
	if allowed == "" {
		allowed = "Authorization, Content-Type"
	}
	h.Set("Access-Control-Allow-Headers", allowed)
	h.Add("Vary", "Access-Control-Request-Headers")
	h.Set("Access-Control-Max-Age", preflightAge)
	w.WriteHeader(http.StatusNoContent)
	return true, nil
}

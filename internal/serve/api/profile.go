package api

import (
	"net/http"
	"net/http/pprof"
	runtime "runtime/pprof"
)

// addProfiles adds Go's profiles, without the command line, which may name files.
func addProfiles(routes map[string]route) {
	add := func(path string, h http.Handler) {
		routes["/debug/pprof/"+path] = route{method: http.MethodGet, open: true, handle: plain(h)}
	}
	add("", http.HandlerFunc(pprof.Index))
	add("profile", http.HandlerFunc(pprof.Profile))
	add("symbol", http.HandlerFunc(pprof.Symbol))
	add("trace", http.HandlerFunc(pprof.Trace))
	for _, p := range runtime.Profiles() {
		add(p.Name(), pprof.Handler(p.Name()))
	}
}

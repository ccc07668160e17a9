package console

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	cookieName   = "mixtral_console"
	sessionLasts = 12 * time.Hour
	mostSessions = 1000

	// wrongKey is how long the answer to a wrong key takes, and mostGuesses how many such answers may be pending: keys
	// are long, and nobody needs to try many.
	wrongKey    = 500 * time.Millisecond
	mostGuesses = 8
)

// guard decides who may see the pages.
type guard struct {
	host    func(*http.Request) error // nil: any name is allowed
	key     func(string) bool         // nil: no key is needed
	origins *http.CrossOriginProtection
	guesses chan struct{}

	mu       sync.Mutex
	sessions map[string]time.Time // with the time at which each ends
}

func newGuard(host func(*http.Request) error, key func(string) bool) *guard {
	return &guard{host: host, key: key, origins: http.NewCrossOriginProtection(),
		guesses: make(chan struct{}, mostGuesses), sessions: map[string]time.Time{}}
}

// wrap passes on requests that use a name of this console, that do not come from a page of another site, and that have
// a session or a key if keys are configured. free are paths that need neither session nor key.
func (g *guard) wrap(next http.Handler, free func(path string) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		headers(w.Header())
		if g.host != nil {
			if err := g.host(r); err != nil {
				http.Error(w, "this console is not known under the name in the Host header; --allowed-host adds names",
					http.StatusMisdirectedRequest)
				return
			}
		}
		if err := g.origins.Check(r); err != nil {
			http.Error(w, "a page of another site sent this request", http.StatusForbidden)
			return
		}
		if g.key == nil || free(r.URL.Path) || g.known(r) {
			next.ServeHTTP(w, r)
			return
		}
		if r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html") {
			http.Redirect(w, r, "/login?to="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
			return
		}
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, "an API key is needed: Authorization: Bearer KEY, or a login at /login", http.StatusUnauthorized)
	})
}

// known says whether a request has a session or a key; programs send a key.
func (g *guard) known(r *http.Request) bool {
	if c, err := r.Cookie(cookieName); err == nil {
		g.mu.Lock()
		ends, ok := g.sessions[c.Value]
		g.mu.Unlock()
		if ok && time.Now().Before(ends) {
			return true
		}
	}
	key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return ok && g.try(r, key)
}

// try checks a key; a wrong one takes some time.
func (g *guard) try(r *http.Request, key string) bool {
	if g.key(strings.TrimSpace(key)) {
		return true
	}
	select {
	case g.guesses <- struct{}{}:
		defer func() { <-g.guesses }()
		select {
		case <-time.After(wrongKey):
		case <-r.Context().Done():
		}
	default:
	}
	return false
}

// login starts a session for a key.
func (g *guard) login(w http.ResponseWriter, r *http.Request, key string) bool {
	if g.key == nil || !g.try(r, key) {
		return g.key == nil
	}
	id := rand.Text() + rand.Text()
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	for s, ends := range g.sessions {
		if now.After(ends) {
			delete(g.sessions, s)
		}
	}
	if len(g.sessions) >= mostSessions { // whoever loses a session logs in again
		clear(g.sessions)
	}
	g.sessions[id] = now.Add(sessionLasts)
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: id, Path: "/", MaxAge: int(sessionLasts.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil})
	return true
}

func (g *guard) logout(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(cookieName); err == nil {
		g.mu.Lock()
		delete(g.sessions, c.Value)
		g.mu.Unlock()
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName, Path: "/", MaxAge: -1, HttpOnly: true,
		SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil})
}

// back returns the page after a login: a path of this console, and never another site.
func back(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || !strings.HasPrefix(to, "/") ||
		strings.HasPrefix(to, "//") || strings.Contains(to, `\`) {
		return "/"
	}
	return u.RequestURI()
}

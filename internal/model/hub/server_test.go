package hub

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeHub speaks the hub's protocol: a listing, and files behind redirects to a second host whose links expire.
type fakeHub struct {
	t     *testing.T
	api   *httptest.Server
	cdn   *httptest.Server
	files map[string][]byte
	token string // wanted, if not empty

	mu        sync.Mutex
	cut       func(n int) int  // bytes of the n-th download that get through; −1: all
	status    func(n int) int  // status of the n-th download; 0: normal
	spoil     func(n int) bool // the n-th download has a wrong byte
	lie       func(n int) bool // the n-th download answers another range
	downloads int
	heads     int
	links     int
	floor     int // links up to this one have expired
	expire    int // downloads after which all links expire; 0: never
	valid     int // downloads whose link had not expired
	noRanges  bool
	leaked    bool // the token was sent to the second host

	moved     int               // status with which /old/name is redirected to /o/r; 0: there is no such repository
	elsewhere string            // what the redirect's Location begins with; empty: relative
	getOnly   bool              // the second host refuses HEAD, as signed addresses do
	bare      bool              // no X-Linked headers, as plain servers and small files have it
	bounce    bool              // the second host sends back to the first
	bounced   bool              // the first host was asked again by a chain that had left it
	claim     int64             // size that the hub's headers claim; 0: the true one
	limit     map[string]string // headers of a refusal, instead of Retry-After
	tag       func() string     // ETag of the second host; nil: none
	hang      string            // "list", "head" or "get": such requests are never answered
	trickle   string            // likewise: answered with a byte now and then
	weird     string            // body of the listing instead of the true one
}

func newHub(t *testing.T, size int) *fakeHub {
	rng := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	h := &fakeHub{t: t, files: map[string][]byte{"model.gguf": data, "dir/a b.gguf": []byte("small"),
		"README.md": []byte("hello")}}
	h.cdn = httptest.NewServer(http.HandlerFunc(h.download))
	h.api = httptest.NewServer(http.HandlerFunc(h.serve))
	t.Cleanup(func() { h.api.Close(); h.cdn.Close() })
	return h
}

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// change changes what the hub does while it may still be answering: a client that has given up does not wait for it.
func (h *fakeHub) change(to func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	to()
}

func (h *fakeHub) client() *Client {
	c := &Client{Endpoint: h.api.URL, Token: h.token, ChunkBytes: 1000, Connections: 3,
		HTTP: &http.Client{Transport: &http.Transport{}}}
	c.sleep = noSleep
	h.t.Cleanup(c.HTTP.CloseIdleConnections)
	return c
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// stuck keeps a request of a kind waiting until the client goes, in silence or with a byte now and then.
func (h *fakeHub) stuck(w http.ResponseWriter, r *http.Request, kind string) bool {
	if h.hang != kind && h.trickle != kind {
		return false
	}
	for {
		if h.trickle == kind {
			w.Write([]byte("["))
			w.(http.Flusher).Flush()
		}
		select {
		case <-r.Context().Done():
			return true
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (h *fakeHub) serve(w http.ResponseWriter, r *http.Request) {
	if h.moved != 0 && strings.Contains(r.URL.Path, "/old/name/") {
		w.Header().Set("Location", h.elsewhere+strings.Replace(r.URL.RequestURI(), "/old/name/", "/o/r/", 1))
		w.WriteHeader(h.moved)
		return
	}
	if back, ok := strings.CutPrefix(r.URL.Path, "/back/"); ok {
		h.mu.Lock()
		h.bounced = true
		h.leaked = h.leaked || r.Header.Get("Authorization") != ""
		h.mu.Unlock()
		r.URL.Path = "/1/" + back
		h.send(w, r)
		return
	}
	if h.token != "" && r.Header.Get("Authorization") != "Bearer "+h.token {
		w.Header().Set("X-Error-Message", "Access to this model is restricted")
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if strings.HasPrefix(r.URL.Path, "/api/models/o/r/tree/main") {
		h.list(w, r)
		return
	}
	name, ok := strings.CutPrefix(r.URL.Path, "/o/r/resolve/main/")
	data, found := h.files[name]
	if !ok || !found {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	h.mu.Lock()
	h.heads++
	h.links++
	link := h.links
	h.mu.Unlock()
	if h.stuck(w, r, "head") {
		return
	}
	if !h.bare {
		size := int64(len(data))
		if h.claim != 0 {
			size = h.claim
		}
		w.Header().Set("X-Linked-Size", strconv.FormatInt(size, 10))
		w.Header().Set("X-Linked-Etag", `"`+sum(data)+`"`)
	}
	w.Header().Set("Location", fmt.Sprintf("%s/%d/%s", h.cdn.URL, link, strings.ReplaceAll(name, " ", "%20")))
	w.WriteHeader(http.StatusFound)
}

// list gives one file a page, linked.
func (h *fakeHub) list(w http.ResponseWriter, r *http.Request) {
	if h.stuck(w, r, "list") {
		return
	}
	if h.weird != "" {
		w.Write([]byte(h.weird))
		return
	}
	names := []string{"README.md", "dir", "dir/a b.gguf", "model.gguf"}
	i, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
	entry := map[string]any{"type": "file", "path": names[i], "size": len(h.files[names[i]])}
	if names[i] == "dir" {
		entry["type"] = "directory"
	}
	if names[i] == "model.gguf" {
		entry["lfs"] = map[string]any{"oid": sum(h.files[names[i]]), "size": len(h.files[names[i]])}
	}
	if i+1 < len(names) {
		w.Header().Set("Link", fmt.Sprintf(`<%s?recursive=true&cursor=%d>; rel="next"`, r.URL.Path, i+1))
	}
	json.NewEncoder(w).Encode([]any{entry})
}

func (h *fakeHub) download(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.leaked = h.leaked || r.Header.Get("Authorization") != ""
	h.mu.Unlock()
	if h.bounce {
		_, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		w.Header().Set("Location", h.api.URL+"/back/"+name)
		w.WriteHeader(http.StatusFound)
		return
	}
	h.send(w, r)
}

// send sends a file, or refuses to.
func (h *fakeHub) send(w http.ResponseWriter, r *http.Request) {
	link, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if h.getOnly && r.Method == http.MethodHead {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	h.mu.Lock()
	data := h.files[name]
	if h.tag != nil {
		w.Header().Set("ETag", h.tag())
	}
	h.mu.Unlock()
	if !h.noRanges {
		w.Header().Set("Accept-Ranges", "bytes")
	}
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		return
	}
	if h.stuck(w, r, "get") {
		return
	}
	probe := r.Header.Get("Range") == "bytes=0-0"
	h.mu.Lock()
	if !probe {
		h.downloads++
	}
	n := h.downloads
	number, _ := strconv.Atoi(link)
	expired := h.expire > 0 && number <= h.floor && !probe
	if h.expire > 0 && !expired && !probe { // refused ones do not count, or some connection might never have its turn
		if h.valid++; h.valid%h.expire == 0 {
			h.floor, expired = h.links, true // all links given out so far are refused from now on
		}
	}
	status, lie, spoil, cut := h.status, h.lie, h.spoil, h.cut
	h.mu.Unlock()
	if expired {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if status != nil && !probe {
		if code := status(n); code != 0 {
			if h.limit == nil {
				w.Header().Set("Retry-After", "7")
			}
			for k, v := range h.limit {
				w.Header().Set(k, v)
			}
			w.WriteHeader(code)
			return
		}
	}
	from, to := 0, len(data)
	current := r.Header.Get("If-Range") == "" || r.Header.Get("If-Range") == w.Header().Get("ETag")
	if spec := r.Header.Get("Range"); spec != "" && !h.noRanges && current {
		if _, err := fmt.Sscanf(spec, "bytes=%d-%d", &from, &to); err != nil {
			h.t.Errorf("range %q", spec)
		}
		to++
		if lie != nil && lie(n) {
			from, to = 0, to-from
		}
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to-1, len(data)))
		w.WriteHeader(http.StatusPartialContent)
	}
	body := bytes.Clone(data[from:to])
	if spoil != nil && spoil(n) && len(body) > 0 {
		body[len(body)/2] ^= 1
	}
	if cut != nil {
		if keep := cut(n); keep >= 0 && keep < len(body) {
			w.Write(body[:keep])
			w.(http.Flusher).Flush()
			time.Sleep(time.Millisecond)
			panic(http.ErrAbortHandler)
		}
	}
	w.Write(body)
}

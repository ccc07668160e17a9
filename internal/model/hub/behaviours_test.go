package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// get fetches a file whose hash no listing has given.
func get(t *testing.T, c *Client, ref, file, dest string) (Result, error) {
	t.Helper()
	return c.Fetch(t.Context(), mustRef(t, ref), File{Path: file}, dest)
}

// TestRenamedRepository: a hub redirects every route of a repository that was renamed, to a path or to an address;
// the token goes along within the hub, and never to another host, which another port is.
func TestRenamedRepository(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, absolute := range []bool{false, true} {
			h := newHub(t, 3000)
			h.token = "hf_secret"
			h.moved = status
			if absolute {
				h.elsewhere = h.api.URL
			}
			files, err := h.client().List(t.Context(), mustRef(t, "hf://old/name"))
			if err != nil || len(files) != 3 {
				t.Fatalf("%d: listing: %d files, %v", status, len(files), err)
			}
			dest := filepath.Join(t.TempDir(), "m.gguf")
			if _, err := get(t, h.client(), "hf://old/name/model.gguf", "model.gguf", dest); err != nil {
				t.Fatalf("%d, absolute %v: %v", status, absolute, err)
			}
			if got, _ := os.ReadFile(dest); !bytes.Equal(got, h.files["model.gguf"]) || h.leaked {
				t.Errorf("%d, absolute %v: other bytes, or the token leaked (%v)", status, absolute, h.leaked)
			}
		}
	}
	// A hub at another port is another host: it gets no token, and so refuses.
	h, other := newHub(t, 100), newHub(t, 100)
	h.token, other.token, h.moved, h.elsewhere = "hf_secret", "hf_secret", 307, other.api.URL
	if _, err := h.client().List(t.Context(), mustRef(t, "hf://old/name")); !errors.Is(err, ErrDenied) {
		t.Errorf("another port got the token: %v", err)
	}
}

// TestTokenDoesNotComeBack: a chain that has left the hub and returns to it goes on without the token.
func TestTokenDoesNotComeBack(t *testing.T) {
	h := newHub(t, 3000)
	h.token, h.bounce = "hf_secret", true
	fetch(t, h, h.client(), filepath.Join(t.TempDir(), "m.gguf"))
	if !h.bounced || h.leaked {
		t.Errorf("bounced %v, leaked %v", h.bounced, h.leaked)
	}
}

// TestRedirectsEnd: loops, and addresses that nobody should be sent to.
func TestRedirectsEnd(t *testing.T) {
	location := ""
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", location)
		w.WriteHeader(http.StatusTemporaryRedirect)
	}))
	defer s.Close()
	for _, c := range []struct {
		location string
		want     error
	}{{"/again", ErrAnswer}, {"ftp://x.example/m", ErrRef}, {"file:///etc/passwd", ErrRef}, {"", ErrAnswer},
		{"http://[::bad", ErrTransfer}, {"http://u:p@\x1b[31m/", ErrTransfer}} {
		location = c.location
		client := (&fakeHub{t: t, api: s}).client()
		_, err := client.List(t.Context(), mustRef(t, "hf://o/r"))
		if !errors.Is(err, c.want) || strings.ContainsRune(err.Error(), '\x1b') {
			t.Errorf("%q: %v", c.location, err)
		}
	}
	from := place{url: mustURL(t, "https://hub.example/x"), auth: true}
	if _, err := from.follow("http://127.0.0.1/x"); !errors.Is(err, ErrRef) {
		t.Errorf("from https to plain http: %v", err)
	}
	if p, err := from.follow("https://u:p@hub.example:443/y#f"); err != nil || !p.auth ||
		p.url.String() != "https://hub.example:443/y" {
		t.Errorf("the same host: %+v, %v", p, err)
	}
}

// TestSignedForGet: addresses that are signed for GET refuse HEAD.
func TestSignedForGet(t *testing.T) {
	for _, bare := range []bool{false, true} {
		h := newHub(t, 5000)
		h.getOnly, h.bare = true, bare
		fetch(t, h, h.client(), filepath.Join(t.TempDir(), "m.bin"))
	}
	h := newHub(t, 5000)
	h.getOnly, h.noRanges = true, true
	fetch(t, h, h.client(), filepath.Join(t.TempDir(), "m.bin"))
	h = newHub(t, 5000)
	h.getOnly, h.expire = true, 3
	fetch(t, h, h.client(), filepath.Join(t.TempDir(), "m.bin"))
}

// TestSilence: a server that says nothing, or a byte now and then, is given up in bounded time, wherever it does so.
func TestSilence(t *testing.T) {
	for _, way := range []string{"hang", "trickle"} {
		for _, kind := range []string{"list", "head", "get"} {
			if way == "trickle" && kind == "head" {
				continue // an answer to HEAD has no body
			}
			h := newHub(t, 5000)
			if way == "hang" {
				h.hang = kind
			} else {
				h.trickle = kind
			}
			c := h.client()
			c.Silence, c.Attempts = 100*time.Millisecond, 2
			began := time.Now()
			var err error
			if kind == "list" {
				_, err = c.List(t.Context(), mustRef(t, "hf://o/r"))
			} else {
				_, err = get(t, c, "hf://o/r/model.gguf", "model.gguf", filepath.Join(t.TempDir(), "m.gguf"))
			}
			if !errors.Is(err, ErrTransfer) || time.Since(began) > time.Minute {
				t.Errorf("%s %s: %v after %v", way, kind, err, time.Since(began))
			}
		}
	}
}

// TestCrumbs: a server that cuts every answer after a byte or a few thousand is given up, too.
func TestCrumbs(t *testing.T) {
	for _, crumb := range []int{1, enough} {
		h := newHub(t, 4<<20)
		h.cut = func(int) int { return crumb }
		c := h.client()
		c.ChunkBytes, c.Attempts = 4<<20, 2
		if _, err := get(t, c, "hf://o/r/model.gguf", "model.gguf", filepath.Join(t.TempDir(),
			"m.gguf")); !errors.Is(err, ErrTransfer) {
			t.Errorf("crumbs of %d bytes: %v", crumb, err)
		}
	}
}

// TestWaits: how long a server asks to be left alone is read from what it says, and has a bound.
func TestWaits(t *testing.T) {
	began := time.Now()
	in := func(d time.Duration) string { return began.Add(d).UTC().Format(http.TimeFormat) }
	for _, c := range []struct {
		header map[string]string
		want   time.Duration
	}{
		{map[string]string{"Retry-After": "3"}, 3 * time.Second},
		{map[string]string{"Retry-After": "0.5"}, 500 * time.Millisecond},
		{map[string]string{"Retry-After": in(time.Minute)}, time.Minute},
		{map[string]string{"Ratelimit": `"api";r=0;t=55`}, 55 * time.Second},
		{map[string]string{"Ratelimit": "limit=100, remaining=0, t=7"}, 7 * time.Second},
		{map[string]string{"Ratelimit-Reset": "9"}, 9 * time.Second},
		{map[string]string{"X-Ratelimit-Reset": fmt.Sprint(began.Add(time.Minute).Unix())}, time.Minute},
		{map[string]string{"Retry-After": "-5"}, 0},
		{map[string]string{"Retry-After": "soon"}, 0},
		{nil, 0},
	} {
		r := &http.Response{StatusCode: http.StatusTooManyRequests, Header: http.Header{}}
		for k, v := range c.header {
			r.Header.Set(k, v)
		}
		got := waitAsked(r) // dates have whole seconds
		if got > c.want || got < c.want-time.Second-time.Since(began) {
			t.Errorf("%v: %v, want %v", c.header, got, c.want)
		}
	}
	h := newHub(t, 100)
	h.limit = map[string]string{"RateLimit": `"resolvers";r=0;t=42`}
	h.status = func(n int) int { return map[bool]int{true: http.StatusTooManyRequests}[n == 1] }
	c := h.client()
	var slept []time.Duration
	c.sleep = func(_ context.Context, d time.Duration) error { slept = append(slept, d); return nil }
	fetch(t, h, c, filepath.Join(t.TempDir(), "m.gguf"))
	if len(slept) != 1 || slept[0] != 42*time.Second {
		t.Errorf("waited %v, the server said 42 s", slept)
	}
	h.limit = map[string]string{"Retry-After": "86400"}
	h.downloads, slept = 0, nil
	_, err := get(t, c, "hf://o/r/model.gguf", "model.gguf", filepath.Join(t.TempDir(), "m.gguf"))
	if err == nil || !strings.Contains(err.Error(), "24h0m0s") || len(slept) > 0 {
		t.Errorf("a day: %v, waited %v", err, slept)
	}
}

// TestChangedMeanwhile: without a hash, a file that becomes another one during its transfer is fetched anew, and never
// made of two versions.
func TestChangedMeanwhile(t *testing.T) {
	for _, c := range []struct {
		name, tag string
		length    int // of the second version
		noRanges  bool
	}{{"strong ETag", `"%d"`, 9000, false}, {"weak ETag", `W/"%d"`, 9000, false},
		{"longer", "", 9500, false}, {"shorter", "", 4500, false}, {"no ranges", `"%d"`, 9000, true}} {
		h := newHub(t, 9000)
		h.bare, h.noRanges = true, c.noRanges
		old := append([]byte("GGUF"), h.files["model.gguf"][4:]...)
		changed := bytes.Repeat([]byte("GGUF another one"), 1000)[:c.length]
		h.files["model.gguf"] = old
		version := 1
		if c.tag != "" {
			h.tag = func() string { return fmt.Sprintf(c.tag, version) }
		}
		h.status = func(n int) int {
			h.mu.Lock()
			defer h.mu.Unlock()
			if n == 3 || n == 1 && c.noRanges {
				version, h.files["model.gguf"] = 2, changed
			}
			return map[bool]int{true: http.StatusBadGateway}[n == 1 && c.noRanges]
		}
		dest := filepath.Join(t.TempDir(), "m.gguf")
		_, err := get(t, h.client(), "hf://o/r/model.gguf", "model.gguf", dest)
		got, _ := os.ReadFile(dest)
		if err != nil || !bytes.Equal(got, changed) {
			t.Errorf("%s: %d bytes, %v", c.name, len(got), err)
		}
	}
	// One that changes with every request is given up.
	h := newHub(t, 9000)
	n := 0
	h.bare, h.tag = true, func() string { n++; return fmt.Sprintf(`"%d"`, n) }
	dest := filepath.Join(t.TempDir(), "m.gguf")
	if _, err := get(t, h.client(), "hf://o/r/model.gguf", "model.gguf", dest); !errors.Is(err, ErrChanged) {
		t.Errorf("always another one: %v", err)
	}
	if left, _ := filepath.Glob(dest + "*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestResumedAsAnother: what an interrupted transfer left of one version is not continued with another.
func TestResumedAsAnother(t *testing.T) {
	h := newHub(t, 9000)
	h.bare = true
	h.tag = func() string { return `"1"` }
	h.status = func(n int) int { return map[bool]int{true: http.StatusNotFound}[n > 4] }
	dest := filepath.Join(t.TempDir(), "m.bin")
	c := h.client()
	c.Connections = 1
	if _, err := get(t, c, "hf://o/r/model.gguf", "model.gguf", dest); err == nil {
		t.Fatal("no error")
	}
	if _, err := os.Stat(dest + ".part"); err != nil {
		t.Fatalf("nothing to continue: %v", err)
	}
	h.status = nil
	h.files["model.gguf"] = bytes.Repeat([]byte("new"), 3000)
	h.tag = func() string { return `"2"` }
	fetch(t, h, h.client(), dest)
}

// TestImpossibleSizes: a size that no file has is refused before anything is made of it.
func TestImpossibleSizes(t *testing.T) {
	for _, size := range []int64{1<<63 - 1, 1 << 62, 1<<44 + 1, -1} {
		h := newHub(t, 100)
		h.claim = size
		dir := t.TempDir()
		if _, err := get(t, h.client(), "hf://o/r/model.gguf", "model.gguf", filepath.Join(dir,
			"m.gguf")); !errors.Is(err, ErrAnswer) {
			t.Errorf("%d bytes: %v", size, err)
		}
		h.weird = fmt.Sprintf(`[{"type":"file","path":"m.gguf","size":%d}]`, size)
		if _, err := h.client().List(t.Context(), mustRef(t, "hf://o/r")); !errors.Is(err, ErrAnswer) {
			t.Errorf("%d bytes in the listing: %v", size, err)
		}
	}
	// A size that the disk has no room for leaves nothing behind.
	h := newHub(t, 100)
	h.claim = 1 << 43
	dir := t.TempDir()
	if _, err := get(t, h.client(), "hf://o/r/model.gguf", "model.gguf", filepath.Join(dir,
		"m.gguf")); !errors.Is(err, ErrSpace) {
		t.Errorf("%v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := Room(filepath.Join(dir, "new", "dir"), []File{{Path: "a", Size: 1 << 43}, {Path: "b"}}); !errors.Is(err,
		ErrSpace) {
		t.Errorf("all together: %v", err)
	}
	if err := Room(dir, []File{{Path: "a", Size: 100}}); err != nil {
		t.Error(err)
	}
}

// TestHostileListings end in an error within bounds, and names that would leave the directory are passed over.
func TestHostileListings(t *testing.T) {
	for name, body := range map[string]string{
		"no JSON": "<html>", "an object": "{}", "a number": "7", "sizes as text": `[{"size":"7"}]`,
		"beyond 64 bits": `[{"type":"file","path":"a.gguf","size":9223372036854775808}]`,
		"long":           "[" + strings.Repeat(" ", maxListing) + "]",
	} {
		h := newHub(t, 10)
		h.weird = body
		if _, err := h.client().List(t.Context(), mustRef(t, "hf://o/r")); !errors.Is(err, ErrAnswer) {
			t.Errorf("%s: %v", name, err)
		}
	}
	h := newHub(t, 10)
	h.weird = `[{"type":"file","path":"../a.gguf"},{"type":"file","path":"/a.gguf"},{"type":"file","path":".a"},
		{"type":"file","path":"a\u001b[2J.gguf"},{"type":"file","path":"a\u202egguf.exe"},{"type":"file","path":"ok.gguf"}]`
	files, err := h.client().List(t.Context(), mustRef(t, "hf://o/r"))
	if err != nil || len(files) != 1 || files[0].Path != "ok.gguf" {
		t.Errorf("%+v, %v", files, err)
	}
	var pages int
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pages++
		w.Header().Set("Link", fmt.Sprintf(`<%s?cursor=%d>; rel="next"`, r.URL.Path, pages))
		w.Write([]byte(`[{"type":"file","path":"x"}]`))
	}))
	defer endless.Close()
	if _, err := (&fakeHub{t: t, api: endless}).client().List(t.Context(), mustRef(t, "hf://o/r")); !errors.Is(err,
		ErrAnswer) || pages > maxPages {
		t.Errorf("a listing without end: %v after %d pages", err, pages)
	}
}

// TestJoined: pieces of a file that was cut for its size become one file, and only what is missing of them is fetched
// again.
func TestJoined(t *testing.T) {
	h := newHub(t, 9_500)
	whole := h.files["model.gguf"]
	cut := []int{0, 4_321, 4_400, 9_500}
	want := File{Path: "big.gguf", Size: 9_500}
	for i := range 3 {
		f := File{Path: fmt.Sprintf("big.gguf.part%dof3", i+1), Size: int64(cut[i+1] - cut[i])}
		h.files[f.Path] = whole[cut[i]:cut[i+1]]
		f.SHA256 = sum(h.files[f.Path])
		want.Parts = append(want.Parts, f)
	}
	dest := filepath.Join(t.TempDir(), "big.gguf")
	join := func() (Result, error) {
		c := h.client()
		c.Connections = 1
		return c.Fetch(t.Context(), mustRef(t, "hf://o/r/big.gguf"), want, dest)
	}
	h.status = func(n int) int { return map[bool]int{true: http.StatusNotFound}[n > 7] }
	if _, err := join(); err == nil {
		t.Fatal("no error")
	}
	h.status = nil
	h.downloads = 0
	res, err := join()
	got, _ := os.ReadFile(dest)
	if err != nil || !bytes.Equal(got, whole) || res.SHA256 != sum(whole) || h.downloads > 5 {
		t.Errorf("%d bytes with %d requests: %+v, %v", len(got), h.downloads, res, err)
	}
	if left, _ := filepath.Glob(dest + ".*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if res, err := join(); err != nil || !res.Reused {
		t.Errorf("again: %+v, %v", res, err)
	}
	h.files["big.gguf.part2of3"] = bytes.Repeat([]byte("x"), 79)
	os.Remove(dest)
	if _, err := join(); err == nil {
		t.Error("a wrong piece was joined")
	}
	if _, err := os.Stat(dest); err == nil {
		t.Error("a file with a wrong piece is in place")
	}
}

// TestNoModelBehindURL: a page that asks to log in is not a model.
func TestNoModelBehindURL(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader("<!DOCTYPE html><p>Log in</p>"))
	}))
	defer s.Close()
	dest := filepath.Join(t.TempDir(), "m.gguf")
	c := (&fakeHub{t: t, api: s}).client()
	if _, err := get(t, c, s.URL+"/m.gguf", "", dest); !errors.Is(err, ErrAnswer) ||
		!strings.Contains(err.Error(), "<!DOCTYPE") {
		t.Errorf("%v", err)
	}
	if left, _ := filepath.Glob(dest + "*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestGitFiles: small files have no SHA-256 in a listing; git's own name for them is checked instead.
func TestGitFiles(t *testing.T) {
	h := newHub(t, 10)
	h.bare = true
	want := File{Path: "README.md", Size: 5, GitSHA1: "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0"} // of "hello"
	dest := filepath.Join(t.TempDir(), "README.md")
	if _, err := h.client().Fetch(t.Context(), mustRef(t, "hf://o/r"), want, dest); err != nil {
		t.Fatal(err)
	}
	if res, err := h.client().Fetch(t.Context(), mustRef(t, "hf://o/r"), want, dest); err != nil || !res.Reused {
		t.Errorf("again: %+v, %v", res, err)
	}
	h.files["README.md"] = []byte("hallo")
	os.Remove(dest)
	if _, err := h.client().Fetch(t.Context(), mustRef(t, "hf://o/r"), want, dest); !errors.Is(err, ErrChecksum) {
		t.Errorf("another content: %v", err)
	}
}

// TestOffline: nothing is asked.
func TestOffline(t *testing.T) {
	h := newHub(t, 10)
	c := h.client()
	c.Offline = true
	if _, err := c.List(t.Context(), mustRef(t, "hf://o/r")); !errors.Is(err, ErrOffline) {
		t.Errorf("%v", err)
	}
	if _, err := get(t, c, "hf://o/r/model.gguf", "model.gguf", filepath.Join(t.TempDir(), "m")); !errors.Is(err,
		ErrOffline) || h.heads > 0 {
		t.Errorf("%v, %d requests", err, h.heads)
	}
}

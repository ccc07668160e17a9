package hub

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/leak"
	"github.com/hxp-enterprise/mixtral/internal/base/property"
)

func TestMain(m *testing.M) { leak.Main(m) }

func noSleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

func mustRef(t *testing.T, s string) Ref {
	t.Helper()
	r, err := ParseRef(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// fetch brings the hub's model and checks it.
func fetch(t *testing.T, h *fakeHub, c *Client, dest string) Result {
	t.Helper()
	res, err := c.Fetch(t.Context(), mustRef(t, "hf://o/r/model.gguf"), File{Path: "model.gguf"}, dest)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(dest)
	if err != nil || !bytes.Equal(got, h.files["model.gguf"]) || res.SHA256 != sum(got) {
		t.Fatalf("what arrived is not the file: %v", err)
	}
	if left, _ := filepath.Glob(dest + ".*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	return res
}

func TestParseRef(t *testing.T) {
	for in, want := range map[string]Ref{
		"hf://o/r":                    {Owner: "o", Repo: "r", Revision: "main"},
		"hf://o/r@v1":                 {Owner: "o", Repo: "r", Revision: "v1"},
		"hf://o/R-2.x/dir/m.gguf@a/b": {Owner: "o", Repo: "R-2.x", File: "dir/m.gguf", Revision: "a/b"},
		"https://x.example/m.gguf?x":  {URL: "https://x.example/m.gguf?x"},
		"http://127.0.0.1:1/m.gguf":   {URL: "http://127.0.0.1:1/m.gguf"},
	} {
		if got, err := ParseRef(in); err != nil || got != want {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "model.gguf", "hf://", "hf://o", "hf://o/", "hf://../r", "hf://o/r/../x",
		"hf://o/r//x", "hf://o/r/x@", "hf://o/r/x@a..b",
		"hf://o/r/a\x00", "hf://o/r/.hidden", "https://", "https://x.example/", "http://x.example/m.gguf",
		"ftp://x/y", "https://u:p@x.example/m.gguf"} {
		if got, err := ParseRef(in); !errors.Is(err, ErrRef) {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
	}
}

func FuzzParseRef(f *testing.F) {
	for _, s := range []string{"hf://o/r/f@v", "https://x/y", "hf://a/b/c/d.gguf"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRef(s)
		if err != nil {
			return
		}
		if again, err := ParseRef(r.String()); err != nil || again != r {
			t.Errorf("%q became %q: %+v, %v", s, r, again, err)
		}
		if strings.Contains(r.File, "..") && !safePath(r.File) {
			t.Errorf("%q gives file %q", s, r.File)
		}
	})
}

func TestFetch(t *testing.T) {
	h := newHub(t, 10_500)
	dest := filepath.Join(t.TempDir(), "new", "m.gguf")
	var mu sync.Mutex
	var last Progress
	c := h.client()
	c.Progress = func(p Progress) {
		mu.Lock()
		defer mu.Unlock()
		if p.Stage == "download" {
			last = p
		}
		if p.Done > p.Total || p.Total != 10_500 {
			t.Errorf("progress %+v", p)
		}
	}
	if res := fetch(t, h, c, dest); res.Reused || res.Size != 10_500 {
		t.Errorf("%+v", res)
	}
	if last.Done != 10_500 {
		t.Errorf("last progress %+v", last)
	}
	downloads := h.downloads
	if res := fetch(t, h, h.client(), dest); !res.Reused || h.downloads != downloads {
		t.Errorf("downloaded again: %+v", res)
	}
	os.WriteFile(dest, []byte("damaged"), 0o644)
	if res := fetch(t, h, h.client(), dest); res.Reused {
		t.Errorf("a damaged file was reused")
	}
}

func TestTroubleOnTheWay(t *testing.T) {
	for name, trouble := range map[string]func(*fakeHub){
		"cuts": func(h *fakeHub) {
			h.cut = func(n int) int {
				return map[bool]int{true: 300,
					false: -1}[n%2 == 1]
			}
		},
		"one byte a time": func(h *fakeHub) {
			h.cut = func(n int) int {
				return map[bool]int{true: 1,
					false: -1}[n < 8]
			}
		},
		"too many":       func(h *fakeHub) { h.status = every(3, http.StatusTooManyRequests) },
		"server errors":  func(h *fakeHub) { h.status = every(4, http.StatusBadGateway) },
		"expiring links": func(h *fakeHub) { h.expire = 3 },
		"wrong ranges":   func(h *fakeHub) { h.lie = func(n int) bool { return n%3 == 2 } },
		"a damaged byte": func(h *fakeHub) { h.spoil = func(n int) bool { return n == 4 } },
		"no ranges":      func(h *fakeHub) { h.noRanges = true },
		"no ranges, a cut": func(h *fakeHub) {
			h.noRanges = true
			h.cut = func(n int) int { return map[bool]int{true: 700, false: -1}[n < 3] }
		},
		"a token": func(h *fakeHub) { h.token = "hf_secret" },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t, 9_999)
			trouble(h)
			fetch(t, h, h.client(), filepath.Join(t.TempDir(), "m.gguf"))
			if h.leaked {
				t.Error("the token was sent to the host of a redirect")
			}
		})
	}
}

func every(k, status int) func(int) int {
	return func(n int) int {
		if n%k == 0 {
			return status
		}
		return 0
	}
}

// TestResume: after an interruption only what is missing is downloaded.
func TestResume(t *testing.T) {
	h := newHub(t, 20_000)
	dest := filepath.Join(t.TempDir(), "m.gguf")
	ctx, cancel := context.WithCancel(t.Context())
	c := h.client()
	c.Connections = 1
	c.Progress = func(p Progress) {
		if p.Done > 10_000 {
			cancel()
		}
	}
	if _, err := c.Fetch(ctx, mustRef(t, "hf://o/r/model.gguf"), File{Path: "model.gguf"}, dest); !errors.Is(err,
		context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if _, err := os.Stat(dest); err == nil {
		t.Fatal("half a file is in place")
	}
	before := h.downloads
	fetch(t, h, h.client(), dest)
	if n := h.downloads - before; n > 11 {
		t.Errorf("%d of 20 pieces downloaded again", n)
	}
}

// TestResumeFindsDamage: a part that was damaged while nobody looked is found by the checksum, and fetched anew.
func TestResumeFindsDamage(t *testing.T) {
	h := newHub(t, 5_000)
	dest := filepath.Join(t.TempDir(), "m.gguf")
	// gone for good: ends the first attempt
	h.status = func(n int) int { return map[bool]int{true: http.StatusNotFound}[n > 2] }
	if _, err := h.client().Fetch(t.Context(), mustRef(t, "hf://o/r/model.gguf"), File{Path: "model.gguf"},
		dest); err == nil {
		t.Fatal("no error")
	}
	f, err := os.OpenFile(dest+".part", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteAt([]byte{1, 2, 3, 4, 5, 6, 7}, 100)
	f.Close()
	h.change(func() { h.status = nil })
	fetch(t, h, h.client(), dest)
}

func TestErrors(t *testing.T) {
	h := newHub(t, 100)
	dest := filepath.Join(t.TempDir(), "m.gguf")
	get := func(c *Client, ref, file string) error {
		_, err := c.Fetch(t.Context(), mustRef(t, ref), File{Path: file}, dest)
		return err
	}
	if err := get(h.client(), "hf://o/r/none.gguf", "none.gguf"); !errors.Is(err, ErrNotFound) {
		t.Errorf("missing: %v", err)
	}
	h.token = "right"
	wrong := h.client()
	wrong.Token = "hf_wrong"
	if err := get(wrong, "hf://o/r/model.gguf", "model.gguf"); !errors.Is(err, ErrDenied) ||
		!strings.Contains(err.Error(), "restricted") || strings.Contains(err.Error(), "hf_wrong") {
		t.Errorf("denied: %v", err)
	}
	h.change(func() { h.token = "" })
	h.change(func() { h.spoil = func(int) bool { return true } })
	if err := get(h.client(), "hf://o/r/model.gguf", "model.gguf"); !errors.Is(err, ErrChecksum) {
		t.Errorf("corrupt: %v", err)
	}
	h.change(func() { h.spoil = nil })
	h.change(func() { h.status = func(int) int { return http.StatusServiceUnavailable } })
	if err := get(h.client(), "hf://o/r/model.gguf", "model.gguf"); !errors.Is(err, ErrTransfer) {
		t.Errorf("unavailable: %v", err)
	}
	h.change(func() { h.status = nil })
	if _, err := h.client().Fetch(t.Context(), mustRef(t, "hf://o/r/model.gguf"),
		File{Path: "model.gguf", Size: 1 << 40}, dest); !errors.Is(err, ErrChanged) {
		t.Errorf("another size than the listing's: %v", err)
	}
	if _, err := os.Stat(dest); err == nil {
		t.Error("a file is in place after errors only")
	}
}

func TestRetryAfterIsKept(t *testing.T) {
	h := newHub(t, 100)
	h.status = func(n int) int { return map[bool]int{true: http.StatusTooManyRequests}[n == 1] }
	c := h.client()
	var slept []time.Duration
	c.sleep = func(_ context.Context, d time.Duration) error { slept = append(slept, d); return nil }
	fetch(t, h, c, filepath.Join(t.TempDir(), "m.gguf"))
	if len(slept) != 1 || slept[0] != 7*time.Second {
		t.Errorf("waited %v, the server said 7 s", slept)
	}
}

func TestList(t *testing.T) {
	h := newHub(t, 100)
	files, err := h.client().List(t.Context(), mustRef(t, "hf://o/r"))
	if err != nil || len(files) != 3 {
		t.Fatalf("%+v, %v", files, err)
	}
	if f := files[2]; f.Path != "model.gguf" || f.Size != 100 || f.SHA256 != sum(h.files["model.gguf"]) {
		t.Errorf("%+v", f)
	}
	if _, err := h.client().List(t.Context(), mustRef(t, "hf://o/none")); !errors.Is(err, ErrNotFound) {
		t.Errorf("no repository: %v", err)
	}
}

func TestCached(t *testing.T) {
	root := t.TempDir()
	repo := filepath.Join(root, "models--o--r")
	for _, d := range []string{"refs", "blobs", "snapshots/abc123"} {
		os.MkdirAll(filepath.Join(repo, d), 0o755)
	}
	os.WriteFile(filepath.Join(repo, "refs", "main"), []byte("abc123"), 0o644)
	os.WriteFile(filepath.Join(repo, "blobs", "x"), []byte("weights"), 0o644)
	if err := os.Symlink("../../blobs/x", filepath.Join(repo, "snapshots", "abc123", "m.gguf")); err != nil {
		t.Fatal(err)
	}
	if p, ok := Cached(root, mustRef(t, "hf://o/r"), "m.gguf"); !ok {
		t.Error("not found")
	} else if data, _ := os.ReadFile(p); string(data) != "weights" {
		t.Errorf("%s: %q", p, data)
	}
	for _, miss := range []struct{ ref, file string }{{"hf://o/r@v2", "m.gguf"}, {"hf://o/r", "n.gguf"},
		{"hf://o/r", "../../refs/main"}, {"https://x.example/m.gguf", "m.gguf"}} {
		if p, ok := Cached(root, mustRef(t, miss.ref), miss.file); ok {
			t.Errorf("%+v: found %s", miss, p)
		}
	}
}

// TestPartsCoverTheFile: pieces do not overlap, leave no gap, and are handed out once.
func TestPartsCoverTheFile(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		size, chunk := rapid.Int64Range(1, 1000).Draw(t, "size"), rapid.Int64Range(1, 300).Draw(t, "chunk")
		p := newParts(&source{size: size, sha: "x"}, chunk)
		at := int64(0)
		for i := p.next(); i >= 0; i = p.next() {
			from, to := p.bounds(i)
			if from != at || to <= from {
				t.Fatalf("piece %d is %d to %d, expected to begin at %d", i, from, to, at)
			}
			at = to
		}
		if at != size {
			t.Fatalf("pieces end at %d of %d", at, size)
		}
	})
}

func TestGarbageRecordsStartAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.json")
	for _, data := range []string{"", "{", `{"size":10,"chunk":0,"sha256":"x","done":[]}`,
		`{"size":10,"chunk":3,"sha256":"x","done":[true]}`, `{"size":10,"chunk":-3,"sha256":"x","done":[]}`,
		`{"size":11,"chunk":11,"sha256":"x","done":[true]}`} {
		os.WriteFile(path, []byte(data), 0o644)
		if _, ok := loadParts(path, &source{size: 10, sha: "x", ranges: true}); ok {
			t.Errorf("%q was believed", data)
		}
	}
}

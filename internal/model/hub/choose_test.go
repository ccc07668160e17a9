package hub

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestChoose: what a name means in a repository.
func TestChoose(t *testing.T) {
	split := "q/m-00001-of-00003.gguf q/m-00002-of-00003.gguf q/m-00003-of-00003.gguf"
	weights := "config.json tokenizer.model model.safetensors.index.json model-00001-of-00002.safetensors " +
		"model-00002-of-00002.safetensors"
	index := `{"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors",` +
		`"c":"model-00001-of-00002.safetensors"}}`
	for _, c := range []struct {
		name, files, want string // of want, joined parts are in brackets
		err               error
	}{
		{"", "README.md a.gguf", "a.gguf", nil},
		{"", "README.md a.gguf imatrix.gguf", "a.gguf", nil},
		{"", split, split, nil},
		{"", split + " a.gguf", "", ErrChoice},
		{"q/m.gguf", split + " a.gguf", split, nil},
		{"q/m", split, split, nil},
		{"q/M", split, split, nil},
		{"q", split + " a.gguf", split, nil},
		{"q/m-00001-of-00003.gguf", split, split, nil},
		{"q/m-00002-of-00003.gguf", split, split, nil},
		{"a", split + " a.gguf", "a.gguf", nil},
		{"q/m.gguf", "q/m-00001-of-00003.gguf q/m-00003-of-00003.gguf", "", ErrNotFound},
		{"", "q/m-00001-of-00002.gguf", "", ErrNotFound},
		{"b", split, "", ErrNotFound},
		{"", "m.gguf.part2of2 m.gguf.part1of2", "[m.gguf.part1of2 m.gguf.part2of2]", nil},
		{"m.gguf.part1of2", "m.gguf.part2of2 m.gguf.part1of2", "[m.gguf.part1of2 m.gguf.part2of2]", nil},
		{"m", "m.gguf-split-b m.gguf-split-a", "[m.gguf-split-a m.gguf-split-b]", nil},
		{"", "m.gguf.part1of3 m.gguf.part3of3", "", ErrNotFound},
		{"", "m.gguf.part1of3 m.gguf.part2of3", "", ErrNotFound},
		{"", weights + " consolidated.00.pth consolidated.safetensors pytorch_model-1.bin README.md " +
			"model.safetensors other-00001-of-00002.safetensors", weights, nil},
		{"", "config.json model.safetensors model.fp16.safetensors", "config.json model.safetensors", nil},
		{"", "config.json a.safetensors b.safetensors", "config.json a.safetensors b.safetensors", nil},
		{"", "model.safetensors.index.json model-00001-of-00002.safetensors", "", ErrNotFound},
		{"sub", "README.md sub/config.json sub/model.safetensors model.safetensors",
			"sub/config.json sub/model.safetensors",
			nil},
		{"model.safetensors", "config.json model.safetensors", "model.safetensors", nil},
		{"", "consolidated.safetensors params.json", "", ErrNotFound},
		{"", "pytorch_model.bin config.json", "", ErrNotFound},
		{"", "README.md", "", ErrNotFound},
		{"", "", "", ErrNotFound},
		{"x", "", "", ErrNotFound},
	} {
		var files []File
		for _, path := range strings.Fields(c.files) {
			files = append(files, File{Path: path, Size: 10})
		}
		chosen, err := choose(files, c.name, func(string) ([]byte, error) { return []byte(index), nil })
		var got []string
		for _, f := range chosen {
			name := f.Path
			if len(f.Parts) > 0 {
				var parts []string
				for _, p := range f.Parts {
					parts = append(parts, p.Path)
				}
				name = fmt.Sprint(parts)
				if f.Size != 10*int64(len(parts)) {
					t.Errorf("%+v", f)
				}
			}
			got = append(got, name)
		}
		if c.err != nil {
			if !errors.Is(err, c.err) {
				t.Errorf("%q of %s: %v, %v", c.name, c.files, got, err)
			}
		} else if text := strings.Join(got, " "); err != nil || text != c.want {
			t.Errorf("%q of %s: %s, %v; want %s", c.name, c.files, text, err, c.want)
		}
	}
	_, err := choose([]File{{Path: "a.gguf", Size: 2e9}, {Path: "b.gguf"}}, "", nil)
	if err == nil || !strings.Contains(err.Error(), "a.gguf (2.0 GB), b.gguf") {
		t.Errorf("the choice: %v", err)
	}
	for _, index := range []string{"", "{}", `{"weight_map":{"a":"../x"}}`} {
		if got, err := choose([]File{{Path: indexName}, {Path: "model.safetensors"}}, "", func(string) ([]byte,
			error) {
			return []byte(index), nil
		}); err == nil {
			t.Errorf("index %q: %v", index, got)
		}
	}
}

// TestURLFiles: the URL of a part stands for all parts, unless it may be signed.
func TestURLFiles(t *testing.T) {
	const at = "https://x.example/dir/"
	for url, want := range map[string]string{
		at + "m.gguf":                  at + "m.gguf",
		at + "m-00002-of-00002.gguf":   at + "m-00001-of-00002.gguf " + at + "m-00002-of-00002.gguf",
		at + "m-00002-of-00002.gguf?s": at + "m-00002-of-00002.gguf?s",
		at + "m-00002-of-09999.gguf":   at + "m-00002-of-09999.gguf",
		at + "m.gguf.part1of2":         "m.gguf: " + at + "m.gguf.part1of2 " + at + "m.gguf.part2of2",
		at + "a%20b.gguf":              at + "a%20b.gguf",
	} {
		files, err := URLFiles(Ref{URL: url})
		if err != nil {
			t.Error(err)
		}
		var got []string
		for _, f := range files {
			for i, p := range f.Parts {
				if i == 0 {
					got = append(got, f.Path+":")
				}
				got = append(got, p.URL)
			}
			if f.URL != "" {
				got = append(got, f.URL)
			}
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%s: %s, want %s", url, text, want)
		}
	}
	if _, err := URLFiles(Ref{URL: at + "..%2f.hidden"}); !errors.Is(err, ErrRef) {
		t.Errorf("a hidden name: %v", err)
	}
}

// TestEnvironment: what Hugging Face's own tools read, read in the same way.
func TestEnvironment(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path,
			[]byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("home/.cache/huggingface/token", "hf_home\n")
	write("xdg/huggingface/token", "  hf_xdg\r\n")
	write("hf/token", "hf_own")
	path := write("elsewhere", "hf_path\n\n")
	home, xdg, hf := filepath.Join(dir, "home"), filepath.Join(dir, "xdg"), filepath.Join(dir, "hf")
	for _, c := range []struct {
		env     map[string]string
		token   string
		offline bool
		cache   string
	}{
		{nil, "", false, ""},
		{map[string]string{"HF_TOKEN": "hf_a\n", "HOME": home}, "hf_a", false, home + "/.cache/huggingface/hub"},
		{map[string]string{"HF_TOKEN": " ", "HUGGING_FACE_HUB_TOKEN": "hf_b"}, "hf_b", false, ""},
		{map[string]string{"HOME": home, "HF_HUB_OFFLINE": "1"}, "hf_home", true, home + "/.cache/huggingface/hub"},
		{map[string]string{"HOME": home, "XDG_CACHE_HOME": xdg, "HF_HUB_OFFLINE": "yes"}, "hf_xdg", true,
			xdg + "/huggingface/hub"},
		{map[string]string{"HOME": home, "HF_HOME": hf, "HF_HUB_OFFLINE": "0"}, "hf_own", false, hf + "/hub"},
		{map[string]string{"HOME": dir, "HF_HOME": "~/hf", "TRANSFORMERS_OFFLINE": "true"},
			"hf_own", true, hf + "/hub"},
		{map[string]string{"HOME": home, "HF_TOKEN_PATH": path, "HF_HUB_CACHE": xdg}, "hf_path", false, xdg},
		{map[string]string{"HOME": home, "HF_TOKEN_PATH": path + "none", "HUGGINGFACE_HUB_CACHE": hf}, "", false, hf},
		{map[string]string{"HF_TOKEN": "hf_a", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}, "", false, ""},
	} {
		e, err := ReadEnvironment(func(k string) string { return c.env[k] })
		if err != nil || e.Token != c.token || e.Offline != c.offline || e.Cache != c.cache {
			t.Errorf("%v: %+v, %v", c.env, e, err)
		}
	}
	for _, env := range []map[string]string{{"HF_TOKEN": "hf_a b"}, {"HF_TOKEN": "hf_\x1b[2J"},
		{"HF_TOKEN_PATH": dir}, {"HF_TOKEN_PATH": write("big", strings.Repeat("x", 5000))},
		{"HF_HUB_DOWNLOAD_TIMEOUT": "soon"}, {"HF_HUB_DOWNLOAD_TIMEOUT": "-1"}} {
		if e, err := ReadEnvironment(func(k string) string { return env[k] }); err == nil ||
			strings.Contains(err.Error(), "hf_") {
			t.Errorf("%v: %+v, %v", env, e, err)
		}
	}
	if e, err := ReadEnvironment(func(k string) string {
		return map[string]string{"HF_HUB_DOWNLOAD_TIMEOUT": "2.5"}[k]
	}); err != nil || e.Silence != 2500*time.Millisecond {
		t.Errorf("%+v, %v", e, err)
	}
	if err := CheckEndpoint("hf-mirror.com"); err == nil {
		t.Error("an endpoint without a scheme")
	}
	if err := CheckEndpoint("https://hf-mirror.com/"); err != nil {
		t.Error(err)
	}
}

// TestPages: the address in a browser's bar is the repository or file that the page shows.
func TestPages(t *testing.T) {
	for url, want := range map[string]string{
		"https://huggingface.co/o/r":                              "hf://o/r",
		"https://huggingface.co/o/r/":                             "hf://o/r",
		"https://huggingface.co/o/r/tree/main":                    "hf://o/r",
		"https://huggingface.co/o/r/tree/v1":                      "hf://o/r@v1",
		"https://huggingface.co/o/r/blob/main/d/m.gguf":           "hf://o/r/d/m.gguf",
		"https://hf.co/o/r/resolve/refs%2Fpr%2F1/m.gguf?download": "hf://o/r/m.gguf@refs/pr/1",
		"https://huggingface.co/o/r/discussions/3":                "https://huggingface.co/o/r/discussions/3",
		"https://hf.co/datasets/o/r/resolve/main/x":               "https://hf.co/datasets/o/r/resolve/main/x",
		"https://other.example/o/r/blob/main/m.gguf":              "https://other.example/o/r/blob/main/m.gguf",
	} {
		if got := mustRef(t, url).String(); got != want {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
	}
}

// TestLocal: what was pulled or cached is found without the hub, if it is whole.
func TestLocal(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	write := func(path string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755),
			os.WriteFile(path, []byte("x"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	find := func(ref string) string {
		paths, err := Local(root, dir, mustRef(t, ref))
		if err != nil {
			return err.Error()
		}
		for i := range paths {
			paths[i] = strings.TrimPrefix(strings.TrimPrefix(paths[i], root), dir)
		}
		return strings.Join(paths, " ")
	}
	if got := find("hf://o/r"); !strings.Contains(got, "hf://o/r is not on this machine") {
		t.Error(got)
	}
	write(filepath.Join(dir, "m-00001-of-00002.gguf"))
	write(filepath.Join(dir, "m-00002-of-00002.gguf.part"))
	if got := find("hf://o/r"); !strings.Contains(got, "is not on this machine") {
		t.Errorf("half a model: %s", got)
	}
	write(filepath.Join(dir, "m-00002-of-00002.gguf"))
	if got := find("hf://o/r/m"); got != "/m-00001-of-00002.gguf /m-00002-of-00002.gguf" {
		t.Error(got)
	}
	snap := "/models--o--r/snapshots/0123abcd/"
	write(root + snap + "a.gguf")
	write(root + "/models--o--r/refs/main")
	os.WriteFile(root+"/models--o--r/refs/main", []byte("0123abcd\n"), 0o600)
	if got := find("hf://o/r"); got != snap+"a.gguf" {
		t.Errorf("the cache: %s", got)
	}
	write(root + snap + "b.gguf")
	write(dir + "/b.gguf")
	if got := find("hf://o/r"); !strings.Contains(got, "more than one model") {
		t.Errorf("two: %s", got)
	}
}

// TestCachedAs: a file in the cache that the hub has replaced since is not what was asked for.
func TestCachedAs(t *testing.T) {
	root := t.TempDir()
	repo := filepath.Join(root, "models--o--r")
	data := []byte("weights")
	for path, text := range map[string]string{"refs/main": "abc", "blobs/" + sum(data): string(data),
		"snapshots/abc/plain.gguf": string(data)} {
		path = filepath.Join(repo, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path,
			[]byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../../blobs/"+sum(data), filepath.Join(repo, "snapshots", "abc",
		"linked.gguf")); err != nil {
		t.Fatal(err)
	}
	c := &Client{}
	for _, name := range []string{"linked.gguf", "plain.gguf"} {
		f := File{Path: name, Size: int64(len(data)), SHA256: sum(data)}
		if _, ok := c.CachedAs(t.Context(), root, mustRef(t, "hf://o/r"), f); !ok {
			t.Errorf("%s: not found", name)
		}
		f.SHA256 = sum([]byte("another"))
		if p, ok := c.CachedAs(t.Context(), root, mustRef(t, "hf://o/r"), f); ok {
			t.Errorf("%s: an older version was taken: %s", name, p)
		}
	}
}

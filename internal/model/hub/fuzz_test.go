package hub

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// FuzzListing: whatever a hub lists, what is chosen of it are files of the listing, inside their directory.
func FuzzListing(f *testing.F) {
	f.Add([]byte(`[{"type":"file","path":"a.Q4_K_M.gguf","size":7,"oid":"1","lfs":{"oid":"ab","size":9}}]`), "", "")
	f.Add([]byte(`[{"type":"file","path":"m-00001-of-00002.gguf"},{"type":"file","path":"m-00002-of-00002.gguf"}]`),
		"m", "")
	f.Add([]byte(`[{"type":"file","path":"config.json"},{"type":"file","path":"tokenizer.model"},
		{"type":"file","path":"model.safetensors.index.json"},{"type":"file","path":"model-1.safetensors"}]`), "",
		`{"weight_map":{"a":"model-1.safetensors"}}`)
	f.Add([]byte(`[{"type":"file","path":"../a.gguf"},{"type":"file","path":"x.gguf-split-a","size":-1}]`), "x", "{}")
	f.Add([]byte(`[{"type":"file","path":"consolidated.00.pth"},{"type":"file","path":"pytorch_model.bin"}]`), "", "")
	f.Fuzz(func(t *testing.T, page []byte, name, index string) {
		var entries []entry
		if json.Unmarshal(page, &entries) != nil {
			return
		}
		var files []File
		for _, e := range entries {
			if file := e.file(); safePath(file.Path) {
				files = append(files, file)
			}
		}
		chosen, err := choose(files, name, func(string) ([]byte, error) { return []byte(index), nil })
		if err != nil {
			return
		}
		if len(chosen) == 0 {
			t.Fatalf("%s: nothing is chosen, without an error", page)
		}
		for _, c := range chosen {
			listed := slices.ContainsFunc(files, func(f File) bool { return strings.HasPrefix(f.Path, c.Path) })
			if !listed || !safePath(c.Path) { // a file of which the hub has pieces has the beginning of their names
				t.Fatalf("%s: %q is chosen", page, c.Path)
			}
		}
	})
}

// FuzzParts: the record of an earlier attempt is passed over, or fits what is to be loaded.
func FuzzParts(f *testing.F) {
	f.Add([]byte(`{"size":10,"offset":0,"sha256":"","tag":"e","chunk":4,"done":[true,false,true]}`))
	f.Add([]byte(`{"size":10,"tag":"e","chunk":9223372036854775807,"done":[true]}`))
	f.Add([]byte(`{"size":10,"tag":"e","chunk":-4,"done":[]}`))
	path := filepath.Join(f.TempDir(), "record")
	s := &source{size: 10, tag: "e", ranges: true}
	if p := newParts(s, 4); p.save(path) == nil {
		if data, err := os.ReadFile(path); err == nil {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "record")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		p, ok := loadParts(path, s)
		if !ok {
			return
		}
		if n := p.bytes(); n < 0 || n > s.size {
			t.Fatalf("%s: %d bytes of %d are there", data, n, s.size)
		}
		for i := p.next(); i >= 0; i = p.next() {
			if from, to := p.bounds(i); from < 0 || to <= from || to > s.size {
				t.Fatalf("%s: piece %d from %d to %d", data, i, from, to)
			}
		}
	})
}

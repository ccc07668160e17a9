package catalog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/hub"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// TestNames: the embedded catalogue is sound, and knows the models it is for.
func TestNames(t *testing.T) {
	models, err := parseNames(namesYAML)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mixtral-8x7b-instruct", "mixtral-8x22b-instruct", "tiny-mixtral"} {
		if k, ok, err := Lookup(name); !ok || err != nil || k.Name != name {
			t.Errorf("%s: %+v, %v", name, k, err)
		}
	}
	for _, k := range models {
		for _, typ := range k.Types {
			if _, err := quant.ParseType(strings.TrimSuffix(typ, "_m")); err != nil {
				t.Errorf("%s: %v", k.Name, err)
			}
		}
	}
	if k, _, _ := Lookup("Mixtral-8x7B-Instruct"); k.Type != "q4_k_m" ||
		k.Ref().String() != "hf://TheBloke/Mixtral-8x7B-Instruct-v0.1-GGUF" {
		t.Errorf("%+v", k)
	}
	for _, ref := range []string{"", "demo", "synth:tiny", "./mixtral-8x7b-instruct", "mixtral-8x7b-instruct.gguf"} {
		if _, ok, err := Lookup(ref); ok || err != nil {
			t.Errorf("%q is a name, %v", ref, err)
		}
	}
}

func TestBadNames(t *testing.T) {
	const good = "models:\n  - {name: a, title: t, license: l, repository: o/r, file: 'x.{TYPE}.gguf', types: [q4_0]"
	if _, err := parseNames([]byte(good + "}")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ text, want string }{
		{good + ", colour: red}", "colour"},
		{strings.Replace(good, "name: a", "name: A b", 1) + "}", "malformed"},
		{good + "}\n  - {name: a, title: t, license: l, repository: o/r}", "used twice"},
		{strings.Replace(good, "o/r", "../r", 1) + "}", "repository"},
		{strings.Replace(good, "x.{TYPE}.gguf", "x.gguf", 1) + "}", "go together"},
		{good + ", sha256: {q8_0: abc}}", "sha256 of q8_0"},
		{good + ", sha256: {q4_0: abc}}", "sha256 of q4_0"},
		{strings.Replace(good, "title: t, ", "", 1) + "}", "title"},
	} {
		if _, err := parseNames([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.text, err)
		}
	}
}

func TestChoose(t *testing.T) {
	k, _, _ := Lookup("mixtral-8x7b-instruct:q4_k_m")
	want := k.SHA256["q4_k_m"]
	file := func(path, sum string) hub.File { return hub.File{Path: path, Size: 1, SHA256: sum} }
	all := []hub.File{file("README.md", ""), file("mixtral-8x7b-instruct-v0.1.Q4_K_M.gguf", want),
		file("mixtral-8x7b-instruct-v0.1.Q4_0.gguf", "x")}
	if got, err := k.Choose(all); err != nil || len(got) != 1 || got[0].Path != all[1].Path || got[0].SHA256 != want {
		t.Errorf("%v, %v", got, err)
	}
	all[1].SHA256 = strings.Repeat("0", 64)
	if _, err := k.Choose(all); !errors.Is(err, hub.ErrChecksum) {
		t.Errorf("another checksum: %v", err)
	}
	if _, err := k.Choose(all[:1]); !errors.Is(err, hub.ErrNotFound) {
		t.Errorf("no file: %v", err)
	}
	k, _, _ = Lookup("mixtral-8x22b-instruct")
	all = []hub.File{file("q/Mixtral-8x22B-Instruct-v0.1.Q4_K_M-00001-of-00002.gguf", "1"),
		file("q/Mixtral-8x22B-Instruct-v0.1.Q4_K_M-00002-of-00002.gguf", "2"),
		file("Mixtral-8x22B-Instruct-v0.1.Q4_K_S-00001-of-00002.gguf", "3")}
	if got, err := k.Choose(all); err != nil || len(got) != 2 || got[1].SHA256 != "2" {
		t.Errorf("%v, %v", got, err)
	}
}

// TestOpenByName: a pulled model opens by its name, once all of it is here.
func TestOpenByName(t *testing.T) {
	data, err := synth.Bytes(synth.Tiny())
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	t.Setenv("XDG_DATA_HOME", home)
	t.Setenv("HF_HOME", filepath.Join(home, "hf"))
	write := func(path string) {
		t.Helper()
		path = filepath.Join(home, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	opens := func(ref string, want bool) {
		t.Helper()
		o, err := Open(ref)
		if (err == nil) != want {
			t.Fatalf("%s: %v", ref, err)
		}
		if err == nil {
			if k, _, _ := Lookup(ref); o.ID != k.Name+":"+k.Type {
				t.Errorf("%s is called %s", ref, o.ID)
			}
			if err := o.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	opens("mixtral-8x7b-instruct:q8_0", false)
	write("mixtral/models/TheBloke/Mixtral-8x7B-Instruct-v0.1-GGUF/mixtral-8x7b-instruct-v0.1.Q8_0.gguf")
	opens("mixtral-8x7b-instruct:q8_0", true)
	opens("mixtral-8x7b-instruct", false)
	// The cache of Hugging Face's own tools.
	cache := "hf/hub/models--TheBloke--Mixtral-8x7B-Instruct-v0.1-GGUF/"
	write(cache + "snapshots/0123abcd/mixtral-8x7b-instruct-v0.1.Q4_K_M.gguf")
	if err := errors.Join(os.MkdirAll(filepath.Join(home, cache, "refs"), 0o755),
		os.WriteFile(filepath.Join(home, cache, "refs/main"), []byte("0123abcd"), 0o600)); err != nil {
		t.Fatal(err)
	}
	opens("mixtral-8x7b-instruct", true)
	// Parts: not before the last one is here.
	k, _, _ := Lookup("mixtral-8x22b-instruct:q6_k")
	for i := 1; i <= 2; i++ {
		if _, ok := k.Find(os.Getenv); ok {
			t.Errorf("found with %d of 2 parts", i-1)
		}
		write(fmt.Sprintf("mixtral/models/%s/Q6/Mixtral-8x22B-Instruct-v0.1.Q6_K-%05d-of-00002.gguf", k.Repository, i))
	}
	if p, ok := k.Find(os.Getenv); !ok || !strings.HasSuffix(p, "00001-of-00002.gguf") {
		t.Errorf("%q, %v", p, ok)
	}
}

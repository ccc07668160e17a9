package upstream

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestFile(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	if err := os.WriteFile(key, []byte("secret-key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "f.yaml")
	read := func(text string) ([]Server, error) {
		t.Helper()
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "KEY", key)), 0o600); err != nil {
			t.Fatal(err)
		}
		return ReadFile(path)
	}
	one := func(lines ...string) string { return "replicas:\n- " + strings.Join(lines, "\n  ") + "\n" }
	got, err := read(`
common: &common {key_file: KEY, models: [a, b=theirs/b, "*"]}
replicas: [{url: "http://x:1", <<: *common}]
`)
	if !errors.Is(err, ErrFile) || !strings.Contains(err.Error(), `unknown key "common"`) {
		t.Errorf("%+v, %v", got, err)
	}
	got, err = read(`
replicas:
  - url: http://x:1/v1
    models: [a, b=theirs/b, "*"]
    key_file: KEY
  - {url: "https://y", weight: 2.5, share_percent: 12.5, drain: true}
`)
	want := []Server{{URL: "http://x:1/v1", APIKey: "secret-key", Any: true,
		Models: map[string]string{"a": "a", "b": "theirs/b"}},
		{URL: "https://y", Weight: 2.5, Share: 0.125, Drain: true}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, test := range []struct {
		text  string
		wants []string
	}{
		{"", []string{"f.yaml: replicas: must have at least one"}},
		{"replicas: []\n", []string{"must have at least one"}},
		{"replicas: 7\n", []string{"f.yaml:1", "must be a list of mappings"}},
		{"replicas: [\n", []string{"not valid YAML", "f.yaml:1"}},
		{"replica: []\n", []string{`f.yaml:1: unknown key "replica" (did you mean "replicas"?)`}},
		{"- url: x\n", []string{"must be a mapping"}},
		{one("url: x"), []string{"f.yaml:2: replicas[0].url: must be http://host:port", `"x"`}},
		{one("weight: 1"), []string{"f.yaml: replicas[0].url"}},
		{one("url: http://u:p@x"), []string{"replicas[0].url"}},
		{one("url: http://x", "wieght: 1"), []string{`f.yaml:3: unknown key "replicas[0].wieght" (did you mean "weight"?)`}},
		{one("url: http://x", "weight: -1") + "- {url: 'http://y', share_percent: 101}\n", []string{
			"f.yaml:3: replicas[0].weight: must be above 0, got -1",
			"f.yaml:4: replicas[1].share_percent: must be between 0 and 100"}},
		{one("url: http://x", "models: ['=b']"), []string{"f.yaml:3: replicas[0].models: must be names"}},
		{one("url: http://x") + "- url: http://x/\n", []string{"http://x is there twice"}},
		{one("url: http://x", "key_file: "+dir+"/no"), []string{"replicas[0].key_file", "no such file"}},
		{one("url: http://x", "share_percent: 60") + "- {url: 'http://y', share_percent: 60}\n",
			[]string{"at most 1"}},
	} {
		_, err := read(test.text)
		if !errors.Is(err, ErrFile) {
			t.Errorf("%q: %v", test.text, err)
			continue
		}
		for _, w := range test.wants {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q: %v, want %q", test.text, err, w)
			}
		}
	}
	if err := os.WriteFile(key, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := read("replicas:\n- url: http://x\n  key_file: KEY\n"); !errors.Is(err, ErrFile) ||
		!strings.Contains(err.Error(), "empty") {
		t.Error(err)
	}
	if _, err := ReadFile(filepath.Join(dir, "no")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := os.WriteFile(path, make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(path); !errors.Is(err, ErrFile) {
		t.Error(err)
	}
}

// TestExampleFile: the example for operators is valid.
func TestExampleFile(t *testing.T) {
	list, err := ReadFile("../../../deploy/gateway/upstreams.yaml")
	if err != nil || len(list) != 5 {
		t.Errorf("%+v, %v", list, err)
	}
}

// FuzzFile: a file gives servers that New accepts, or an error of the file.
func FuzzFile(f *testing.F) {
	for _, s := range []string{"replicas:\n- {url: 'http://x', models: [a, b=c, '*'], weight: 2}\n",
		"replicas: [*a]\n", "replicas: &a [{<<: *a}]\n", "replicas:\n- {share_percent: .nan, url: 'http://x'}\n",
		"a: &a [*a]\nreplicas: *a\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := parseFile("f", data, func(string) ([]byte, error) { return []byte("key"), nil })
		if err == nil {
			err = CheckServers(list)
		} else if errors.Is(err, ErrFile) {
			return
		}
		if err != nil {
			t.Errorf("%q: %v", data, err)
		}
	})
}

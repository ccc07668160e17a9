package bounded

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml/parser"
)

// TestYAML: a bomb of each form is refused before a parser sees it, and an ordinary file is not.
func TestYAML(t *testing.T) {
	many := strings.Repeat
	for name, text := range map[string]string{
		"large": "a: " + many("x", MostYAML), "lists": "a: " + many("[", 1000),
		"closed lists": "a: " + many("[", 200) + many("]", 200), "mappings": "a: " + many("{a: ", 200),
		"dashes": many("- ", 200) + "x",
		"tabs":   many("-\t", 200) + "x", "question marks": many("? ", 200) + "x", "keys": many("k: 1\n", 20_001),
		"numbers": "a: [" + many("1,", 20_000), "documents": many("--- 1\n", 20_001),
		"tags":    "a: " + many("!!str ", 20_000),
		"anchors": "a: " + many("&a ", 20_000), "aliases": "a: " + many("*a ", 20_000),
		"short lines":      many("\n", 20_001),
		"lists over lines": "a:\n" + many("[\n", 200), "in a text": `a: "` + many("[", 200),
	} {
		if err := YAML([]byte(text)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, text := range map[string]string{
		"nothing": "", "a list": "- - - x\n- [1, [2, 3], {a: b}]\n", "many": many("key: [1, 2]\n", 3000),
		"a long text": "a: |\n" + many("  some words - and more, ?\n", 3000), "negative": "- -1\n- --\n",
	} {
		if err := YAML([]byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestJSON counts values as a decoder would, without the content of texts.
func TestJSON(t *testing.T) {
	for text, ok := range map[string]bool{`{"a":[1,2,{"b":3}]}`: true, `[[[[1]]]]`: false, `"[[[[[[[["`: true,
		`["\"[[[[[[[\\"]`: true, `[1,1,1,1,1,1,1,1,1]`: true, `[1,1,1,1,1,1,1,1,1,1,1]`: false, ``: true,
		`{"a":{"a":{"a":{}}}}`: false, `]]]]]]][[[`: true} {
		if err := JSON([]byte(text), 10, 3); (err == nil) != ok || err != nil && !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestFile: a file above the maximum size is not read.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := File(path, 5); err != nil || string(data) != "12345" {
		t.Errorf("%q %v", data, err)
	}
	if _, err := File(path, 4); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
	if _, err := File(path+"x", 4); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if _, err := File("/dev/zero", 1000); err == nil && os.PathSeparator == '/' {
		t.Error("a device without an end is read")
	}
}

// FuzzYAML: the parser survives everything within the bounds.
func FuzzYAML(f *testing.F) {
	for _, s := range []string{"a: 1", "- - x", "a: [1, {b: c}]", "&a *a", "? x\n: y",
		"%YAML 1.2\n--- |\n a", "!!x y"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 10_000 && YAML(data) == nil {
			parser.ParseBytes(data, 0)
		}
	})
}

// FuzzJSON: a text that a decoder accepts within the bounds has no more values than they allow.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{}`, `[1,"[",{"a":null}]`, `"\u005b"`, `[[[[]]]]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if JSON(data, 50, 5) != nil {
			return
		}
		depth, tokens := 0, 0
		for d := json.NewDecoder(bytes.NewReader(data)); ; tokens++ {
			token, err := d.Token()
			if err != nil {
				return // not JSON
			}
			if token == json.Delim('[') || token == json.Delim('{') {
				depth++
			} else if _, ends := token.(json.Delim); ends {
				depth--
			}
			if depth > 5 || tokens > 200 && !d.More() && depth > 0 {
				t.Fatalf("%q: %d tokens, %d deep", data, tokens, depth)
			}
		}
	})
}

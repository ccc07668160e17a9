package catalog

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// TestDirectories: a directory with one GGUF model is that model; of any other it is said what it holds.
func TestDirectories(t *testing.T) {
	model, err := synth.Bytes(synth.Tiny())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		files map[string]string
		want  string // of the error; "" where it opens
	}{
		"one":          {map[string]string{"m.gguf": string(model), "README.md": ""}, ""},
		"capitals":     {map[string]string{"M.GGUF": string(model)}, ""},
		"two":          {map[string]string{"a.gguf": "x", "b.gguf": "x"}, "holds 2 models"},
		"gptq":         {map[string]string{"config.json": `{"quantization_config":{"quant_method":"gptq"}}`}, "GPTQ"},
		"awq":          {map[string]string{"config.json": `{"quantization_config":{"quant_method":"awq"}}`}, "AWQ"},
		"fp8":          {map[string]string{"config.json": `{"quantization_config":{"quant_method":"fp8"}}`}, "FP8"},
		"safetensors":  {map[string]string{"model-00001-of-00002.safetensors": "x"}, "config.json is missing"},
		"consolidated": {map[string]string{"consolidated.safetensors": "x", "params.json": "{}"}, "consolidated"},
		"pickles":      {map[string]string{"pytorch_model-00001-of-00002.bin": "x"}, "pickles"},
		"empty":        {nil, "holds no model"},
		"broken":       {map[string]string{"m.gguf": "x"}, "m.gguf"},
	} {
		dir := t.TempDir()
		for file, data := range c.files {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(data), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		o, err := Open(dir)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want == "":
			o.Close()
		case !errors.Is(err, ErrRef) || !strings.Contains(err.Error(), c.want) ||
			strings.Contains(err.Error(), "no such model"):
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestWhereModelsAreInstead: a directory without a model says where its models are, or how its pieces are joined.
func TestWhereModelsAreInstead(t *testing.T) {
	model, err := synth.Bytes(synth.Tiny())
	if err != nil {
		t.Fatal(err)
	}
	half := string(model[:len(model)/2])
	for name, c := range map[string]struct {
		files []string
		open  string // below the directory
		hint  string // DIR for it
	}{
		"folders": {[]string{"Q4_K_M/m-00001-of-00002.gguf", "BF16/m.gguf", ".cache/m.gguf", "x/readme"}, "",
			"name one of them: DIR/BF16, DIR/Q4_K_M"},
		"split": {[]string{"m.gguf-split-a", "m.gguf-split-b", "n.txt"}, "",
			"cat DIR/m.gguf-split-a DIR/m.gguf-split-b > DIR/m.gguf"},
		"a part": {[]string{"m.gguf-split-a", "m.gguf-split-b"}, "m.gguf-split-a",
			"cat DIR/m.gguf-split-a DIR/m.gguf-split-b > DIR/m.gguf"},
		"halves": {[]string{"m.gguf.part1of2", "m.gguf.part2of2"}, "",
			"cat DIR/m.gguf.part1of2 DIR/m.gguf.part2of2 > DIR/m.gguf"},
		"pull": {[]string{"m.gguf.part"}, "", "mixtral model pull"},
		"none": {[]string{"notes.txt"}, "", "models are GGUF files"},
	} {
		dir := t.TempDir()
		for _, file := range c.files {
			path := filepath.Join(dir, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(half), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := Open(filepath.Join(dir, c.open))
		var e *Error
		if want := strings.ReplaceAll(c.hint, "DIR", dir); !errors.As(err, &e) || !strings.Contains(e.Hint, want) {
			t.Errorf("%s: %v, hint %q, want %q", name, err, e.Hint, want)
		}
	}
}

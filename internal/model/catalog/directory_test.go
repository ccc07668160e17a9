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

package compare

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/convert"
	"github.com/hxp-enterprise/mixtral/internal/model/convert/hftest"
)

// convertModel writes a calm nano as a Hugging Face directory of BF16 shards and converts it.
func convertModel(t *testing.T, mix string, tokenizerJSON bool) string {
	t.Helper()
	f, err := gguf.Open(writeModel(t, nano(quant.F32, true)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dir := t.TempDir()
	if err := hftest.Write(dir, f, hftest.Options{DType: "BF16", Shards: 3, JSON: tokenizerJSON}); err != nil {
		t.Fatal(err)
	}
	m, err := convert.ParseMix(mix)
	if err != nil {
		t.Fatal(err)
	}
	source, err := convert.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	path := filepath.Join(t.TempDir(), mix+".gguf")
	if _, err := convert.Run(t.Context(), source, path, convert.Options{Mix: m}); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestConvertedInLlamaCpp: what mixtral model quantize makes of a Hugging Face directory loads in llama.cpp, has the
// same vocabulary there, and gives the same greedy tokens where no activation is rounded.
func TestConvertedInLlamaCpp(t *testing.T) {
	for _, tokenizerJSON := range []bool{false, true} {
		path := convertModel(t, "f16", tokenizerJSON)
		tok, llama, engine := readTokenizer(t, path), startOracle(t, path), openOurs(t, path)
		for _, text := range prompts {
			tokens := tok.Encode(text, true)
			if got, want := tok.Encode(text, false), llama.tokenize(t, text); !slices.Equal(got, want) {
				t.Errorf("%q: tokens %v, llama.cpp has %v", text, got, want)
			}
			if got, want := engine.greedy(t, tokens, 24), llama.greedy(t, tokens, 24); !slices.Equal(got, want) {
				t.Errorf("%q:\n  ours      %v\n  llama.cpp %v", text, got, want)
			}
		}
	}
}

// TestMixesInLlamaCpp: files of mixed formats load there and mean the same, under the limit of TestLogitsLikeLlamaCpp.
func TestMixesInLlamaCpp(t *testing.T) {
	for _, mix := range []string{"q4_k_m", "q5_k_s", "q3_k_m", "q2_k"} {
		t.Run(mix, func(t *testing.T) {
			path := convertModel(t, mix, false)
			tok, llama, engine := readTokenizer(t, path), startOracle(t, path), openOurs(t, path)
			for i, text := range prompts[:3] {
				t.Run(fmt.Sprint(i), func(t *testing.T) {
					tokens := tok.Encode(text, true)
					if l := compareRows(t, llama.logits(t, tokens),
						engine.forward(t, tokens, 0, len(tokens))); l.rms > 3e-2 {
						t.Errorf("relative rms %.3g, want ≤ 3e-2", l.rms)
					}
				})
			}
		})
	}
}

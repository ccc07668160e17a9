package compare

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/token"
	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/convert"
	"github.com/hxp-enterprise/mixtral/internal/model/convert/hftest"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// addedFile holds what package convert's tests compare with: the answers to addedTexts.
const addedFile = "../../internal/model/convert/testdata/added.json"

// addedTexts are texts with the tokens of hftest.Flagged.
var addedTexts = []string{
	"", " ", "a", " a", "a b", "<plain>", "a<plain>b", "a <plain> b", " <plain>  <plain>", "a <left> b",
	"a\t\n <left>b",
	"a <right> b", "a<right>\n\t b", "a  <both>  b", "<both> <both>", " <left><right> <both>", "zebra", "a zebra b",
	"zebras", "a,zebra.", "xzebra zebra", "ézebra zebraé", "zebra_ _zebra", "zebra\u200dx", "zebra1 1zebra",
	"zebrazebra", "<norm>", "a<norm>b", "a <norm> b", "<norm><norm> <norm>", "  <norm>", "<plain><norm>",
	"a  <nboth>  b<nboth>c", "a\n<nboth>\nb", "in two zebras now", "two  zebras", "two zebras zebra", "gnu", "a gnu b",
	"gnus", "a gnu", "\ngnu\n", "<special>  a", "a <special><left>", "a  <sleft>b", "</s> a <s>", "<s>a</s>",
	"<plain><left>", "<plain> <left>", "a\u00a0<left>\u3000<right>\u2003b", "<plain", "<<plain>>", "<right>  ",
	"  <left>",
	"<right>", "日本語<both> 中文", "a<s>  <plain> b",
}

// scrambled are random texts of the same stuff.
func scrambled(n int) (texts []string) {
	r := rand.New(rand.NewPCG(15, 3))
	stuff := []string{" ", " ", "  ", "\n", "\t", "a", "b", "the", "é", "_", ".", "1", "zebra", "zebras", "gnu", "two",
		"two zebras", "\u00a0", "\u3000", "<s>", "</s>", "<", ">"}
	for _, a := range hftest.Flagged(0) {
		stuff = append(stuff, a.Content, a.Content)
	}
	for range n {
		var text strings.Builder
		for range 1 + r.IntN(8) {
			text.WriteString(stuff[r.IntN(len(stuff))])
		}
		texts = append(texts, text.String())
	}
	return texts
}

// flaggedModel converts a model whose tokenizer has the tokens of hftest.Flagged, and gives its tokenizer.json too.
func flaggedModel(t *testing.T, spaces string) (tok *token.Tokenizer, file string) {
	t.Helper()
	s := synth.Tiny()
	s.Vocab, s.Type = 600, quant.F16
	f, err := gguf.Open(writeModel(t, s))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dir := t.TempDir()
	if err := hftest.Write(dir, f, hftest.Options{DType: "F16", Shards: 1, JSON: true, Spaces: spaces,
		Added: hftest.Flagged(s.Vocab - len(hftest.Flagged(0)))}); err != nil {
		t.Fatal(err)
	}
	mix, err := convert.ParseMix("f16")
	if err != nil {
		t.Fatal(err)
	}
	model, err := gguf.Open(quantised(t, dir, "", convert.Options{Mix: mix}))
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	spec, err := moe.TokenSpec(model)
	if err != nil {
		t.Fatal(err)
	}
	spec.Pieces = slices.Clone(spec.Pieces)
	for i, p := range spec.Pieces {
		spec.Pieces[i] = strings.Clone(p)
	}
	if tok, err = token.New(spec); err != nil {
		t.Fatal(err)
	}
	return tok, filepath.Join(dir, "tokenizer.json")
}

type addedAnswer struct {
	IDs  []int32 `json:"ids"`
	Text string  `json:"text"`
}

// TestAddedTokensLikeHuggingFace: added tokens are found in texts as Hugging Face's tokenizers finds them, with all
// flags and in all forms in which tokenizers are published, and stand for the same text.
func TestAddedTokensLikeHuggingFace(t *testing.T) {
	forms := slices.Sorted(maps.Keys(hftest.Spaces))
	texts := slices.Concat(addedTexts, scrambled(3000))
	var request struct {
		Tokenizers []string `json:"tokenizers"`
		Texts      []string `json:"texts"`
	}
	request.Texts = texts
	var ours []*token.Tokenizer
	for _, form := range forms {
		tok, file := flaggedModel(t, form)
		ours, request.Tokenizers = append(ours, tok), append(request.Tokenizers, file)
	}
	in, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "added.mjs")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var answers [][]addedAnswer
	if err := json.Unmarshal(out, &answers); err != nil {
		t.Fatal(err)
	}
	fixture := map[string]any{"texts": addedTexts}
	for i, form := range forms {
		wrong, decoded := 0, 0
		for k, want := range answers[i] {
			if got := ours[i].EncodeSpecial(texts[k], false); !slices.Equal(got, want.IDs) {
				if wrong++; wrong < 10 {
					t.Errorf("%s: %q is %q, want %q", form, texts[k], spelled(ours[i], got),
						spelled(ours[i], want.IDs))
				}
			}
			if got := ours[i].Decode(want.IDs); got != want.Text {
				if decoded++; decoded < 10 {
					t.Errorf("%s: %q stand for %q, want %q", form, spelled(ours[i], want.IDs), got, want.Text)
				}
			}
		}
		t.Logf("%s: %d of %d texts differ, %d decoded", form, wrong, len(texts), decoded)
		fixture[form] = answers[i][:len(addedTexts)]
	}
	holds(t, addedFile, fixture)
}

func spelled(tok *token.Tokenizer, ids []int32) (all []string) {
	for _, id := range ids {
		all = append(all, tok.Spelling(id))
	}
	return all
}

// holds compares a file of answers with those given now, or writes it with -update.
func holds(t *testing.T, path string, answers any) {
	t.Helper()
	var now bytes.Buffer
	enc := json.NewEncoder(&now)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(answers); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(path, now.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(old, now.Bytes()) {
		t.Errorf("%s has other answers; -update writes it", path)
	}
}

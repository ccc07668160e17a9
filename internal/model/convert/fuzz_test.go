package convert

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/token"
	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
)

// piece encodes a SentencePiece message: name, score 1, type.
func piece(name string, typ byte) string {
	m := "\x0a" + string(rune(len(name))) + name + "\x15\x00\x00\x80\x3f\x18" + string(rune(typ))
	return "\x0a" + string(rune(len(m))) + m
}

const bpe = "\x12\x02\x18\x02" // trainer_spec{model_type: 2}

func TestSentencePiece(t *testing.T) {
	s, err := parseSentencePiece([]byte(piece("<unk>", 2) + piece("▁a", 1) + bpe + "\x1a\x04\x18\x00\x20\x00"))
	if err != nil || len(s.Pieces) != 2 || s.Pieces[1] != "▁a" || s.Scores[1] != 1 ||
		s.Types[0] != token.TypeUnknown || s.AddSpacePrefix || s.UNK != 0 || s.BOS != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	none := "\x12\x0e\x18\x02\xc8\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" // bos_id: -1, in field 41
	if s, err = parseSentencePiece([]byte(piece("a", 1) + none)); err != nil || s.BOS != -1 {
		t.Errorf("bos %d, %v", s.BOS, err)
	}
	for name, c := range map[string]struct{ data, want string }{
		"empty":       {"", "no pieces"},
		"unigram":     {piece("a", 1), "the model type must be BPE (2), got 1"},
		"text":        {"hello, world", "not a SentencePiece model"},
		"cut":         {piece("a", 1)[:5], "bytes of"},
		"piece cut":   {"\x0a\x03\x0a\x7fa", "piece 0"},
		"endless tag": {strings.Repeat("\xff", 20), "bad tag"},
		"number":      {"\x18" + strings.Repeat("\xff", 20), "bad number"},
		"fixed":       {"\x15\x00", "cut short"},
		"group":       {"\x0b", "wire type 3"},
	} {
		if _, err := parseSentencePiece([]byte(c.data)); !errors.Is(err, errProto) ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTokenizerJSON(t *testing.T) {
	const head = `{"model":{"type":"BPE","byte_fallback":true,"unk_token":"<unk>","vocab":{"<unk>":0,"a":1,"b":2,"ab":3,"<0x41>":4},`
	s, err := parseTokenizerJSON([]byte(head + `"merges":[["a","b"],"a ab"]},"added_tokens":[{"id":5,"content":"<s>","special":true},{"id":6,"content":"x"}],
		"pre_tokenizer":{"type":"Metaspace","prepend_scheme":"first"}}`))
	if err != nil || len(s.Pieces) != 7 || s.Scores[3] != 0 || s.Scores[1] != unreached ||
		s.Types[4] != token.TypeByte || s.Types[5] != token.TypeControl ||
		s.Types[6] != token.TypeUserDefined || s.Types[0] != token.TypeUnknown || s.UNK != 0 || !s.AddSpacePrefix {
		t.Errorf("%+v, %v", s, err)
	}
	for name, c := range map[string]struct{ data, want string }{
		"no JSON":    {"x", "invalid character"},
		"unigram":    {`{"model":{"type":"Unigram"}}`, `model.type must be "BPE", got "Unigram"`},
		"byte level": {`{"model":{"type":"BPE","vocab":{"a":0}}}`, "byte_fallback"},
		"empty":      {`{"model":{"byte_fallback":true}}`, "vocab is empty"},
		"hole":       {`{"model":{"byte_fallback":true,"vocab":{"a":0,"b":7}}}`, "id 7 of 2"},
		"negative":   {`{"model":{"byte_fallback":true,"vocab":{"a":-1}}}`, "id -1"},
		"two":        {`{"model":{"byte_fallback":true,"vocab":{"a":0,"b":0,"c":1}}}`, "have id 0"},
		"no pair":    {head + `"merges":["ab"]}}`, "is not a pair"},
		"three":      {head + `"merges":[["a","b","c"]]}}`, "merge of 3"},
		"added":      {head + `"merges":[]},"added_tokens":[{"id":90,"content":"x"}]}`, "id 90 of 6"},
	} {
		if _, err := parseTokenizerJSON([]byte(c.data)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzVocabulary: whatever the bytes, an error or a vocabulary that another part of the program may judge; never a
// panic.
func FuzzVocabulary(f *testing.F) {
	f.Add([]byte(piece("<unk>", 2) + piece("a", 1) + bpe))
	f.Add([]byte(`{"model":{"type":"BPE","byte_fallback":true,"vocab":{"<unk>":0,"a":1,"b":2,"ab":3},"merges":["a b",["ab","a"]]},"added_tokens":[{"id":4,"content":"<s>","special":true}],"normalizer":{"type":"Prepend","prepend":"▁"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, parse := range []func([]byte) (token.Spec, error){parseSentencePiece, parseTokenizerJSON} {
			s, err := parse(data)
			if err != nil {
				continue
			}
			if len(s.Pieces) != len(s.Scores) || len(s.Pieces) != len(s.Types) || len(s.Pieces) > len(data) {
				t.Fatalf("%d pieces, %d scores, %d types from %d bytes", len(s.Pieces), len(s.Scores), len(s.Types),
					len(data))
			}
			v := vocabulary{Spec: s}
			if v.fill(len(s.Pieces)+3) == nil {
				_, _ = token.New(v.Spec)
			}
		}
	})
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"model_type":"mixtral","hidden_size":64,"intermediate_size":128,"num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,"num_local_experts":8,
		"num_experts_per_tok":2,"max_position_embeddings":512,"vocab_size":300,"eos_token_id":[2,3],"rope_parameters":{"rope_theta":1e6,"rope_type":"default"}}`))
	f.Add([]byte(`{"model_type":"mixtral","head_dim":null,"eos_token_id":"x"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseConfig(data)
		if err == nil && (c.Dim < 1 || c.HeadDim < 2 || c.Experts < c.ExpertsUsed || c.Heads%c.KVHeads != 0) {
			t.Fatalf("accepted %+v", c)
		}
		var added tokenizerConfig
		_ = json.Unmarshal(data, &added)
	})
}

func FuzzImportance(f *testing.F) {
	f.Add(legacy(map[string][]float32{"blk.0.attn_q.weight": {1, 2, 3}}, 4))
	f.Add([]byte("GGUF\x03\x00\x00\x00"))
	sums := NewSums()
	sums.Share(3, 2, "blk.0.ffn_up_exps.weight")
	var file bytes.Buffer
	if err := sums.write(&file); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, _, err := parseSums(data); err == nil {
			if _, err := MergeSums(s, s); err != nil {
				t.Fatalf("it does not fit itself: %v", err)
			}
			var again bytes.Buffer
			if err := s.write(&again); err != nil && !errors.Is(err, gguf.ErrOrder) { // names that no file can have
				t.Fatal(err)
			}
		}
		m, err := parseImportance(data)
		if err != nil {
			return
		}
		n := 0
		for _, v := range m.values {
			n += 4 * len(v)
		}
		if n == 0 || n > len(data) {
			t.Fatalf("%d bytes of values from %d", n, len(data))
		}
	})
}

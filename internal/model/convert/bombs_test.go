package convert

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/hostile"
	"github.com/hxp-enterprise/mixtral/internal/base/token"
)

// honestTokenizer is a tokenizer.json with everything that is read of one.
const honestTokenizer = `{"model":{"type":"BPE","byte_fallback":true,"unk_token":"<unk>","vocab":{"<unk>":0,"a":1,` +
	`"b":2,"ab":3,"<0x41>":4},"merges":["a b",["ab","a"]]},"added_tokens":[{"id":5,"content":"<s>","special":true}],` +
	`"normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"}]},` +
	`"pre_tokenizer":{"type":"Metaspace","prepend_scheme":"first","add_prefix_space":true}}`

const honestConfig = `{"model_type":"mixtral","architectures":["MixtralForCausalLM"],"hidden_size":64,` +
	`"intermediate_size":128,"num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,"head_dim":16,` +
	`"num_local_experts":8,"num_experts_per_tok":2,"max_position_embeddings":512,"vocab_size":300,` +
	`"bos_token_id":1,"eos_token_id":[2,3],"rope_theta":1e6,"rms_norm_eps":1e-5,"hidden_act":"silu",` +
	`"sliding_window":null,"tie_word_embeddings":false,"rope_parameters":{"rope_theta":1e6,"rope_type":"default"}}`

func readTokenizerJSON(data []byte) error { _, err := parseTokenizerJSON(data); return err }
func readConfigJSON(data []byte) error    { _, err := parseConfig(data); return err }
func readMatrix(data []byte) error        { _, _, err := parseSums(data); return err }

// pieces makes a SentencePiece model of the same field over and over.
func pieces(field string, n int) string { return strings.Repeat(field, n) + bpe }

// TestBombs: no small file of a directory becomes a large multiple of itself.
func TestBombs(t *testing.T) {
	if testing.Short() {
		t.Skip("it has one goroutine, so the race detector finds nothing in it")
	}
	const size = 2 << 20 // of values of two bytes: as many as are allowed
	most := hostile.Most{Bytes: 192 << 20}
	for in, texts := range map[string]map[string]string{
		"tokenizer.json": hostile.Texts(`{"model":%s}`, size/8),
		"vocab":          hostile.Texts(`{"model":{"byte_fallback":true,"vocab":%s}}`, size),
		"merges":         hostile.Texts(`{"model":{"byte_fallback":true,"vocab":{"a":0},"merges":%s}}`, size),
		"added":          hostile.Texts(`{"model":{"byte_fallback":true,"vocab":{"a":0}},"added_tokens":%s}`, size),
		"normalizer":     hostile.Texts(`{"model":{"byte_fallback":true,"vocab":{"a":0}},"normalizer":%s}`, size/8),
		"steps": {"in each other": `{"model":{"byte_fallback":true,"vocab":{"a":0}},"normalizer":` +
			strings.Repeat(`{"type":"Sequence","normalizers":[`, 30) + `{"type":"` + strings.Repeat("x", size) + `"}` +
			strings.Repeat(`]}`, 30) + `}`},
	} {
		t.Run(in, func(t *testing.T) { hostile.Bombs(t, texts, most, readTokenizerJSON) })
	}
	const settings = 2 * maxSettings
	most = hostile.Most{Bytes: 48 << 20}
	for in, texts := range map[string]map[string]string{
		"config.json":   hostile.Texts(`%s`, settings),
		"architectures": hostile.Texts(`{"model_type":"x","architectures":%s}`, settings),
		"eos_token_id":  hostile.Texts(`{"model_type":"mixtral","eos_token_id":%s}`, settings),
		"rope":          hostile.Texts(`{"model_type":"mixtral","rope_parameters":%s}`, settings),
	} {
		t.Run(in, func(t *testing.T) { hostile.Bombs(t, texts, most, readConfigJSON) })
	}
	var tokens tokenizerConfig
	config := func(data []byte) error { tokens = tokenizerConfig{}; return decode(data, maxSettings, &tokens) }
	for in, texts := range map[string]map[string]string{
		"added_tokens_decoder": hostile.Texts(`{"added_tokens_decoder":%s}`, settings),
		"chat_template":        hostile.Texts(`{"chat_template":%s}`, settings),
		"bos_token":            hostile.Texts(`{"bos_token":%s}`, settings),
	} {
		t.Run(in, func(t *testing.T) { hostile.Bombs(t, texts, most, config) })
	}
	most = hostile.Most{Bytes: 192 << 20}
	t.Run("tokenizer.model", func(t *testing.T) {
		hostile.Bombs(t, map[string]string{"empty pieces": pieces("\x0a\x00", size),
			"unknown": pieces("\x32\x00", size), "trainers": pieces("\x12\x00", size),
			"one long": "\x0a\xff\xff\xff\xff\x01" + strings.Repeat("x", size),
		}, most, func(data []byte) error { _, err := parseSentencePiece(data); return err })
	})
	t.Run("imatrix", func(t *testing.T) {
		entry := "\x01\x00\x00\x00a\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x80\x3f"
		many := binary.LittleEndian.AppendUint32(nil, math.MaxInt32)
		hostile.Bombs(t, map[string]string{"entries": string(many) + strings.Repeat(entry, size/len(entry)),
			"nothing": string(many), "a long name": "\x01\x00\x00\x00\xff\xff\xff\x7f" + strings.Repeat("x", size)},
			most, readMatrix)
	})
}

// TestMutations: files that are wrong in any way that their structure allows are refused, or read without a panic and
// in proportion to their size.
func TestMutations(t *testing.T) {
	n := 0
	try := func(name string, data []byte, read func([]byte) error) {
		n++
		if got, _ := hostile.Allocated(func() { _ = read(data) }); got > 256<<10 {
			t.Errorf("%s: %d bytes allocated for %d", name, got, len(data))
		}
	}
	if err := readTokenizerJSON([]byte(honestTokenizer)); err != nil {
		t.Fatal(err)
	}
	for name, data := range hostile.JSON([]byte(honestTokenizer)) {
		try("tokenizer.json: "+name, data, func(data []byte) error {
			s, err := parseTokenizerJSON(data)
			if err != nil {
				return err
			}
			v := vocabulary{Spec: s}
			if v.fill(len(s.Pieces)+3) == nil {
				_, err = token.New(v.Spec)
			}
			return err
		})
	}
	if err := readConfigJSON([]byte(honestConfig)); err != nil {
		t.Fatal(err)
	}
	for name, data := range hostile.JSON([]byte(honestConfig)) {
		try("config.json: "+name, data, readConfigJSON)
	}
	sums := NewSums()
	sums.Share(3, 2, "blk.0.ffn_up_exps.weight")
	sums.Share(2, 1, "blk.0.attn_q.weight")
	var file bytes.Buffer
	if err := errors.Join(sums.write(&file), readMatrix(file.Bytes())); err != nil {
		t.Fatal(err)
	}
	for what, honest := range map[string][]byte{"imatrix.gguf": file.Bytes(),
		"imatrix.dat": legacy(map[string][]float32{"blk.0.attn_q.weight": {1, 2, 3}, "b": {1}}, 4)} {
		for name, data := range hostile.Binary(honest, 400) {
			try(what+": "+name, data, func(data []byte) error {
				s, _, err := parseSums(data)
				if err == nil {
					_, err = MergeSums(s, s)
				}
				return err
			})
		}
	}
	model := []byte(piece("<unk>", 2) + piece("a", 1) + bpe + "\x1a\x02\x18\x00")
	for name, data := range hostile.Binary(model, len(model)) {
		try("tokenizer.model: "+name, data, func(data []byte) error { _, err := parseSentencePiece(data); return err })
	}
	if n < 5000 {
		t.Errorf("only %d files were tried", n)
	}
	t.Logf("%d files", n)
}

package convert

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/base/token"
	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
)

// vocabulary is a directory's tokenizer.
type vocabulary struct {
	token.Spec
	addEOS bool
}

// tokenizerConfig is the part of tokenizer_config.json that matters.
type tokenizerConfig struct {
	BOS       tokenText       `json:"bos_token"`
	EOS       tokenText       `json:"eos_token"`
	UNK       tokenText       `json:"unk_token"`
	AddBOS    *bool           `json:"add_bos_token"`
	AddEOS    bool            `json:"add_eos_token"`
	Template  json.RawMessage `json:"chat_template"`
	AddPrefix *bool           `json:"add_prefix_space"`
	Added     map[int32]struct {
		Content string `json:"content"`
		Special bool   `json:"special"`
	} `json:"added_tokens_decoder"`
}

// tokenText is a string, or an object that holds one.
type tokenText string

func (t *tokenText) UnmarshalJSON(b []byte) error {
	var text *string
	if err := json.Unmarshal(b, &text); err == nil {
		if text != nil {
			*t = tokenText(*text)
		}
		return nil
	}
	var object struct {
		Content string `json:"content"`
	}
	err := json.Unmarshal(b, &object)
	*t = tokenText(object.Content)
	return err
}

// The files that hold a vocabulary.
const (
	tokenizerModel = "tokenizer.model"
	tokenizerJSON  = "tokenizer.json"
)

// readTokenizer reads tokenizer.model, or else tokenizer.json, and what tokenizer_config.json adds to it.
func readTokenizer(dir string, c *hfConfig) (*vocabulary, error) {
	v := &vocabulary{}
	name := tokenizerModel
	parse := parseSentencePiece
	data, err := readFile(dir, name)
	if err == nil && data == nil {
		name, parse = tokenizerJSON, parseTokenizerJSON
		data, err = readFile(dir, name)
	}
	switch {
	case err != nil:
		return nil, err
	case data == nil:
		return nil, fmt.Errorf("%w: %s holds neither tokenizer.model nor tokenizer.json", ErrSource, dir)
	}
	if v.Spec, err = parse(data); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrSource, filepath.Join(dir, name), err)
	}
	if err := v.readConfig(dir, c); err != nil {
		return nil, err
	}
	if err := v.fill(c.Vocab); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrSource, filepath.Join(dir, name), err)
	}
	if _, err := token.New(v.Spec); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrSource, filepath.Join(dir, name), err)
	}
	return v, nil
}

// readConfig takes over special tokens, added tokens and the chat template.
func (v *vocabulary) readConfig(dir string, c *hfConfig) error {
	var t tokenizerConfig
	data, err := readFile(dir, "tokenizer_config.json")
	if err != nil {
		return err
	}
	if data != nil {
		if err := decode(data, maxSettings, &t); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrSource, filepath.Join(dir, "tokenizer_config.json"), err)
		}
	}
	for id, a := range t.Added {
		if err := v.add(id, a.Content, a.Special, c.Vocab); err != nil {
			return fmt.Errorf("%w: %s: added_tokens_decoder: %w", ErrSource,
				filepath.Join(dir, "tokenizer_config.json"), err)
		}
	}
	for _, s := range []struct {
		to   *int32
		text tokenText
		id   *int32
	}{{&v.BOS, t.BOS, c.BOS.id}, {&v.EOS, t.EOS, c.EOS.id}, {&v.UNK, t.UNK, nil}} {
		if id := slices.Index(v.Pieces, string(s.text)); s.text != "" && id >= 0 {
			*s.to = int32(id)
		} else if s.id != nil && *s.to < 0 {
			*s.to = *s.id
		}
	}
	if t.AddBOS != nil {
		v.AddBOS = *t.AddBOS
	}
	if t.AddPrefix != nil {
		v.AddSpacePrefix = *t.AddPrefix
	}
	v.addEOS = t.AddEOS
	return v.template(dir, t.Template)
}

// add puts an added token at its id; ids between the vocabulary's end and it stay empty until fill.
func (v *vocabulary) add(id int32, content string, special bool, most int) error {
	if id < 0 || int(id) >= most {
		return fmt.Errorf("id %d of %q is not below vocab_size %d", id, bounded.Short(content, 200), most)
	}
	if int(id) < len(v.Pieces) {
		return nil // <unk>, <s> and </s> are listed, too
	}
	for int(id) >= len(v.Pieces) {
		v.Pieces, v.Scores, v.Types = append(v.Pieces, ""), append(v.Scores, 0), append(v.Types, 0)
	}
	v.Pieces[id], v.Types[id] = content, token.TypeUserDefined
	if special {
		v.Types[id] = token.TypeControl
	}
	return nil
}

// template finds the chat template: a text, a list of named ones whose "default" and "tool_use" count, or a file
// of its own.
func (v *vocabulary) template(dir string, raw json.RawMessage) error {
	var list []struct {
		Name     string `json:"name"`
		Template string `json:"template"`
	}
	if len(raw) > 0 && json.Unmarshal(raw, &v.Template) != nil && json.Unmarshal(raw, &list) == nil {
		for _, t := range list {
			switch t.Name {
			case "default":
				v.Template = t.Template
			case "tool_use":
				v.ToolTemplate = t.Template
			}
		}
	}
	if v.Template != "" {
		return nil
	}
	data, err := readFile(dir, "chat_template.jinja")
	v.Template = string(data)
	return err
}

// fill gives every row of the embedding a piece: models are padded to round sizes.
func (v *vocabulary) fill(rows int) error {
	if len(v.Pieces) > rows {
		return fmt.Errorf("%d pieces, but config.json has vocab_size %d", len(v.Pieces), rows)
	}
	for len(v.Pieces) < rows {
		v.Pieces, v.Scores, v.Types = append(v.Pieces, ""), append(v.Scores, 0), append(v.Types, 0)
	}
	for id, typ := range v.Types {
		if typ == 0 {
			v.Pieces[id], v.Types[id] = fmt.Sprintf("[PAD%d]", id), token.TypeControl // text never becomes it
		}
	}
	return nil
}

// set writes the vocabulary as GGUF readers want it.
func (v *vocabulary) set(w *gguf.Writer) error {
	keys := []struct {
		key   string
		value any
	}{
		{"tokenizer.ggml.model", "llama"}, // SentencePiece
		{"tokenizer.ggml.tokens", v.Pieces},
		{"tokenizer.ggml.scores", v.Scores},
		{"tokenizer.ggml.token_type", v.Types},
		{"tokenizer.ggml.add_bos_token", v.AddBOS},
		{"tokenizer.ggml.add_eos_token", v.addEOS},
		{"tokenizer.ggml.add_space_prefix", v.AddSpacePrefix},
	}
	for _, s := range []struct {
		key string
		id  int32
	}{{"bos_token_id", v.BOS}, {"eos_token_id", v.EOS}, {"unknown_token_id", v.UNK}} {
		if s.id >= 0 {
			keys = append(keys, struct {
				key   string
				value any
			}{"tokenizer.ggml." + s.key, uint32(s.id)})
		}
	}
	if v.Template != "" {
		keys = append(keys, struct {
			key   string
			value any
		}{"tokenizer.chat_template", v.Template})
	}
	if v.ToolTemplate != "" {
		keys = append(keys, struct {
			key   string
			value any
		}{"tokenizer.chat_template.tool_use", v.ToolTemplate})
	}
	for _, kv := range keys {
		if err := w.Set(kv.key, kv.value); err != nil {
			return err
		}
	}
	return nil
}

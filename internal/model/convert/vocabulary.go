package convert

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/hxp-enterprise/mixtral/internal/base/token"
	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
)

// vocabulary is a directory's tokenizer.
type vocabulary struct {
	token.Spec
	padding string // the piece that fills rows of a batch
}

// tokenizerConfig is the part of tokenizer_config.json that matters.
type tokenizerConfig struct {
	BOS       tokenText            `json:"bos_token"`
	EOS       tokenText            `json:"eos_token"`
	UNK       tokenText            `json:"unk_token"`
	AddBOS    *bool                `json:"add_bos_token"`
	AddEOS    bool                 `json:"add_eos_token"`
	Template  json.RawMessage      `json:"chat_template"`
	AddPrefix *bool                `json:"add_prefix_space"`
	Legacy    *bool                `json:"legacy"`
	Added     map[int32]addedToken `json:"added_tokens_decoder"`
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
	padding, err := paddingOf(dir)
	if err != nil {
		return nil, err
	}
	v := &vocabulary{padding: padding}
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
	v.cutPadding(c.Vocab)
	found := name == tokenizerJSON
	if !found {
		if found, err = v.addFromJSON(dir, c.Vocab); err != nil {
			return nil, err
		}
	}
	if err := v.readConfig(dir, c, found); err != nil {
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

// readConfig takes over special tokens, added tokens and the chat template. found says that there is a tokenizer.json.
func (v *vocabulary) readConfig(dir string, c *hfConfig, found bool) error {
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
	if err := v.addTokens(dir, t.Added, c.Vocab); err != nil {
		return err
	}
	for _, s := range []struct {
		to   *int32
		text tokenText
		ids  tokenID
	}{{&v.BOS, t.BOS, c.BOS}, {&v.EOS, t.EOS, c.EOS}, {&v.UNK, t.UNK, nil}} {
		if id := slices.Index(v.Pieces, string(s.text)); s.text != "" && id >= 0 {
			*s.to = int32(id)
		} else if len(s.ids) > 0 && *s.to < 0 {
			*s.to = s.ids[0]
		}
	}
	if err := v.ends(dir, c); err != nil {
		return err
	}
	if t.AddBOS != nil {
		v.AddBOS = *t.AddBOS
	}
	if t.AddPrefix != nil {
		v.AddSpacePrefix = *t.AddPrefix
	}
	if !found && t.Legacy != nil && !*t.Legacy { // what transformers makes of it has this scheme
		v.Metaspace = token.MetaspaceFirst
	}
	if !v.AddSpacePrefix && v.Metaspace != "" {
		v.Metaspace = token.MetaspaceNever
	}
	v.AddEOS = t.AddEOS
	return v.template(dir, t.Template)
}

// ends takes over what ends an answer beside EOS: config.json and generation_config.json may list several ids.
func (v *vocabulary) ends(dir string, c *hfConfig) error {
	const name = "generation_config.json"
	data, err := readFile(dir, name)
	if err != nil {
		return err
	}
	var g struct {
		EOS tokenID `json:"eos_token_id"`
	}
	if data != nil {
		if err := decode(data, maxSettings, &g); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrSource, filepath.Join(dir, name), err)
		}
	}
	for _, id := range slices.Concat(c.EOS, g.EOS) {
		if id >= 0 && int(id) < c.Vocab && id != v.EOS && !slices.Contains(v.Ends, id) {
			v.Ends = append(v.Ends, id)
		}
	}
	return nil
}

// paddingOf gives the piece that a directory's files name as padding. Fine-tunes add one beyond the embedding's rows,
// because no text and no model ever has it.
func paddingOf(dir string) (string, error) {
	var t struct {
		Padding tokenText `json:"pad_token"`
	}
	for _, name := range []string{"special_tokens_map.json", "tokenizer_config.json"} {
		data, err := readFile(dir, name)
		if err != nil {
			return "", err
		}
		if data != nil {
			if err := decode(data, maxSettings, &t); err != nil {
				return "", fmt.Errorf("%w: %s: %w", ErrSource, filepath.Join(dir, name), err)
			}
		}
	}
	return string(t.Padding), nil
}

// cutPadding leaves out padding beyond the embedding's rows.
func (v *vocabulary) cutPadding(rows int) {
	for n := len(v.Pieces) - 1; n >= rows && v.padding != "" && v.Pieces[n] == v.padding; n-- {
		v.SetFlag(int32(n), token.Flags{})
		v.Pieces, v.Scores, v.Types = v.Pieces[:n], v.Scores[:n], v.Types[:n]
	}
}

// template finds the chat templates as transformers does: chat_template.jinja and additional_chat_templates/NAME.jinja
// come before chat_template.json, and that before tokenizer_config.json, which has a text or a list of named ones.
// Those named "default" and "tool_use" count.
func (v *vocabulary) template(dir string, raw json.RawMessage) error {
	v.templatesOf(raw)
	const old = "chat_template.json"
	data, err := readFile(dir, old)
	if err != nil {
		return err
	}
	if data != nil {
		var t struct {
			Template json.RawMessage `json:"chat_template"`
		}
		if err := decode(data, maxSettings, &t); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrSource, filepath.Join(dir, old), err)
		}
		v.templatesOf(t.Template)
	}
	for _, file := range []struct {
		name string
		to   *string
	}{{"chat_template.jinja", &v.Template}, {toolTemplate, &v.ToolTemplate}} {
		if data, err = readFile(dir, file.name); err != nil {
			return err
		}
		if data != nil {
			*file.to = string(data)
		}
	}
	return nil
}

// toolTemplate is the file of the template for conversations with tools.
const toolTemplate = "additional_chat_templates/tool_use.jinja"

// templatesOf reads a template, or a list of named ones.
func (v *vocabulary) templatesOf(raw json.RawMessage) {
	var list []struct {
		Name     string `json:"name"`
		Template string `json:"template"`
	}
	if len(raw) == 0 || json.Unmarshal(raw, &v.Template) == nil || json.Unmarshal(raw, &list) != nil {
		return
	}
	for _, t := range list {
		switch t.Name {
		case "default":
			v.Template = t.Template
		case "tool_use":
			v.ToolTemplate = t.Template
		}
	}
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
	keys := []metadata{
		{"tokenizer.ggml.model", "llama"}, // SentencePiece
		{"tokenizer.ggml.tokens", v.Pieces},
		{"tokenizer.ggml.scores", v.Scores},
		{"tokenizer.ggml.token_type", v.Types},
		{"tokenizer.ggml.add_bos_token", v.AddBOS},
		{"tokenizer.ggml.add_eos_token", v.AddEOS},
		{"tokenizer.ggml.add_space_prefix", v.AddSpacePrefix},
	}
	for _, s := range []struct {
		key string
		id  int32
	}{{"bos_token_id", v.BOS}, {"eos_token_id", v.EOS}, {"unknown_token_id", v.UNK}} {
		if s.id >= 0 {
			keys = append(keys, metadata{"tokenizer.ggml." + s.key, uint32(s.id)})
		}
	}
	if v.Template != "" {
		keys = append(keys, metadata{"tokenizer.chat_template", v.Template})
	}
	if len(v.Ends) > 0 {
		keys = append(keys, metadata{"tokenizer.ggml.eos_token_ids", append([]int32{v.EOS}, v.Ends...)})
	}
	flags := v.FlagLists()
	if v.Metaspace != "" && (v.Metaspace != token.MetaspaceNever || len(flags) > 0) { // it matters to flags alone
		keys = append(keys, metadata{token.MetaspaceKey, v.Metaspace})
	}
	for _, key := range slices.Sorted(maps.Keys(flags)) {
		keys = append(keys, metadata{key, flags[key]})
	}
	if v.ToolTemplate != "" {
		keys = append(keys, metadata{"tokenizer.chat_template.tool_use", v.ToolTemplate})
	}
	for _, kv := range keys {
		if err := w.Set(kv.key, kv.value); err != nil {
			return err
		}
	}
	return nil
}

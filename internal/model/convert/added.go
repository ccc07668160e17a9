package convert

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/base/token"
)

// addedToken is a piece that was put into a vocabulary after its training, or that got another name.
type addedToken struct {
	ID      int32  `json:"id"`
	Content string `json:"content"`
	Special bool   `json:"special"`

	LStrip     bool  `json:"lstrip"`
	RStrip     bool  `json:"rstrip"`
	SingleWord bool  `json:"single_word"`
	Normalized *bool `json:"normalized"`
}

// flags says how the tokenizer finds it. Control tokens are found wherever a template writes them: some files have
// them normalized by mistake, and the mark of an answer's end would be found at the beginning of a text alone.
// normalized is what a file that does not say it means.
func (a addedToken) flags(normalized bool) token.Flags {
	if a.Normalized != nil {
		normalized = *a.Normalized
	}
	return token.Flags{LStrip: a.LStrip, RStrip: a.RStrip, SingleWord: a.SingleWord,
		Normalized: normalized && !a.control()}
}

func (a addedToken) control() bool { return a.Special || token.Marks(a.Content) }

// addFromJSON takes over the added tokens of the tokenizer.json beside a tokenizer.model, and where it puts spaces:
// transformers reads it first. found is false if there is none.
func (v *vocabulary) addFromJSON(dir string, most int) (found bool, err error) {
	const name = "tokenizer.json"
	data, err := readFile(dir, name)
	if data == nil || err != nil {
		return false, err
	}
	var t struct {
		Added        []addedToken    `json:"added_tokens"`
		Normalizer   json.RawMessage `json:"normalizer"`
		PreTokenizer json.RawMessage `json:"pre_tokenizer"`
	}
	if err := decode(data, maxValues, &t); err != nil {
		return true, fmt.Errorf("%w: %s: %w", ErrSource, filepath.Join(dir, name), err)
	}
	steps, err := stepsOf(t.Normalizer, t.PreTokenizer)
	if err != nil {
		return true, fmt.Errorf("%w: %s: %w", ErrSource, filepath.Join(dir, name), err)
	}
	if len(t.Normalizer)+len(t.PreTokenizer) > 0 { // parts of a file are written by hand, and say nothing of spaces
		v.AddSpacePrefix, v.Metaspace = steps.prefix, steps.scheme
	}
	for _, a := range t.Added {
		if err := v.add(a, most, false); err != nil {
			return true, fmt.Errorf("%w: %s: added_tokens: %w", ErrSource, filepath.Join(dir, name), err)
		}
	}
	return true, nil
}

// addTokens takes over added_tokens.json, the form of older files, and then the added_tokens_decoder of
// tokenizer_config.json, which decides where they differ.
func (v *vocabulary) addTokens(dir string, decoder map[int32]addedToken, most int) error {
	const name = "added_tokens.json"
	data, err := readFile(dir, name)
	if err != nil {
		return err
	}
	if data != nil {
		var ids map[string]int32
		if err := decode(data, maxSettings, &ids); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrSource, filepath.Join(dir, name), err)
		}
		special, err := specialTokens(dir)
		if err != nil {
			return err
		}
		for _, content := range slices.SortedFunc(maps.Keys(ids), func(a, b string) int {
			return cmp.Or(cmp.Compare(ids[a], ids[b]), cmp.Compare(a, b))
		}) {
			if err := v.add(addedToken{ID: ids[content], Content: content, Special: special[content]}, most,
				true); err != nil {
				return fmt.Errorf("%w: %s: %w", ErrSource, filepath.Join(dir, name), err)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(decoder)) {
		a := decoder[id]
		a.ID = id
		if err := v.add(a, most, true); err != nil {
			return fmt.Errorf("%w: %s: added_tokens_decoder: %w", ErrSource,
				filepath.Join(dir, "tokenizer_config.json"), err)
		}
	}
	return nil
}

// specialTokens gives the pieces that special_tokens_map.json names: added_tokens.json does not say which are special.
func specialTokens(dir string) (map[string]bool, error) {
	const name = "special_tokens_map.json"
	data, err := readFile(dir, name)
	if data == nil || err != nil {
		return nil, err
	}
	var all map[string]json.RawMessage
	if err := decode(data, maxSettings, &all); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrSource, filepath.Join(dir, name), err)
	}
	special := map[string]bool{}
	for _, raw := range all {
		var list []tokenText
		var one tokenText
		if json.Unmarshal(raw, &list) != nil && json.Unmarshal(raw, &one) == nil {
			list = []tokenText{one}
		}
		for _, text := range list {
			special[string(text)] = true
		}
	}
	return special, nil
}

// add puts an added token at its id, in place of the piece that the vocabulary has there: a fine-tune may give an id
// another name. Ids between the vocabulary's end and it stay empty until fill. normalized is what a token is that is
// not special and does not say it: so it is in Transformers, in tokenizer.json all say it.
func (v *vocabulary) add(a addedToken, most int, normalized bool) error {
	switch {
	case int(a.ID) >= most && a.Content == v.padding && a.Content != "":
		return nil
	case a.ID < 0 || int(a.ID) >= most:
		return fmt.Errorf("id %d of %q is not below vocab_size %d", a.ID, bounded.Short(a.Content, 200), most)
	case a.Content == "":
		return fmt.Errorf("id %d has no text", a.ID)
	}
	for int(a.ID) >= len(v.Pieces) {
		v.Pieces, v.Scores, v.Types = append(v.Pieces, ""), append(v.Scores, 0), append(v.Types, 0)
	}
	v.SetFlag(a.ID, a.flags(normalized))
	if v.Pieces[a.ID] == a.Content && v.Types[a.ID] != token.TypeNormal && v.Types[a.ID] != 0 {
		return nil // <unk>, <s> and </s> are listed, too
	}
	v.Pieces[a.ID], v.Scores[a.ID], v.Types[a.ID] = a.Content, token.AddedScore, token.TypeUserDefined
	if a.control() {
		v.Scores[a.ID], v.Types[a.ID] = 0, token.TypeControl
	}
	return nil
}

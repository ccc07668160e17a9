package convert

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/base/token"
)

// errTokenizer is matched by errors about a tokenizer.json that this service's tokenizer could not follow.
var errTokenizer = errors.New("not a SentencePiece tokenizer")

// hfTokenizer is the part of tokenizer.json that a converted SentencePiece BPE has.
type hfTokenizer struct {
	Model struct {
		Type         string           `json:"type"`
		Vocab        map[string]int32 `json:"vocab"`
		Merges       []merge          `json:"merges"`
		ByteFallback bool             `json:"byte_fallback"`
		Unknown      *string          `json:"unk_token"`
	} `json:"model"`
	Added        []addedToken    `json:"added_tokens"`
	Normalizer   json.RawMessage `json:"normalizer"`
	PreTokenizer json.RawMessage `json:"pre_tokenizer"`
}

// merge is a pair, written "a b" or ["a","b"].
type merge struct{ left, right string }

func (m *merge) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err == nil {
		left, right, ok := strings.Cut(text, " ")
		if !ok {
			return fmt.Errorf("%w: merge %q is not a pair", errTokenizer, bounded.Short(text, 200))
		}
		m.left, m.right = left, right
		return nil
	}
	var pair []string
	if err := json.Unmarshal(b, &pair); err != nil {
		return err
	}
	if len(pair) != 2 {
		return fmt.Errorf("%w: merge of %d parts", errTokenizer, len(pair))
	}
	m.left, m.right = pair[0], pair[1]
	return nil
}

// unreached is the score of a piece that no merge makes: any merge comes before it.
const unreached = -1e9

// parseTokenizerJSON reads tokenizer.json. SentencePiece ranks pieces and this file ranks merges; all merges that
// make one piece stand together there, so a piece's score is the rank of its first.
func parseTokenizerJSON(data []byte) (token.Spec, error) {
	s := token.Spec{UNK: -1, BOS: -1, EOS: -1, AddBOS: true}
	var t hfTokenizer
	if err := decode(data, maxValues, &t); err != nil {
		return s, err
	}
	switch {
	case t.Model.Type != "BPE" && t.Model.Type != "":
		return s, fmt.Errorf("%w: model.type must be \"BPE\", got %q", errTokenizer,
			bounded.Short(t.Model.Type, 200))
	case !t.Model.ByteFallback:
		return s, fmt.Errorf("%w: model.byte_fallback is not set: byte-level vocabularies are not supported",
			errTokenizer)
	case len(t.Model.Vocab) == 0:
		return s, fmt.Errorf("%w: model.vocab is empty", errTokenizer)
	}
	n := len(t.Model.Vocab)
	ids := make(map[int32]bool, n)
	for _, id := range t.Model.Vocab {
		ids[id] = true
	}
	for _, a := range t.Added {
		ids[a.ID] = true
	}
	n = len(ids) // ids must be 0 … n−1
	s.Pieces, s.Scores, s.Types = make([]string, n), make([]float32, n), make([]int32, n)
	for piece, id := range t.Model.Vocab {
		if id < 0 || int(id) >= n {
			return s, fmt.Errorf("%w: model.vocab: %q has id %d of %d pieces", errTokenizer,
				bounded.Short(piece, 200), id, n)
		}
		if s.Types[id] != 0 {
			return s, fmt.Errorf("%w: model.vocab: %q and %q have id %d", errTokenizer,
				bounded.Short(s.Pieces[id], 200), bounded.Short(piece, 200), id)
		}
		s.Pieces[id], s.Scores[id], s.Types[id] = piece, unreached, token.TypeNormal
		if isBytePiece(piece) {
			s.Scores[id], s.Types[id] = 0, token.TypeByte
		}
	}
	for rank := len(t.Model.Merges) - 1; rank >= 0; rank-- {
		m := t.Model.Merges[rank]
		if id, ok := t.Model.Vocab[m.left+m.right]; ok {
			s.Scores[id] = -float32(rank)
		}
	}
	for _, a := range t.Added {
		if a.ID < 0 || int(a.ID) >= n {
			return s, fmt.Errorf("%w: added_tokens: %q has id %d of %d", errTokenizer,
				bounded.Short(a.Content, 200), a.ID, n)
		}
		s.Pieces[a.ID], s.Scores[a.ID], s.Types[a.ID] = a.Content, token.AddedScore, token.TypeUserDefined
		s.SetFlag(a.ID, a.flags(false))
		if a.control() {
			s.Scores[a.ID], s.Types[a.ID] = 0, token.TypeControl
		}
	}
	if t.Model.Unknown != nil {
		if id, ok := t.Model.Vocab[*t.Model.Unknown]; ok {
			s.UNK, s.Types[id] = id, token.TypeUnknown
		}
	}
	steps, err := stepsOf(t.Normalizer, t.PreTokenizer)
	if err != nil {
		return s, err
	}
	s.AddSpacePrefix, s.Metaspace = steps.prefix, steps.scheme
	return s, nil
}

func isBytePiece(s string) bool {
	var b byte
	n, err := fmt.Sscanf(s, "<0x%02X>", &b)
	return len(s) == 6 && n == 1 && err == nil
}

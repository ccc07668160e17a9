package convert

import (
	"encoding/json"
	"fmt"

	"github.com/hxp-enterprise/mixtral/internal/base/token"
)

// The service's tokenizer changes a text in one way before it looks for pieces: spaces become "▁", and one may be put
// in front. A vocabulary whose normalizer does more would get other ids for the same text, so it is an error that
// names what it does.

// textSteps is what a tokenizer.json does to a text before it looks for pieces.
type textSteps struct {
	prefix bool   // "▁" is put before it
	scheme string // of Metaspace, see token.Spec
}

// step is a normalizer or a pre-tokenizer of tokenizer.json.
type step struct {
	Type        string            `json:"type"`
	Prepend     string            `json:"prepend"`
	Content     string            `json:"content"`
	Pattern     map[string]string `json:"pattern"`
	Replacement string            `json:"replacement"`
	Scheme      string            `json:"prepend_scheme"`
	Prefix      *bool             `json:"add_prefix_space"`
	Normalizers []json.RawMessage `json:"normalizers"`
	Pre         []json.RawMessage `json:"pretokenizers"`
}

// stepsOf reads the members normalizer and pre_tokenizer.
func stepsOf(normalizer, pre json.RawMessage) (textSteps, error) {
	var t textSteps
	if err := t.read("normalizer", normalizer, 0); err != nil {
		return t, err
	}
	return t, t.read("pre_tokenizer", pre, 0)
}

// maxSteps bounds how deep sequences lie in each other; published files have one.
const maxSteps = 8

func (t *textSteps) read(member string, raw json.RawMessage, depth int) error {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	var s step
	if err := json.Unmarshal(raw, &s); err != nil {
		return fmt.Errorf("%s: %w", member, err)
	}
	if depth > maxSteps {
		return fmt.Errorf("%w: %s: more than %d sequences in each other", errTokenizer, member, maxSteps)
	}
	unknown := func(what string) error {
		return fmt.Errorf("%w: %s: %s changes texts in a way that is not supported; a SentencePiece tokenizer "+
			"prepends \"▁\" and replaces spaces by it", errTokenizer, member, what)
	}
	switch s.Type {
	case "Sequence":
		for _, one := range append(s.Normalizers, s.Pre...) {
			if err := t.read(member, one, depth+1); err != nil {
				return err
			}
		}
	case "Prepend":
		if s.Prepend != token.Space {
			return unknown("Prepend of " + quoted(s.Prepend))
		}
		t.prefix = true
	case "Replace":
		if s.Pattern["String"] != " " || s.Content != token.Space {
			return unknown("Replace of " + quoted(s.Pattern["String"]) + " by " + quoted(s.Content))
		}
	case "Metaspace":
		switch {
		case s.Replacement != "" && s.Replacement != token.Space:
			return unknown("Metaspace with " + quoted(s.Replacement))
		case t.prefix: // by a Prepend: Metaspace adds nothing to it
		case s.Scheme == token.MetaspaceFirst:
			t.prefix, t.scheme = true, s.Scheme
		case s.Scheme == token.MetaspaceAlways, s.Scheme == "" && (s.Prefix == nil || *s.Prefix): // older
			t.prefix, t.scheme = true, token.MetaspaceAlways
		case s.Scheme == "", s.Scheme == token.MetaspaceNever:
			t.scheme = token.MetaspaceNever
		default:
			return unknown("prepend_scheme " + quoted(s.Scheme))
		}
	default:
		return unknown(quoted(s.Type))
	}
	return nil
}

// normalizerSpec reads SentencePiece's NormalizerSpec (sentencepiece_model.proto). Its fields that are not set have
// the format's defaults.
func normalizerSpec(msg []byte, s *token.Spec) error {
	name, rules, extra, escape := "", 0, true, true
	err := eachField(msg, func(x protoField) error {
		switch {
		case x.number == 1 && x.wire == wireBytes:
			name = string(x.bytes)
		case x.number == 2 && x.wire == wireBytes: // precompiled_charsmap
			rules = len(x.bytes)
		case x.number == 3 && x.wire == wireVarint:
			s.AddSpacePrefix = x.value != 0
		case x.number == 4 && x.wire == wireVarint:
			extra = x.value != 0
		case x.number == 5 && x.wire == wireVarint:
			escape = x.value != 0
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case rules > 0: // without them, a rule of any name changes nothing
		return fmt.Errorf("%w: normalizer_spec: the rules %.40q change the characters of a text, which is not "+
			"supported; Mixtral's are \"identity\"", errProto, name)
	case extra:
		return fmt.Errorf("%w: normalizer_spec: remove_extra_whitespaces is set, which is not supported", errProto)
	case !escape:
		return fmt.Errorf("%w: normalizer_spec: escape_whitespaces is not set, which is not supported", errProto)
	}
	return nil
}

package hftest

// AddedToken is one of tokenizer.json's added_tokens.
type AddedToken struct {
	ID         int    `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

// Flagged are tokens with every flag, in place of the pieces of a vocabulary from id first on.
func Flagged(first int) []AddedToken {
	all := []AddedToken{
		{Content: "<plain>"},
		{Content: "<left>", LStrip: true},
		{Content: "<right>", RStrip: true},
		{Content: "<both>", LStrip: true, RStrip: true},
		{Content: "zebra", SingleWord: true},
		{Content: "<norm>", Normalized: true},
		{Content: "<nboth>", Normalized: true, LStrip: true, RStrip: true},
		{Content: "two zebras", Normalized: true},
		{Content: "gnu", Normalized: true, SingleWord: true},
		{Content: "<special>", Special: true, RStrip: true},
		{Content: "<sleft>", Special: true, LStrip: true},
		{Content: "<plain><left>"},
	}
	for i := range all {
		all[i].ID = first + i
	}
	return all
}

// Spaces are the forms in which published tokenizers say where spaces go: the members normalizer and pre_tokenizer,
// and the decoder that goes with them.
var Spaces = map[string]map[string]any{
	"prepend": {"decoder": decoder, "normalizer": map[string]any{"type": "Sequence", "normalizers": []any{
		map[string]any{"type": "Prepend", "prepend": "▁"},
		map[string]any{"type": "Replace", "pattern": map[string]any{"String": " "}, "content": "▁"}}}},
	"first":  {"decoder": decoder, "pre_tokenizer": metaspace("first")},
	"always": {"decoder": decoder, "pre_tokenizer": metaspace("always")},
	"never": {"decoder": map[string]any{"type": "Sequence", "decoders": decoders[:3]},
		"pre_tokenizer": metaspace("never")},
}

var (
	decoders = []any{
		map[string]any{"type": "Replace", "pattern": map[string]any{"String": "▁"}, "content": " "},
		map[string]any{"type": "ByteFallback"}, map[string]any{"type": "Fuse"},
		map[string]any{"type": "Strip", "content": " ", "start": 1, "stop": 0},
	}
	decoder = map[string]any{"type": "Sequence", "decoders": decoders}
)

func metaspace(scheme string) map[string]any {
	return map[string]any{"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": false}
}

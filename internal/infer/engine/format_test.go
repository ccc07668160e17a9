package engine

import (
	"errors"
	"slices"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/token"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// TestChatFormats: the format is chosen at the start, a wrong wish is an error then, and a model without one refuses
// chats as bad requests and says why in its status.
func TestChatFormats(t *testing.T) {
	messages := []llm.Message{{Role: llm.RoleUser, Content: "</s> hello"}}
	for name, c := range map[string]struct {
		template, format string
		refused          bool
	}{
		"own":     {"", "mistral", false},
		"by name": {"zephyr", "zephyr", false},
		"template": {"{{ bos_token }}{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}", "given",
			false},
		"none": {"none", "", true},
	} {
		e := open(t, synth.Tiny(), Config{ChatTemplate: c.template})
		st := e.Status()
		ids, err := e.TokenizeChat(messages, nil)
		if st.Chat != c.format || (st.NoChat != "") != c.refused || errors.Is(err, llm.ErrBadRequest) != c.refused {
			t.Errorf("%s: format %q, no chat %q, %v", name, st.Chat, st.NoChat, err)
		}
		if name == "template" && (ids[0] != e.tok.BOS() || ids[len(ids)-1] != e.tok.EOS() ||
			slices.Index(ids, e.tok.EOS()) != len(ids)-1) {
			t.Errorf("%s: %v: BOS, the content without control tokens and EOS are wanted", name, ids)
		}
	}
	plain, err1 := open(t, synth.Tiny(), Config{}).Tokenize("a</s>", true)
	special, err2 := open(t, synth.Tiny(), Config{}).TokenizeSpecial("a</s>", true)
	if err1 != nil || err2 != nil || slices.Contains(plain, 2) || special[len(special)-1] != 2 {
		t.Errorf("plain %v, special %v, %v, %v", plain, special, err1, err2)
	}
}

// TestPromptEndsWithEOS: where the file adds EOS, raw prompts have it, unless they ask for no special tokens; chats
// have what the template writes.
func TestPromptEndsWithEOS(t *testing.T) {
	e := open(t, synth.Tiny(), Config{})
	spec := token.Synthetic(synth.Tiny().Vocab, synth.Tiny().Seed)
	spec.AddEOS = true
	var err error
	if e.tok, err = token.New(spec); err != nil {
		t.Fatal(err)
	}
	ends := func(ids []int32, err error) bool {
		if err != nil {
			t.Fatal(err)
		}
		return ids[len(ids)-1] == spec.EOS
	}
	if !ends(e.Tokenize("a", true)) || !ends(e.TokenizeSpecial("a", true)) {
		t.Error("a raw prompt has no EOS")
	}
	if ends(e.Tokenize("a", false)) || ends(e.TokenizeSpecial("a", false)) {
		t.Error("EOS was not asked for")
	}
	if ends(e.TokenizeChat([]llm.Message{{Role: llm.RoleUser, Content: "a"}}, nil)) {
		t.Error("a chat ends with EOS")
	}
}

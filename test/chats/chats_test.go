// Package chats holds whole conversations, as ids, against Hugging Face's own libraries with published vocabularies:
// a model's directory is converted, and its template rendered, as for a request.
package chats

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/need"
	"github.com/hxp-enterprise/mixtral/internal/infer/engine"
	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/model/convert"
	"github.com/hxp-enterprise/mixtral/internal/model/convert/hftest"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
	"github.com/hxp-enterprise/mixtral/test/npm"
)

// family is a kind of published model, as oracle.mjs takes it.
type family struct {
	Name          string         `json:"name"`
	Vocabulary    string         `json:"vocabulary"`
	Spaces        string         `json:"spaces"`
	EOS           string         `json:"eos,omitempty"`
	Added         []addedToken   `json:"added,omitempty"`
	Template      string         `json:"template"`
	ToolTemplate  string         `json:"toolTemplate,omitempty"`
	Conversations []conversation `json:"conversations"`

	format string // the engine's own that the template stands for; empty: the template is rendered
}

type addedToken struct {
	ID      int    `json:"id"`
	Content string `json:"content"`
	Special bool   `json:"special"`
	LStrip  bool   `json:"lstrip"`
	RStrip  bool   `json:"rstrip"`
}

type conversation struct {
	Messages []message `json:"messages"`
	Tools    []tool    `json:"tools,omitempty"`
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
	Name    string `json:"name,omitempty"`
	CallID  string `json:"tool_call_id,omitempty"`
	Calls   []call `json:"tool_calls,omitempty"`
}

type call struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Function struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"`
	} `json:"function"`
}

type tool struct {
	Type     string          `json:"type"`
	Function json.RawMessage `json:"function"`
}

// answer is what the libraries made of a family.
type answer struct {
	Vocab         int
	Conversations []struct {
		Text, Error string
		IDs         []int32
	}
}

// TestChatsLikeHuggingFace: the ids of conversations are those of Transformers' apply_chat_template, but for what
// docs/MODELS.md says: BOS is first also where a template has none.
func TestChatsLikeHuggingFace(t *testing.T) {
	all := families(t)
	dir := t.TempDir()
	made, compared := models{}, 0
	for i, a := range ask(t, dir, all) {
		f, model := all[i], made.dir(t, a.Vocab)
		t.Run(f.Name, func(t *testing.T) {
			e := open(t, filepath.Join(dir, f.Name), model, f.format)
			for k, c := range f.Conversations {
				want := a.Conversations[k]
				if want.Error != "" {
					t.Errorf("conversation %d: %s", k, want.Error)
					continue
				}
				got, err := e.TokenizeChat(c.given())
				if err != nil {
					t.Errorf("conversation %d: %v", k, err)
					continue
				}
				if len(want.IDs) == 0 || want.IDs[0] != 1 {
					want.IDs = append([]int32{1}, want.IDs...)
				}
				if !slices.Equal(got, want.IDs) {
					at := 0
					for at < min(len(got), len(want.IDs)) && got[at] == want.IDs[at] {
						at++
					}
					ours, _ := e.Detokenize(got[at:])
					theirs, _ := e.Detokenize(want.IDs[at:])
					t.Errorf("conversation %d, %q, differs at token %d:\n%v\n%q, want\n%v\n%q", k, want.Text, at,
						got[at:], ours, want.IDs[at:], theirs)
				}
				compared++
			}
		})
	}
	t.Logf("%d conversations of %d families", compared, len(all))
}

// ask runs oracle.mjs, which writes the tokenizers' files into dir.
func ask(t *testing.T, dir string, all []family) (answers []answer) {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		need.Missing(t, "node is missing")
	}
	if err := npm.Install(t.Context(), "."); err != nil {
		need.Missing(t, "%v", err)
	}
	in, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "oracle.mjs", dir)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &answers); err != nil || len(answers) != len(all) {
		t.Fatalf("%d answers to %d families: %v", len(answers), len(all), err)
	}
	return answers
}

// models makes directories with all of a model but its tokenizer, one for each size of vocabulary.
type models map[int]string

func (m models) dir(t *testing.T, vocab int) string {
	t.Helper()
	if m[vocab] != "" {
		return m[vocab]
	}
	b, err := synth.Bytes(synth.Shape{Dim: 32, FFN: 32, Layers: 1, Heads: 2, KVHeads: 2, Experts: 2, Vocab: vocab,
		Context: 1024, Type: quant.F16, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	weights, err := gguf.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := hftest.Write(dir, weights, hftest.Options{DType: "F16", Shards: 1, JSON: true}); err != nil {
		t.Fatal(err)
	}
	m[vocab] = dir
	return dir
}

// open puts a model around a tokenizer's files in dir, converts it, and starts an engine.
func open(t *testing.T, dir, model, format string) *engine.Engine {
	t.Helper()
	for _, name := range []string{"config.json", "model.safetensors"} {
		if err := os.Link(filepath.Join(model, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	source, err := convert.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	mix, err := convert.ParseMix("f16")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "model.gguf")
	if _, err := convert.Run(t.Context(), source, path, convert.Options{Mix: mix}); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(f, engine.Config{Workers: 1, ChatTemplate: format, MaxRunning: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		f.Close()
	})
	return e
}

// given is the conversation as a request has it.
func (c conversation) given() (out []llm.Message, tools *llm.Tools) {
	for _, m := range c.Messages {
		given := llm.Message{Role: m.Role, Content: m.Content, Name: m.Name, CallID: m.CallID}
		for _, x := range m.Calls {
			given.Calls = append(given.Calls, llm.Call{ID: x.ID, Name: x.Function.Name,
				Arguments: string(x.Function.Arguments)})
		}
		out = append(out, given)
	}
	for _, x := range c.Tools {
		if tools == nil {
			tools = &llm.Tools{}
		}
		var f struct {
			Name, Description string
			Parameters        json.RawMessage
		}
		_ = json.Unmarshal(x.Function, &f) // it is ours
		tools.List = append(tools.List, llm.Tool{Name: f.Name, Description: f.Description,
			Parameters: string(f.Parameters), Source: string(x.Function)})
	}
	return out, tools
}

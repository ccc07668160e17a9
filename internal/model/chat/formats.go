package chat

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/token"
	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// ErrNone is matched when a model has no chat format: it was not trained for conversations, or does not say how.
var ErrNone = errors.New("the model has no chat format")

// Format is how conversations are put before a model. It is safe for concurrent use.
type Format struct {
	// Name is "mistral" or "chatml" where the format is known, "the file's own" where its template is rendered.
	Name string

	template *Template // nil: the tokenizer's own [INST] format
	tokens   *token.Tokenizer
	calls    CallForm
	native   bool    // the format has places for tools, calls and results
	tools    *Format // another one for conversations with tools, native; nil: none
	system   bool    // it takes a system message
}

// Calls says how the model writes calls of tools.
func (f *Format) Calls() CallForm {
	if f.tools != nil {
		return f.tools.calls
	}
	return f.calls
}

// UseForTools takes the template that a model has for conversations with tools beside its other one. It is not used
// where the format has a place for tools already, nor where its calls are in no known form.
func (f *Format) UseForTools(source string) error {
	if f.native {
		return nil
	}
	if isMistral(source) {
		if m := mistralFormat(f.tokens); m.native {
			f.tools = m
		}
		return nil
	}
	compiled, err := Compile(source)
	if err != nil {
		return err
	}
	other := &Format{Name: f.Name, template: compiled, tokens: f.tokens}
	if other.probe(); other.native {
		f.tools = other
	}
	return nil
}

// mistralTemplates are the templates that mean Mistral's [INST] format: the SHA-256 of their text without blanks
// around it, and the models that come with them. They are encoded as Mistral's own encoder does, which differs from
// the templates in a space before an answer, takes a system message, and has a place for tools.
var mistralTemplates = []string{
	// Mixtral-8x7B-Instruct-v0.1 and Mistral-7B-Instruct-v0.2 as first published
	"26a59556925c987317ce5291811ba3b7f32ec4c647c400c6cc7e3a9993007ba7",
	// Mixtral-8x7B-Instruct-v0.1 and Mistral-7B-Instruct-v0.2 since 2024
	"bbc58aad99454df60138be9530c9601a0adfe3d8932cda975e1f10b2410ddc51",
	// Mixtral-8x22B-Instruct-v0.1
	"a6fc0e6bc936bd3aecf4b1e4c1208778b2f916f7e55e01bccd3b232f976b9216",
	// Mixtral-8x22B-Instruct-v0.1, tool_use
	"4c8a246880581b094e13db2699544ded1332ffc0e6ff006b581b89c82e2f1851",
	// Mistral-7B-Instruct-v0.3 and Mistral-Small-Instruct-2409
	"cafb64e0e9e5fd2503054b3479593fae39cbdfd52338ce8af9bb4664a8eb05bd",
}

// builtin are templates by name, for models that come without.
var builtin = map[string]string{
	"chatml": "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + " +
		"'<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
	"zephyr": "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + eos_token + " +
		"'\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}",
	"llama-2": "{% set system = '' %}" +
		"{% if messages[0]['role'] == 'system' %}{% set system = '<<SYS>>\n' + messages[0]['content'] + " +
		"'\n<</SYS>>\n\n' %}{% set messages = messages[1:] %}{% endif %}{% for message in messages %}" +
		"{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + ((system if loop.first else '') + " +
		"message['content']).strip() + ' [/INST]' }}{% else %}" +
		"{{ ' ' + message['content'].strip() + ' ' + eos_token }}" +
		"{% endif %}{% endfor %}",
}

const (
	mistral = "mistral"
	none    = "none"
)

// Names lists the formats that Choose knows by name.
func Names() []string {
	names := []string{mistral, none}
	for name := range builtin {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Load gives what Choose takes for what a user wrote: "" and names as they are, and the template in a file.
func Load(nameOrFile string) (string, error) {
	if nameOrFile == "" || slices.Contains(Names(), nameOrFile) {
		return nameOrFile, nil
	}
	f, err := os.Open(nameOrFile)
	if err != nil {
		return "", fmt.Errorf("must be a file or one of %s: %w", strings.Join(Names(), ", "), err)
	}
	defer f.Close()
	source, err := io.ReadAll(io.LimitReader(f, maxSource+1))
	if err != nil {
		return "", err
	}
	if _, err := Compile(string(source)); err != nil {
		return "", err
	}
	return string(source), nil
}

// Choose gives a model's chat format. wanted is what the user asked for: "" for the model's own, a name of Names, or
// a template. own is the template of the model's file; "" where it has none. Then a vocabulary with <|im_start|>
// means ChatML and any other one Mistral's format, as the first files of Mixtral-8x7B-Instruct had no template. Errors
// match ErrNone or ErrTemplate.
func Choose(wanted, own string, t *token.Tokenizer) (*Format, error) {
	source, name := own, "the file's own"
	if wanted != "" {
		source, name = wanted, "given"
		if slices.Contains(Names(), wanted) {
			name, source = wanted, builtin[wanted]
		}
	}
	if source == "" && wanted == "" {
		if name = mistral; t.Has("<|im_start|>") {
			name, source = "chatml", builtin["chatml"]
		}
	}
	if isMistral(source) {
		name = mistral
	}
	switch name {
	case none:
		return nil, fmt.Errorf("%w: it was set to %q", ErrNone, none)
	case mistral:
		return mistralFormat(t), nil
	}
	compiled, err := Compile(source)
	if err != nil {
		return nil, err
	}
	f := &Format{Name: name, template: compiled, tokens: t}
	hello := []llm.Message{{Role: llm.RoleUser, Content: "hello"}}
	if _, err := f.Encode(hello, nil); err != nil { // what takes no greeting takes nothing
		return nil, err
	}
	f.probe()
	return f, nil
}

// isMistral says whether a template is a known one of Mistral's, character by character.
func isMistral(source string) bool {
	source = strings.TrimSpace(source)
	sum := sha256.Sum256([]byte(source))
	return slices.Contains(mistralTemplates, hex.EncodeToString(sum[:])) || source == token.SyntheticTemplate
}

// mistralFormat is the [INST] format. Newer vocabularies have control tokens for tools.
func mistralFormat(t *token.Tokenizer) *Format {
	f := &Format{Name: mistral, tokens: t, calls: mistralCalls, native: true, system: true}
	for _, piece := range []string{"[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_CALLS]",
		"[TOOL_RESULTS]", "[/TOOL_RESULTS]"} {
		if t.Control(piece) < 0 {
			f.calls, f.native = hermesCalls, false
		}
	}
	return f
}

// Encode gives the ids of a conversation (see llm.Arrange) that the model is to answer, with the tools that it may
// call, or to go on with where its last message is the
// assistant's. Its errors match token.ErrRoles, ErrRefused, ErrLimit or ErrTemplate.
func (f *Format) Encode(messages []llm.Message, tools *llm.Tools) ([]int32, error) {
	if len(messages) == 0 {
		return nil, &token.RoleError{Reason: "a user message is missing"}
	}
	withTools := tools != nil || slices.ContainsFunc(messages, func(m llm.Message) bool {
		return m.Role == llm.RoleTool || len(m.Calls) > 0
	})
	if withTools && f.tools != nil {
		return f.tools.Encode(messages, tools)
	}
	if withTools && !f.native {
		var err error
		if messages, err = f.plain(messages, tools); err != nil {
			return nil, err
		}
		tools, withTools = nil, false
	}
	if f.template == nil && !withTools {
		turns := make([]token.Message, len(messages))
		for i, m := range messages {
			turns[i] = token.Message{Role: m.Role, Content: m.Content}
		}
		return f.tokens.Chat(turns)
	}
	parts, err := f.render(messages, tools)
	if err != nil {
		return nil, err
	}
	all := make([]token.Part, len(parts))
	for i, p := range parts {
		all[i] = token.Part(p)
	}
	return f.tokens.EncodeParts(all), nil
}

// render gives a conversation as the model is to read it.
func (f *Format) render(messages []llm.Message, tools *llm.Tools) ([]Part, error) {
	if f.template == nil {
		return f.mistralTools(messages, tools)
	}
	goesOn := messages[len(messages)-1].Role == llm.RoleAssistant
	c := Conversation{Messages: messages, AddGeneration: !goesOn,
		BOS: f.tokens.Spelling(f.tokens.BOS()), EOS: f.tokens.Spelling(f.tokens.EOS())}
	if tools != nil {
		c.Tools = tools.List
	}
	if f.calls == mistralCalls {
		c.Messages = shortIDs(messages)
	}
	parts, err := f.template.Render(c)
	if err != nil {
		return nil, err
	}
	if goesOn { // what a template says behind an answer ends it
		for len(parts) > 0 && !parts[len(parts)-1].Content {
			parts = parts[:len(parts)-1]
		}
	}
	return parts, nil
}

// shortIDs gives messages whose ids are as Mistral's templates want them.
func shortIDs(messages []llm.Message) []llm.Message {
	out := slices.Clone(messages)
	for i := range out {
		out[i].Calls = slices.Clone(out[i].Calls)
		for k := range out[i].Calls {
			out[i].Calls[k].ID = shortID(out[i].Calls[k].ID)
		}
		if out[i].CallID != "" {
			out[i].CallID = shortID(out[i].CallID)
		}
	}
	return out
}

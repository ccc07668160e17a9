package chat

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/token"
)

// ErrNone is matched when a model has no chat format: it was not trained for conversations, or does not say how.
var ErrNone = errors.New("the model has no chat format")

// Format is how conversations are put before a model. It is safe for concurrent use.
type Format struct {
	// Name is "mistral" or "chatml" where the format is known, "the file's own" where its template is rendered.
	Name string

	template *Template // nil: the tokenizer's own [INST] format
	tokens   *token.Tokenizer
}

// The templates that mean Mistral's [INST] format, character by character: those of Mixtral-8x7B-Instruct-v0.1 as
// first published and since 2024, of Mixtral-8x22B-Instruct-v0.1 and of the v0.3 models. They are encoded as
// Mistral's own encoder does, which differs from the templates in a space before an answer, and takes a system
// message.
var (
	//go:embed templates/mixtral-8x7b-instruct-v0.1-first.jinja
	mixtralFirst string
	//go:embed templates/mixtral-8x7b-instruct-v0.1.jinja
	mixtral string
	//go:embed templates/mixtral-8x22b-instruct-v0.1.jinja
	mixtral8x22B string
	//go:embed templates/mistral-instruct-v0.3.jinja
	mistralV3 string
)

var mistralTemplates = []string{mixtralFirst, mixtral, mixtral8x22B, mistralV3, token.SyntheticTemplate}

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
	same := func(s string) bool { return strings.TrimSpace(s) == strings.TrimSpace(source) }
	if slices.ContainsFunc(mistralTemplates, same) {
		name = mistral
	}
	switch name {
	case none:
		return nil, fmt.Errorf("%w: it was set to %q", ErrNone, none)
	case mistral:
		return &Format{Name: mistral, tokens: t}, nil
	}
	compiled, err := Compile(source)
	if err != nil {
		return nil, err
	}
	f := &Format{Name: name, template: compiled, tokens: t}
	if _, err := f.Encode([]Message{{"user", "hello"}}); err != nil { // what takes no greeting takes nothing
		return nil, err
	}
	return f, nil
}

// Encode gives the ids of a conversation that the model is to answer, or to go on with where its last message is the
// assistant's. Its errors match token.ErrRoles, ErrRefused, ErrLimit or ErrTemplate.
func (f *Format) Encode(messages []Message) ([]int32, error) {
	if f.template == nil {
		turns := make([]token.Message, len(messages))
		for i, m := range messages {
			turns[i] = token.Message(m)
		}
		return f.tokens.Chat(turns)
	}
	if len(messages) == 0 {
		return nil, &token.RoleError{Reason: "a user message is missing"}
	}
	goesOn := messages[len(messages)-1].Role == "assistant"
	parts, err := f.template.Render(Conversation{Messages: messages, AddGeneration: !goesOn,
		BOS: f.tokens.Spelling(f.tokens.BOS()), EOS: f.tokens.Spelling(f.tokens.EOS())})
	if err != nil {
		return nil, err
	}
	if goesOn { // what a template says behind an answer ends it
		for len(parts) > 0 && !parts[len(parts)-1].Content {
			parts = parts[:len(parts)-1]
		}
	}
	all := make([]token.Part, len(parts))
	for i, p := range parts {
		all[i] = token.Part(p)
	}
	return f.tokens.EncodeParts(all), nil
}

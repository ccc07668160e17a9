package upstream

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/serve/route"
)

// prepared is a request's body in the form in which it is sent upstream.
type prepared struct {
	body   []byte
	fields map[string]json.RawMessage // nil where the body is not a JSON object
	model  string                     // as the client named it
	stream bool
	other  bool // not one of the routes for completions: its answer may have any form
	hide   bool // the client did not ask for the usage chunk of its stream: it is read and not passed on
}

// knownRoutes are the routes with a known form of answers.
var knownRoutes = []string{"/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize"}

// prepare reads a body and asks for usage.
func prepare(path string, body []byte) (*prepared, error) {
	p := &prepared{body: body, other: !slices.Contains(knownRoutes, path)}
	if err := json.Unmarshal(body, &p.fields); err != nil {
		if p.other { // a form, or an empty body
			p.fields = nil
			return p, nil
		}
		return nil, llm.BadField("body", "is not a JSON object")
	}
	_ = json.Unmarshal(p.fields["model"], &p.model)
	_ = json.Unmarshal(p.fields["stream"], &p.stream)
	if !p.stream || p.other {
		return p, nil
	}
	var options map[string]json.RawMessage
	if raw := p.fields["stream_options"]; len(raw) > 0 && json.Unmarshal(raw, &options) != nil {
		return nil, llm.BadField("stream_options", "is not an object")
	}
	if string(bytes.TrimSpace(options["include_usage"])) != "true" {
		if options == nil {
			options = map[string]json.RawMessage{}
		}
		options["include_usage"] = json.RawMessage("true")
		p.fields["stream_options"], _ = json.Marshal(options)
		p.hide = true
		return p, p.encode()
	}
	return p, nil
}

// encode writes the body again from its fields.
func (p *prepared) encode() error {
	data, err := json.Marshal(p.fields)
	if err != nil {
		return llm.BadField("body", "is not a JSON object")
	}
	p.body = data
	return nil
}

// as sets the model's name to the one that a server uses. A body that needs no change stays as it came, byte for byte.
func (p *prepared) as(there string) error {
	var now string
	if p.fields == nil || p.model == "" || json.Unmarshal(p.fields["model"], &now) != nil || now == there {
		return nil
	}
	p.fields["model"], _ = json.Marshal(there) // a string
	return p.encode()
}

// promptPart is how much of a text counts as the beginning of a conversation. A text that grows keeps its beginning,
// and two texts that share this much share enough to be worth a replica's cache.
const promptPart = 256

// key identifies what a request shares with the others of its conversation: prompt_cache_key if it is set; of a chat
// everything up to the first message of the user; of a text its first 256 bytes. It is 0 if there is none of these.
func (p *prepared) key() uint64 {
	var parts []string
	if raw := p.fields["prompt_cache_key"]; isText(raw) {
		parts = []string{string(raw)}
	} else {
		if raw := p.fields["system"]; len(raw) > 0 { // of /v1/messages
			parts = append(parts, compact(raw))
		}
		for _, name := range []string{"messages", "input", "prompt"} {
			raw := p.fields[name]
			if name == "input" && isText(raw) { // as if it were the first message
				parts = append(parts, llm.RoleUser, compact(raw))
			} else if len(raw) > 0 {
				parts = append(parts, beginning(raw)...)
			}
			if len(raw) > 0 {
				break
			}
		}
	}
	if len(parts) == 0 {
		return 0
	}
	return route.Hash(p.model + "\n" + strings.Join(parts, "\n"))
}

// beginning returns the part of a prompt that stays the same while the conversation goes on.
func beginning(raw json.RawMessage) (parts []string) {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		text := string(bytes.Trim(compacted(raw), `"`))
		return []string{text[:min(len(text), promptPart)]}
	}
	for _, item := range list {
		var message struct {
			Role    string          `json:"role"`
			Content json.RawMessage `json:"content"`
		}
		if json.Unmarshal(item, &message) != nil { // texts or tokens
			text := compact(raw)
			return []string{text[:min(len(text), promptPart)]}
		}
		parts = append(parts, message.Role, compact(message.Content))
		if message.Role == llm.RoleUser {
			break
		}
	}
	return parts
}

func isText(raw json.RawMessage) bool {
	var text string
	return json.Unmarshal(raw, &text) == nil && text != ""
}

// compact returns JSON without white space, since clients write it in different ways.
func compact(raw json.RawMessage) string { return string(compacted(raw)) }

func compacted(raw json.RawMessage) []byte {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return raw
	}
	return b.Bytes()
}

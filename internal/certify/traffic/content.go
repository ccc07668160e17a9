package traffic

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/hxp-enterprise/mixtral/testcases"
)

// promptIn says which fields of each format have the prompts.
var promptIn = map[testcases.Format]string{
	testcases.FormatJSONL:    "it from prompt, text, or the user's messages",
	testcases.FormatShareGPT: "it from conversations, of what human or user says",
	testcases.FormatOpenOrca: "it from question",
	testcases.FormatGSM8K:    "it from question",
	testcases.FormatCSV:      "it from the column prompt, or the one that traffic.column names",
	testcases.FormatMooncake: "lengths from input_length and output_length",
	testcases.FormatBurstGPT: "lengths from the columns Request tokens and Response tokens",
	testcases.FormatAzure:    "lengths from the columns ContextTokens and GeneratedTokens",
}

// content is the content of a message: a text, or a list of parts as in OpenAI's API. Only parts of text are allowed.
type content string

// UnmarshalJSON reads either form.
func (c *content) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		*c = content(text)
		return nil
	}
	var parts []struct{ Type, Text string }
	if err := json.Unmarshal(data, &parts); err != nil {
		return errors.New("content: must be a text, or a list of parts with type and text")
	}
	var b strings.Builder
	for _, p := range parts {
		if p.Type != "text" && p.Type != "input_text" {
			return fmt.Errorf("content: a part of type %q: only text can be sent", p.Type)
		}
		b.WriteString(p.Text)
	}
	*c = content(b.String())
	return nil
}

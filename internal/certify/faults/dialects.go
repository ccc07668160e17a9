package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// Servers whose streams differ from OpenAI's in ways that are found in other servers, gateways and proxies.
const (
	CRLF          Strange = "crlf"            // lines end in CR LF, and the stream begins with a byte order mark
	CR            Strange = "cr"              // lines end in CR
	NamedEvents   Strange = "named-events"    // event, id and retry beside data, and no space after the colons
	ManyLines     Strange = "many-lines"      // indented JSON, with a data line for each of its lines
	Comments      Strange = "comments"        // comments before each event, as OpenRouter sends while a request waits
	PingEvents    Strange = "ping-events"     // events named ping whose data is not JSON
	ByteByByte    Strange = "byte-by-byte"    // a packet for every seven bytes
	NoDone        Strange = "no-done"         // ends after the finish_reason, without [DONE]
	NoFinish      Strange = "no-finish"       // ends with [DONE], without a finish_reason
	FinishAlong   Strange = "finish-along"    // the last text and the finish_reason in the same chunk
	UsageAlong    Strange = "usage-along"     // usage in the chunk with the finish_reason, as in TGI and llama.cpp
	UsageAlways   Strange = "usage-always"    // the usage so far in every chunk
	UsageNull     Strange = "usage-null"      // usage is null in every chunk, the last included
	UsageFloats   Strange = "usage-floats"    // token counts such as 12.0
	Logprobs      Strange = "logprobs-always" // logprobs with every chunk
	AzureFilters  Strange = "azure-filters"   // filter results in a chunk without choices and after the finish_reason
	NullFields    Strange = "null-fields"     // null for reasoning, tool calls, refusal and all other fields
	ContentParts  Strange = "content-parts"   // content is an array of parts, as in Mistral's API
	OwnFinish     Strange = "own-finish"      // eos_token and MAX_TOKENS instead of stop and length
	Letters       Strange = "letters"         // a chunk for every letter
	Fat           Strange = "fat-chunks"      // four tokens in each chunk
	Cumulative    Strange = "cumulative"      // each chunk repeats the text so far
	OtherName     Strange = "other-name"      // answers under the name of another model
	Created201    Strange = "created-201"     // status 201
	LabelledJSON  Strange = "labelled-json"   // a stream labelled application/json
	LabelledSSE   Strange = "labelled-sse"    // a whole answer labelled text/event-stream
	HiddenThought Strange = "hidden-thought"  // counts reasoning in its usage but does not show it, as OpenAI does
	Moderated     Strange = "moderated"       // a content filter withholds all answers
	Refuses       Strange = "refuses"         // puts its text in refusal instead of content
	ToolCalls     Strange = "tool-calls"      // calls a tool that was not offered
	LateError     Strange = "late-error"      // an error inside every third stream
	ObjectError   Strange = "object-error"    // the same, as {"object":"error"}
	EventError    Strange = "event-error"     // the same, as an event named error
)

// DialectOnes lists the servers with unusual streams.
func DialectOnes() []Strange {
	return []Strange{CRLF, CR, NamedEvents, ManyLines, Comments, PingEvents, ByteByByte, NoDone, NoFinish, FinishAlong,
		UsageAlong, UsageAlways, UsageNull, UsageFloats, Logprobs, AzureFilters, NullFields, ContentParts, OwnFinish,
		Letters, Fat, Cumulative, OtherName, Created201, LabelledJSON, LabelledSSE, HiddenThought, Moderated, Refuses,
		ToolCalls, LateError, ObjectError, EventError}
}

var (
	contentField = regexp.MustCompile(`"content":("(?:[^"\\]|\\.)*")`)
	finishField  = regexp.MustCompile(`"finish_reason":("[a-z]+")`)
	tokensField  = regexp.MustCompile(`_tokens":(\d+)`)
	outputField  = regexp.MustCompile(`"completion_tokens":(\d+),"total_tokens":(\d+)`)
)

const doneEvent = "data: [DONE]\n\n"

// dialect is the state of one answer that is being rewritten.
type dialect struct {
	n      int    // events so far
	held   string // an event that is sent later
	text   string // the text so far
	tokens int
	hidden int
	broken bool
}

func content(event string) string {
	m := contentField.FindStringSubmatch(event)
	if m == nil {
		return ""
	}
	var s string
	_ = json.Unmarshal([]byte(m[1]), &s)
	return s
}

// Inner returns the server of the bank that Handler should make strange.
func (s Strange) Inner() Fault {
	if s == HiddenThought {
		return HealthyReasoning
	}
	return Healthy
}

// rewrite returns what is sent instead of an event of a stream. asked is the number of the request, from 1.
func (d *dialect) rewrite(s Strange, h http.Header, event string, asked int64) string {
	d.n++
	done := event == doneEvent
	text := content(event)
	if text != "" {
		d.tokens++
	}
	finish := finishField.MatchString(event)
	usage := strings.Contains(event, `"usage":`)
	switch s {
	case CRLF:
		event = strings.ReplaceAll(event, "\n", "\r\n")
		if d.n == 1 {
			event = "\xef\xbb\xbf" + event
		}
	case CR:
		event = strings.ReplaceAll(event, "\n", "\r")
	case NamedEvents:
		event = fmt.Sprintf("id:%d\nevent:message\nretry:3000\ndata:%s", d.n, strings.TrimPrefix(event, "data: "))
	case ManyLines:
		if !done {
			var b bytes.Buffer
			_ = json.Indent(&b, []byte(strings.TrimSpace(strings.TrimPrefix(event, "data: "))), "", "  ")
			event = "data: " + strings.ReplaceAll(b.String(), "\n", "\ndata: ") + "\n\n"
		}
	case Comments:
		event = ": OPENROUTER PROCESSING\n\n" + event
	case PingEvents:
		event = "event: ping\ndata: 2025-01-01 12:00:00\n\n" + event
	case NoDone:
		if done {
			return ""
		}
	case NoFinish:
		if finish {
			return ""
		}
	case FinishAlong:
		out := d.held
		if finish {
			return strings.Replace(out, `"finish_reason":null`, finishField.FindString(event), 1)
		}
		if !done && !usage {
			d.held = event
			return out
		}
	case UsageAlong:
		if finish {
			d.held = event
			return ""
		}
		if usage {
			return strings.Replace(event, `"choices":[]`, `"choices":`+between(d.held, `"choices":`, "}\n"), 1)
		}
	case UsageAlways:
		if !done && !usage {
			return strings.Replace(event, "}\n", fmt.Sprintf(`,"usage":{"prompt_tokens":20,"completion_tokens":%d,`+
				`"total_tokens":%d}}`+"\n", d.tokens, 20+d.tokens), 1)
		}
	case UsageNull:
		if usage {
			return ""
		}
		event = strings.Replace(event, "}\n", `,"usage":null}`+"\n", 1)
	case UsageFloats:
		event = tokensField.ReplaceAllString(event, `_tokens":$1.0`)
	case Logprobs:
		if text != "" {
			event = strings.Replace(event, `"finish_reason"`, `"logprobs":{"content":[{"token":`+strconv.Quote(text)+
				`,"logprob":-0.1,"bytes":[1,2],"top_logprobs":[{"token":"x","logprob":-1e-3,"bytes":null}]}],`+
				`"refusal":null},"finish_reason"`, 1)
		}
	case AzureFilters:
		if d.n == 1 {
			event = `data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":` +
				`[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}}}]}` +
				"\n\n" + event
		}
		if finish {
			event += `data: {"choices":[{"content_filter_offsets":{"check_offset":44},"content_filter_results":` +
				`{"hate":{"filtered":false,"severity":"safe"}},"finish_reason":null,"index":0}],"created":0,"id":"",` +
				`"model":"","object":""}` + "\n\n"
		}
	case NullFields:
		event = strings.Replace(event, `"delta":{"content"`, `"delta":{"role":null,"reasoning_content":null,`+
			`"reasoning":null,"refusal":null,"tool_calls":null,"function_call":null,"audio":null,"content"`, 1)
	case ContentParts:
		event = contentField.ReplaceAllString(event, `"content":[{"type":"text","text":$1}]`)
	case OwnFinish:
		event = strings.NewReplacer(`"stop"`, `"eos_token"`, `"length"`, `"MAX_TOKENS"`).Replace(event)
	case Letters:
		if text != "" {
			var b strings.Builder
			for _, c := range text {
				b.WriteString(contentField.ReplaceAllLiteralString(event, `"content":`+strconv.Quote(string(c))))
			}
			return b.String()
		}
	case Fat:
		if text != "" {
			if d.text += text; d.tokens%4 != 0 {
				return ""
			}
			event, d.text = contentField.ReplaceAllLiteralString(event, `"content":`+strconv.Quote(d.text)), ""
		} else if finish && d.text != "" {
			event = strings.Replace(event, `"delta":{}`, `"delta":{"content":`+strconv.Quote(d.text)+"}", 1)
		}
	case Cumulative:
		if text != "" {
			d.text += text
			event = contentField.ReplaceAllLiteralString(event, `"content":`+strconv.Quote(d.text))
		}
	case OtherName:
		event = strings.Replace(event, `"model":"`+ModelID, `"model":"another-model-2025-01-01`, 1)
	case LabelledJSON:
		h.Set("Content-Type", "application/json")
	case LabelledSSE:
		h.Set("Content-Type", "text/event-stream")
	case HiddenThought:
		if strings.Contains(event, `"reasoning_content"`) {
			d.hidden++
			return ""
		}
		if usage {
			event = outputField.ReplaceAllString(event, fmt.Sprintf(`$0,"completion_tokens_details":`+
				`{"reasoning_tokens":%d}`, d.hidden))
		}
	case Moderated:
		if text != "" {
			return ""
		}
		event = finishField.ReplaceAllString(event, `"finish_reason":"content_filter"`)
	case Refuses:
		event = contentField.ReplaceAllString(event, `"refusal":$1`)
	case ToolCalls:
		event = contentField.ReplaceAllString(event, `"tool_calls":[{"index":0,"id":"a","type":"function",`+
			`"function":{"name":"f","arguments":$1}}]`)
		event = strings.Replace(event, `"stop"`, `"tool_calls"`, 1)
	case LateError, ObjectError, EventError:
		if d.broken || d.n == 4 && asked > 2 && asked%3 == 0 {
			if d.broken {
				return ""
			}
			d.broken = true
			return map[Strange]string{
				LateError:   `data: {"error":{"message":"engine ran out of blocks","code":500}}`,
				ObjectError: `data: {"object":"error","message":"engine ran out of blocks","code":500}`,
				EventError:  "event: error\ndata: {\"message\":\"engine ran out of blocks\"}",
			}[s] + "\n\n"
		}
	}
	return event
}

// between returns the text between from and to.
func between(s, from, to string) string {
	_, s, _ = strings.Cut(s, from)
	s, _, _ = strings.Cut(s, to)
	return s
}

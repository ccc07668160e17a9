package chat

import (
	"encoding/json"
	"hash/fnv"
	"strings"
	"unicode"

	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// CallForm is how a model writes calls of tools:
//
//	Begin call Between call … End
//
// where each call is {"name": "NAME", "arguments": OBJECT}. A model that writes Trigger, which Begin begins with, is
// about to write calls. Trigger and others of the texts may be spellings of control tokens.
type CallForm struct {
	Trigger, Begin, Between, End string
}

var (
	// mistralCalls is the form of Mixtral-8x22B-Instruct and of the v0.3 models, but for ids, which only the history
	// has.
	mistralCalls = CallForm{Trigger: "[TOOL_CALLS]", Begin: "[TOOL_CALLS] [", Between: ", ", End: "]"}
	// hermesCalls is the form of Nous Research's models, and of many others since.
	hermesCalls = CallForm{Trigger: "<tool_call>", Begin: "<tool_call>\n", Between: "\n</tool_call>\n<tool_call>\n",
		End: "\n</tool_call>"}
)

// ControlPieces are the pieces of forms that some vocabularies have as control tokens.
var ControlPieces = []string{mistralCalls.Trigger, hermesCalls.Trigger, "</tool_call>"}

const (
	beginName = `{"name": "`
	endName   = `", "arguments": `
	endCall   = "}"
)

// Around gives what stands before and behind the arguments of a call.
func (CallForm) Around(name string) (begin, end string) { return beginName + name + endName, endCall }

// Reader takes calls out of an answer whose calls keep to a CallForm. It is for one goroutine.
type Reader struct {
	form  CallForm
	id    func() string
	state readerState
	held  string // text that may be the beginning of Trigger, or is blank so far; or what stands around arguments
	calls int    // that have begun

	// of the arguments under way
	depth   int
	quoted  bool
	escaped bool
}

type readerState uint8

const (
	inText readerState = iota
	inForm             // what stands around arguments
	inArguments
)

// NewReader reads an answer. id gives the ids of its calls.
func NewReader(form CallForm, id func() string) *Reader { return &Reader{form: form, id: id} }

// Calls says how many calls have begun.
func (r *Reader) Calls() int { return r.calls }

// InCalls says whether the text has ended and calls have begun, or are about to.
func (r *Reader) InCalls() bool { return r.state != inText }

// Begin says that the model has given the control token that calls begin with, in a form without a Trigger.
func (r *Reader) Begin() {
	if r.state == inText {
		r.state, r.held = inForm, ""
	}
}

// Write takes the next piece of an answer, and gives the text and the pieces of calls that are certain now. Blanks
// that only calls follow are not text.
func (r *Reader) Write(piece string) (text string, calls []llm.CallPiece) {
	if r.state == inText {
		text, piece = r.text(piece)
	}
	for piece != "" {
		if r.state == inForm {
			piece = r.around(piece, &calls)
		} else {
			piece = r.arguments(piece, &calls)
		}
	}
	return text, calls
}

// Flush gives the text that was held back.
func (r *Reader) Flush() string {
	if r.state != inText {
		return ""
	}
	text := r.held
	r.held = ""
	return text
}

// text looks for the trigger. rest is what stands behind it.
func (r *Reader) text(piece string) (text, rest string) {
	all := r.held + piece
	if r.form.Trigger == "" { // a control token; see Begin
		end := len(strings.TrimRightFunc(all, unicode.IsSpace))
		r.held = all[end:]
		return all[:end], ""
	}
	if before, behind, found := strings.Cut(all, r.form.Trigger); found {
		r.state, r.held = inForm, ""
		return strings.TrimRightFunc(before, unicode.IsSpace), behind
	}
	end := len(all)
	for n := min(len(r.form.Trigger)-1, len(all)); n > 0; n-- {
		if strings.HasSuffix(all, r.form.Trigger[:n]) {
			end -= n
			break
		}
	}
	end = len(strings.TrimRightFunc(all[:end], unicode.IsSpace))
	r.held = all[end:]
	return all[:end], ""
}

// around reads what stands before the arguments of a call.
func (r *Reader) around(piece string, calls *[]llm.CallPiece) (rest string) {
	r.held += piece
	_, name, found := strings.Cut(r.held, beginName)
	if !found {
		return ""
	}
	name, rest, found = strings.Cut(name, endName)
	if !found {
		return ""
	}
	r.held, r.state, r.depth, r.quoted, r.escaped = "", inArguments, 0, false, false
	*calls = append(*calls, llm.CallPiece{Index: r.calls, ID: r.id(), Name: name})
	r.calls++
	return rest
}

// arguments reads a JSON object up to its end.
func (r *Reader) arguments(piece string, calls *[]llm.CallPiece) (rest string) {
	end := len(piece)
	for i := range len(piece) {
		switch c := piece[i]; {
		case r.escaped:
			r.escaped = false
		case r.quoted:
			r.escaped = c == '\\'
			r.quoted = c != '"'
		case c == '"':
			r.quoted = true
		case c == '{' || c == '[':
			r.depth++
		case c == '}' || c == ']':
			r.depth--
		}
		if r.depth == 0 {
			end, r.state = i+1, inForm
			break
		}
	}
	if last := len(*calls) - 1; last >= 0 && (*calls)[last].Index == r.calls-1 {
		(*calls)[last].Arguments += piece[:end]
	} else {
		*calls = append(*calls, llm.CallPiece{Index: r.calls - 1, Arguments: piece[:end]})
	}
	return piece[end:]
}

// idLength is how long Mistral's templates want ids of calls to be: letters and digits.
const (
	idLength  = 9
	idLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
)

// NewID makes the id of a call. number gives a random number below n.
func NewID(number func(n int) int) string {
	var id [idLength]byte
	for i := range id {
		id[i] = idLetters[number(len(idLetters))]
	}
	return string(id[:])
}

// shortID gives an id that another server may have made in the form that Mistral's templates want.
func shortID(id string) string {
	if len(id) == idLength && strings.Trim(id, idLetters) == "" {
		return id
	}
	h := fnv.New64a()
	h.Write([]byte(id))
	sum := h.Sum64()
	return NewID(func(n int) int {
		k := sum % uint64(n)
		sum /= uint64(n)
		return int(k)
	})
}

// find gives the form in which a rendered conversation has a call of a function with arguments; false where it has it
// in none of the known ones.
func find(rendered, name string) (CallForm, bool) {
	for at := 0; ; {
		i := strings.Index(rendered[at:], mistralCalls.Trigger)
		if i < 0 {
			break
		}
		at += i + len(mistralCalls.Trigger)
		var list []probed
		if json.NewDecoder(strings.NewReader(rendered[at:])).Decode(&list) == nil && len(list) == 1 &&
			list[0].is(name) {
			return mistralCalls, true
		}
	}
	for _, part := range strings.Split(rendered, hermesCalls.Trigger)[1:] {
		inner, _, found := strings.Cut(part, "</tool_call>")
		var call probed
		if found && json.Unmarshal([]byte(inner), &call) == nil && call.is(name) {
			return hermesCalls, true
		}
	}
	return CallForm{}, false
}

type probed struct {
	Name      string
	Arguments map[string]any
}

func (p probed) is(name string) bool { return p.Name == name && p.Arguments != nil }

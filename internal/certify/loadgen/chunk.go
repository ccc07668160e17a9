package loadgen

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
)

// piece is the content of one chunk of a stream, or of one unstreamed answer, for choice 0.
type piece struct {
	text    []byte // content; valid while the parsed bytes are unchanged
	thought []byte // reasoning_content or reasoning, likewise
	calls   []callPiece
	// why the tool calls could not be read
	badCalls error
	choices  bool   // there is at least one choice
	finish   string // finish_reason, empty if there is none yet
	usage    bool   // usage is present, with the counts below
	prompt   int
	output   int
	cached   int
	hidden   int    // the part of output that is reasoning, which a server may bill without showing it
	tools    bool   // there is a tool call
	model    []byte // model that answers; valid while the parsed bytes are unchanged
	fault    string // the server's error message, if it sent one instead of an answer
}

var errJSON = errors.New("broken JSON")

// parsePiece reads a chunk. member is the key of the message in a choice: "delta" in streams, "message" in unstreamed
// answers. The usual forms are read in one pass without allocation. Unusual ones (escapes in the text, repeated keys,
// several choices, deep nesting) are read by encoding/json. So is everything that looks wrong, for the error message.
// Keys must match exactly, unlike in encoding/json.
func parsePiece(data []byte, member string) (piece, error) {
	s := scanner{b: data}
	var p piece
	if s.piece(&p, member) {
		return p, nil
	}
	if n := bounded.Values(data); n > maxValues {
		return piece{}, fmt.Errorf("%w: more than %d values", errJSON, maxValues)
	}
	return slowPiece(data, member)
}

// scanner reads JSON. Its methods return false if the slow path must decide.
type scanner struct {
	b []byte
	i int
}

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// take skips c and the white space before it.
func (s *scanner) take(c byte) bool {
	s.space()
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

// null skips null, if that comes next.
func (s *scanner) null() bool { return s.literal("null") }

func (s *scanner) literal(word string) bool {
	s.space()
	if len(s.b)-s.i >= len(word) && string(s.b[s.i:s.i+len(word)]) == word {
		s.i += len(word)
		return true
	}
	return false
}

// str reads a string without escapes and in valid UTF-8.
func (s *scanner) str() ([]byte, bool) {
	if !s.take('"') {
		return nil, false
	}
	for j := s.i; j < len(s.b); j++ {
		switch c := s.b[j]; {
		case c == '"':
			token := s.b[s.i:j]
			s.i = j + 1
			return token, utf8.Valid(token)
		case c == '\\' || c < ' ':
			return nil, false
		}
	}
	return nil, false
}

// skipStr skips a string, which may have escapes.
func (s *scanner) skipStr() bool {
	if !s.take('"') {
		return false
	}
	for ; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return true
		case c < ' ':
			return false
		case c == '\\':
			s.i++
			if s.i == len(s.b) {
				return false
			}
			switch s.b[s.i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				if !s.hex4() {
					return false
				}
			default:
				return false
			}
		}
	}
	return false
}

// hex4 moves to the last of the four hexadecimal digits after \u.
func (s *scanner) hex4() bool {
	if len(s.b)-s.i < 5 {
		return false
	}
	for range 4 {
		s.i++
		c := s.b[s.i]
		letter := c | 0x20 // for letters only, because it would turn a control character into a digit
		if !(c >= '0' && c <= '9' || letter >= 'a' && letter <= 'f') {
			return false
		}
	}
	return true
}

// digits skips digits. There must be at least one.
func (s *scanner) digits() bool {
	from := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		s.i++
	}
	return s.i > from
}

// count reads a whole number of at most 18 digits.
func (s *scanner) count() (int, bool) {
	s.space()
	from := s.i
	if !s.digits() || s.i-from > 18 || s.b[from] == '0' && s.i-from > 1 {
		return 0, false
	}
	if s.i < len(s.b) && (s.b[s.i] == '.' || s.b[s.i]|0x20 == 'e') {
		return 0, false
	}
	n := 0
	for _, c := range s.b[from:s.i] {
		n = n*10 + int(c-'0')
	}
	return n, true
}

// skipNumber skips a number.
func (s *scanner) skipNumber() bool {
	if s.b[s.i] == '-' {
		s.i++
	}
	from := s.i
	if !s.digits() || s.b[from] == '0' && s.i-from > 1 {
		return false
	}
	if s.i < len(s.b) && s.b[s.i] == '.' {
		s.i++
		if !s.digits() {
			return false
		}
	}
	if s.i < len(s.b) && s.b[s.i]|0x20 == 'e' {
		s.i++
		if s.i < len(s.b) && (s.b[s.i] == '+' || s.b[s.i] == '-') {
			s.i++
		}
		return s.digits()
	}
	return true
}

// skip skips any value that is nested at most depth deep.
func (s *scanner) skip(depth int) bool {
	s.space()
	if s.i == len(s.b) || depth == 0 {
		return false
	}
	switch s.b[s.i] {
	case '"':
		return s.skipStr()
	case '{':
		return s.object(func([]byte) bool { return s.skip(depth - 1) })
	case '[':
		return s.array(func() bool { return s.skip(depth - 1) })
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.null()
	}
	return s.skipNumber()
}

// object reads an object. It calls member at each value, which member must read.
func (s *scanner) object(member func(key []byte) bool) bool {
	if !s.take('{') {
		return false
	}
	if s.take('}') {
		return true
	}
	for {
		key, ok := s.str()
		if !ok || !s.take(':') || !member(key) {
			return false
		}
		if !s.take(',') {
			return s.take('}')
		}
	}
}

// array reads an array. It calls element at each value, which element must read.
func (s *scanner) array(element func() bool) bool {
	if !s.take('[') {
		return false
	}
	if s.take(']') {
		return true
	}
	for {
		if !element() {
			return false
		}
		if !s.take(',') {
			return s.take(']')
		}
	}
}

// once is false for a repeated key, because the slow path decides which of the values counts.
func once(seen *uint8, bit uint8) bool {
	again := *seen&bit != 0
	*seen |= bit
	return !again
}

// maxDepth is far deeper than chunks are nested.
const maxDepth = 16

func (s *scanner) piece(p *piece, member string) bool {
	var seen uint8
	ok := s.object(func(key []byte) bool {
		switch string(key) {
		case "choices":
			return once(&seen, 1) && (s.null() || s.choices(p, member))
		case "usage":
			return once(&seen, 2) && (s.null() || s.counts(p))
		case "model":
			if !once(&seen, 4) {
				return false
			}
			if s.null() {
				return true
			}
			var ok bool
			p.model, ok = s.str()
			return ok
		case "error":
			return s.null() // any other value is an error, whose message the slow path finds
		}
		return s.skip(maxDepth)
	})
	s.space()
	// without both, the slow path decides whether it is an error
	return ok && s.i == len(s.b) && (p.choices || p.usage)
}

func (s *scanner) choices(p *piece, member string) bool {
	return s.array(func() bool {
		if p.choices {
			return false // several choices
		}
		p.choices = true
		return s.choice(p, member)
	})
}

func (s *scanner) choice(p *piece, member string) bool {
	var seen uint8
	index := 0
	ok := s.object(func(key []byte) (ok bool) {
		switch string(key) {
		case "index":
			index, ok = s.count()
			return ok && once(&seen, 1)
		case member:
			return once(&seen, 2) && (s.null() || s.message(p))
		case "finish_reason":
			if !once(&seen, 4) {
				return false
			}
			if s.null() {
				return true
			}
			reason, ok := s.str()
			p.finish = finishReason(reason)
			return ok
		}
		return s.skip(maxDepth)
	})
	return ok && index == 0
}

func (s *scanner) message(p *piece) bool {
	var seen uint8
	return s.object(func(key []byte) (ok bool) {
		into, bit := &p.text, uint8(1)
		switch string(key) {
		case "content":
		case "reasoning_content", "reasoning": // vLLM renamed the one to the other; if both are present they are equal
			into, bit = &p.thought, 2
		case "refusal", "function_call":
			return s.null()
		case "tool_calls":
			return s.noCalls()
		default:
			return s.skip(maxDepth)
		}
		if !once(&seen, bit) {
			return false
		}
		if s.null() {
			return true
		}
		*into, ok = s.str()
		return ok
	})
}

func (s *scanner) counts(p *piece) bool {
	var seen uint8
	p.usage = true
	return s.object(func(key []byte) (ok bool) {
		switch string(key) {
		case "prompt_tokens":
			p.prompt, ok = s.count()
			return ok && once(&seen, 1)
		case "completion_tokens":
			p.output, ok = s.count()
			return ok && once(&seen, 2)
		case "prompt_tokens_details":
			return once(&seen, 4) && (s.null() || s.detail("cached_tokens", &p.cached))
		case "completion_tokens_details":
			return once(&seen, 8) && (s.null() || s.detail("reasoning_tokens", &p.hidden))
		}
		return s.skip(maxDepth)
	})
}

// detail reads one count of an object.
func (s *scanner) detail(name string, into *int) bool {
	var seen uint8
	return s.object(func(key []byte) (ok bool) {
		if string(key) != name {
			return s.skip(maxDepth)
		}
		if s.null() {
			return once(&seen, 1)
		}
		*into, ok = s.count()
		return ok && once(&seen, 1)
	})
}

// finishReason returns the usual reasons without allocating a string.
func finishReason(b []byte) string {
	switch string(b) {
	case "stop":
		return "stop"
	case "length":
		return "length"
	}
	return string(b)
}

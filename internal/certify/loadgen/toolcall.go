package loadgen

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// Bounds of the calls of one answer: OpenAI allows 128 tools, and names of 64 bytes.
const maxCalls = 128

// callPiece is what a chunk, or a whole answer, says of one call of a tool.
type callPiece struct {
	index     int // which call it belongs to; −1: the server does not say
	id        string
	name      string
	arguments string
}

// noCalls moves over a member tool_calls that holds none; whatever it holds is for the slow path to read.
func (s *scanner) noCalls() bool {
	return s.null() || s.take('[') && s.take(']')
}

// callsOf reads the calls of a message.
func callsOf(message map[string]json.RawMessage) ([]callPiece, error) {
	raw := message["tool_calls"]
	if !given(raw) {
		return nil, nil
	}
	var all []struct {
		Index    *int
		ID       string
		Function struct{ Name, Arguments string }
	}
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, fmt.Errorf("tool_calls: %w", err)
	}
	out := make([]callPiece, len(all))
	for i, c := range all {
		out[i] = callPiece{-1, c.ID, c.Function.Name, c.Function.Arguments}
		if c.Index != nil {
			out[i].index = *c.Index
		}
	}
	return out, nil
}

// calls are the calls of an answer as they come.
type calls struct {
	all  []*openCall
	kept int // bytes of their arguments
}

type openCall struct {
	index     int
	id, name  string
	arguments strings.Builder
}

// of finds the call that a piece belongs to, or begins one. Some servers give no index; there a new id, or a name
// without one, begins a call. A whole answer has neither index nor pieces.
func (c *calls) of(p callPiece) (*openCall, error) {
	for _, x := range c.all {
		if p.index >= 0 && x.index == p.index {
			return x, nil
		}
	}
	if n := len(c.all); n > 0 && p.index < 0 && (p.id == "" || p.id == c.all[n-1].id) &&
		(p.name == "" || p.id != "") {
		return c.all[n-1], nil
	}
	if len(c.all) == maxCalls {
		return nil, fmt.Errorf("%w: more than %d tool calls in one answer", ErrProtocol, maxCalls)
	}
	x := &openCall{index: p.index, id: p.id}
	c.all = append(c.all, x)
	return x, nil
}

// call takes what a chunk says of calls. Names and arguments are content: tokens that the model wrote.
func (a *answer) call(pieces []callPiece) error {
	for _, p := range pieces {
		x, err := a.calls.of(p)
		if err != nil {
			return err
		}
		name := bounded.Short(p.name, evidence.MaxName)
		if x.name == name {
			name = "" // some servers say it with each piece
		}
		x.name = bounded.Short(x.name+name, evidence.MaxName)
		a.r.TextBytes += len(name) + len(p.arguments)
		a.hash.Write([]byte(name + p.arguments))
		arguments := p.arguments
		if !a.keepText {
			arguments = ""
		} else if room := a.bounds.text - a.calls.kept; len(arguments) > room {
			arguments = arguments[:max(room, 0)]
			a.r.Cut = fmt.Sprintf("arguments of tool calls beyond %d bytes", a.bounds.text)
		}
		x.arguments.WriteString(arguments)
		a.calls.kept += len(arguments)
		if err := a.share.take(len(arguments) + len(name)); err != nil {
			return err
		}
	}
	return nil
}

// record writes the calls into a request's record.
func (c *calls) record(r *evidence.Request, whole bool) {
	if r.ToolCalls = len(c.all); !whole {
		return
	}
	for _, x := range c.all {
		arguments := strings.ToValidUTF8(x.arguments.String(), "")
		r.Calls = append(r.Calls, evidence.Call{Name: x.name, Arguments: arguments})
	}
}

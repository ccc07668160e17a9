package loadgen

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// maxCalls bounds the tool calls of one answer. OpenAI allows 128 tools.
const maxCalls = 128

// callPiece is the part of a tool call in one chunk or in an unstreamed answer.
type callPiece struct {
	index     int // number of the call; −1 if the server does not give it
	id        string
	name      string
	arguments string
}

// noCalls skips a value of tool_calls that has no calls. Calls are read by the slow path.
func (s *scanner) noCalls() bool {
	return s.null() || s.take('[') && s.take(']')
}

// callsOf reads the tool calls of a message.
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

// calls collects the tool calls of an answer as they are received.
type calls struct {
	all  []*openCall
	kept int // bytes of arguments kept
}

type openCall struct {
	index     int
	id, name  string
	arguments strings.Builder
}

// of finds the call to which a piece belongs, or begins a new one. If a server gives no index, a call begins with a
// new id, or with a name if there are no ids. An unstreamed answer has no index, and each of its pieces is a whole
// call.
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

// call adds the tool calls of a chunk. Names and arguments count as content, because the model generated them.
func (a *answer) call(pieces []callPiece) error {
	for _, p := range pieces {
		x, err := a.calls.of(p)
		if err != nil {
			return err
		}
		name := bounded.Short(p.name, evidence.MaxName)
		if x.name == name {
			name = "" // some servers repeat it in each piece
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

// record writes the number of calls into a request's record, and with whole also the calls.
func (c *calls) record(r *evidence.Request, whole bool) {
	if r.ToolCalls = len(c.all); !whole {
		return
	}
	for _, x := range c.all {
		arguments := strings.ToValidUTF8(x.arguments.String(), "")
		r.Calls = append(r.Calls, evidence.Call{Name: x.name, Arguments: arguments})
	}
}

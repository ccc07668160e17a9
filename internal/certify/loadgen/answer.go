package loadgen

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// ErrProtocol is matched by errors about an answer that is not what the API promises.
var ErrProtocol = errors.New("not the OpenAI protocol")

// Reports stands before the message of a server that sends an error as an answer.
const Reports = "the server reports"

// answer turns the content of a response into the fields of a request's record, as bytes come. Times are nanoseconds.
type answer struct {
	r        *evidence.Request
	keepText bool
	bounds   bounds
	share    *share
	text     strings.Builder
	thought  strings.Builder
	calls    calls
	offered  bool // the request offers tools: calls are then what was asked for
	hash     hash.Hash
	choices  bool
	done     bool   // [DONE] has come, or the whole answer
	model    string // that was asked for
	tools    bool   // it calls a tool
	last     []byte // the text of the last chunk, where texts are kept
	repeats  int    // chunks that begin with the whole chunk before them
}

func newAnswer(r *evidence.Request, q *request) *answer {
	a := &answer{r: r, keepText: q.keepText, model: q.model, offered: q.tools, bounds: q.bounds, hash: sha256.New()}
	if q.share.all != nil {
		a.share = &q.share
	}
	return a
}

// event takes an event of a stream. A name that is not OpenAI's, as of a ping, may stand over data that is not a JSON.
func (a *answer) event(name, data []byte, at int64) error {
	switch object := bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")); {
	case len(name) == 0 || a.done || string(name) == "message":
	case string(name) == "error":
		return fmt.Errorf("%w: %s: %s", ErrProtocol, Reports, faultMessage(data))
	case !object && !isDone(data):
		return nil
	}
	return a.chunk(data, at)
}

// chunk takes the data of one event, complete at time at.
func (a *answer) chunk(data []byte, at int64) error {
	switch {
	case a.done:
		return nil // nothing counts behind the end
	case isDone(data):
		a.done, a.r.Done = true, at
		return nil
	case len(data) == 0:
		return nil // an event without data is a sign of life
	}
	p, err := parsePiece(data, "delta")
	if err != nil {
		return fmt.Errorf("%w: chunk %d: %w", ErrProtocol, a.r.Chunks, err)
	}
	return a.add(&p, at)
}

// whole takes a response without streaming. Its content has come at the end; when its first token came nobody knows,
// so First and Chunks stay 0: there is no time to the first token and no time per token in it.
func (a *answer) whole(body []byte, at int64) error {
	p, err := parsePiece(body, "message")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	if err := a.add(&p, at); err != nil {
		return err
	}
	a.done, a.r.Done, a.r.First, a.r.FirstAny, a.r.Chunks = true, at, 0, 0, 0
	a.r.Opened = 0
	return nil
}

func (a *answer) add(p *piece, at int64) error {
	r := a.r
	if p.fault != "" {
		return fmt.Errorf("%w: %s: %s", ErrProtocol, Reports, p.fault)
	}
	if len(p.model) > 0 && r.OtherModel == "" && otherName(p.model, a.model) {
		r.OtherModel = bounded.Short(string(p.model), evidence.MaxName)
	}
	a.choices, a.tools = a.choices || p.choices, a.tools || p.tools
	if p.finish != "" {
		r.Finish = bounded.Short(p.finish, evidence.MaxFinish)
	}
	if p.usage {
		r.HasUsage, r.PromptTokens, r.OutputTokens, r.CachedTokens = true, p.prompt, p.output, p.cached
		r.ReasoningTokens = p.hidden
	}
	if !a.offered {
		p.calls, p.badCalls = nil, nil
	}
	if p.badCalls != nil {
		return fmt.Errorf("%w: chunk %d: %w", ErrProtocol, r.Chunks, p.badCalls)
	}
	silent := len(p.thought) == 0 && len(p.text) == 0 && len(p.calls) == 0
	if silent && p.choices && r.Opened == 0 && r.Chunks+r.Thoughts == 0 {
		r.Opened = at
	}
	if len(p.thought) > 0 {
		if err := a.think(p.thought, at); err != nil {
			return err
		}
	}
	if len(p.text) == 0 && len(p.calls) == 0 {
		return nil
	}
	if r.Chunks+r.Thoughts >= a.bounds.chunks {
		return a.bounds.tooMany()
	}
	if err := a.share.take(4); err != nil { // of its gap
		return err
	}
	if r.Chunks == 0 {
		r.First = at
	} else {
		r.Gaps = append(r.Gaps, int32(min((at-r.Last+500)/1000, math.MaxInt32))) // to the nearest µs, and half an hour
	}
	r.Last = at
	r.Chunks++
	r.TextBytes += len(p.text)
	a.hash.Write(p.text)
	if a.keepText {
		if len(p.text) > len(a.last) && bytes.HasPrefix(p.text, a.last) && r.Chunks > 1 {
			a.repeats++
		}
		a.last = append(a.last[:0], p.text...)
	}
	if err := a.keep(&a.text, p.text); err != nil {
		return err
	}
	return a.call(p.calls)
}

// otherName says that neither name is the beginning of the other: aliases are answered by a version, and Ollama's
// names by name:tag.
func otherName(answers []byte, asked string) bool {
	n := min(len(answers), len(asked))
	return string(answers[:n]) != asked[:n]
}

// keep adds to a text that the record will carry, up to its bound.
func (a *answer) keep(to *strings.Builder, text []byte) error {
	if !a.keepText {
		return nil
	}
	if room := a.bounds.text - to.Len(); len(text) > room {
		for room > 0 && !utf8.RuneStart(text[room]) {
			room--
		}
		text = text[:room]
		a.r.Cut = fmt.Sprintf("the text beyond %d bytes", a.bounds.text)
	}
	to.Write(text)
	return a.share.take(len(text))
}

// think takes reasoning: tokens that are timed like any other, and no content.
func (a *answer) think(text []byte, at int64) error {
	r := a.r
	if r.Chunks+r.Thoughts >= a.bounds.chunks {
		return a.bounds.tooMany()
	}
	if r.Thoughts == 0 && r.First == 0 {
		r.FirstAny = at
	}
	r.Thoughts++
	r.Last = at
	return a.keep(&a.thought, text)
}

// record completes the text fields, whatever came of the request.
func (a *answer) record() {
	a.r.Thought = a.thought.String()
	a.calls.record(a.r, a.keepText)
	if a.r.Opened >= a.r.Begins() {
		a.r.Opened = 0 // in the packet of the first token, or there was none
	}
	if a.r.TextBytes > 0 {
		a.r.TextHash = hex.EncodeToString(a.hash.Sum(nil))[:16]
		a.r.Text = a.text.String()
	}
}

// fewestRepeats is how many chunks must repeat the ones before them, all of them, to be not an accident of a text.
const fewestRepeats = 3

// judge says what is wrong, as an answer, with a response that ended well as HTTP.
func (a *answer) judge() error {
	end := a.r.Ended()
	switch {
	case !a.done && a.r.Finish == "":
		return failure{evidence.FailTruncated, errors.New("the stream ended without a finish_reason")}
	case end == evidence.EndFiltered:
		return failure{evidence.FailFiltered, fmt.Errorf("finish_reason %q: the server's content filter held the "+
			"answer back", a.r.Finish)}
	case a.r.TextBytes == 0 && (a.r.Thoughts > 0 || a.r.ReasoningTokens > 0) && end == evidence.EndLength:
		return failure{evidence.FailThinking, errors.New("the model still reasoned when max_tokens was reached, so " +
			"that no content came: the case needs a larger max_tokens")}
	case !a.choices:
		return fmt.Errorf("%w: no choices", ErrProtocol)
	case a.r.TextBytes == 0 && a.tools:
		return failure{evidence.FailEmpty, errors.New("no content: the answer calls a tool, and none was offered")}
	case a.r.TextBytes == 0:
		return failure{evidence.FailEmpty, fmt.Errorf("no content (finish_reason %q)", a.r.Finish)}
	case a.repeats >= fewestRepeats && a.repeats == a.r.Chunks-1:
		return fmt.Errorf("%w: each chunk repeats the text so far instead of adding to it", ErrProtocol)
	}
	return nil
}

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

// ErrProtocol matches errors about an answer that violates the API.
var ErrProtocol = errors.New("not the OpenAI protocol")

// Reports is the text before the message of a server that sends an error as an answer.
const Reports = "the server reports"

// answer converts the content of a response to the fields of a request's record, as bytes arrive. Times are
// nanoseconds since the epoch of the run.
type answer struct {
	r        *evidence.Request
	keepText bool
	bounds   bounds
	share    *share
	text     strings.Builder
	thought  strings.Builder
	calls    calls
	offered  bool // the request offers tools, so calls count as content
	hash     hash.Hash
	choices  bool
	done     bool   // [DONE] was received, or the whole unstreamed answer
	model    string // model that was asked for
	tools    bool   // the answer calls a tool
	last     []byte // text of the last chunk, if texts are kept
	repeats  int    // chunks that begin with the whole previous chunk
}

func newAnswer(r *evidence.Request, q *request) *answer {
	a := &answer{r: r, keepText: q.keepText, model: q.model, offered: q.tools, bounds: q.bounds, hash: sha256.New()}
	if q.share.all != nil {
		a.share = &q.share
	}
	return a
}

// event handles an event of a stream. An event with a name that OpenAI does not use, such as a ping, may have data
// that is not a JSON object; it is skipped.
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

// chunk handles the data of one event, which was complete at time at.
func (a *answer) chunk(data []byte, at int64) error {
	switch {
	case a.done:
		return nil // nothing after the end counts
	case isDone(data):
		a.done, a.r.Done = true, at
		return nil
	case len(data) == 0:
		return nil // an event without data only keeps the connection alive
	}
	p, err := parsePiece(data, "delta")
	if err != nil {
		return fmt.Errorf("%w: chunk %d: %w", ErrProtocol, a.r.Chunks, err)
	}
	return a.add(&p, at)
}

// whole handles an unstreamed response. Its content arrives at the end, so the time of the first token is not known.
// First and Chunks stay 0, and the request has no time to the first token and no time per token.
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
	if err := a.share.take(4); err != nil { // memory of the gap
		return err
	}
	if r.Chunks == 0 {
		r.First = at
	} else {
		// rounded to µs, and at most half an hour
		r.Gaps = append(r.Gaps, int32(min((at-r.Last+500)/1000, math.MaxInt32)))
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

// otherName says whether neither name is the beginning of the other. Servers answer an alias with a version, and
// Ollama answers a name with name:tag, which do not count as other names.
func otherName(answers []byte, asked string) bool {
	n := min(len(answers), len(asked))
	return string(answers[:n]) != asked[:n]
}

// keep adds to a text that is recorded, up to its bound.
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

// think handles reasoning, whose tokens are timed like any others but are not content.
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

// record completes the text fields, whether the request succeeded or not.
func (a *answer) record() {
	a.r.Thought = a.thought.String()
	a.calls.record(a.r, a.keepText)
	if a.r.Opened >= a.r.Begins() {
		a.r.Opened = 0 // it came in the packet of the first token, or without any token
	}
	if a.r.TextBytes > 0 {
		a.r.TextHash = hex.EncodeToString(a.hash.Sum(nil))[:16]
		a.r.Text = a.text.String()
	}
}

// fewestRepeats is how many chunks, if all of them repeat the chunk before, cannot be a coincidence of the text.
const fewestRepeats = 3

// check returns an error if the answer is wrong, although the HTTP response was complete.
func (a *answer) check() error {
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

package loadgen

import (
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
	hash     hash.Hash
	choices  bool
	done     bool // [DONE] has come, or the whole answer
}

func newAnswer(r *evidence.Request, q *request) *answer {
	a := &answer{r: r, keepText: q.keepText, bounds: q.bounds, hash: sha256.New()}
	if q.share.all != nil {
		a.share = &q.share
	}
	return a
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
	a.choices = a.choices || p.choices
	if p.finish != "" {
		r.Finish = bounded.Short(p.finish, evidence.MaxFinish)
	}
	if p.usage {
		r.HasUsage, r.PromptTokens, r.OutputTokens, r.CachedTokens = true, p.prompt, p.output, p.cached
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
	if err := a.keep(&a.text, p.text); err != nil {
		return err
	}
	return a.call(p.calls)
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

// judge says what is wrong, as an answer, with a response that ended well as HTTP.
func (a *answer) judge() error {
	switch {
	case !a.done && a.r.Finish == "":
		return failure{evidence.FailTruncated, errors.New("the stream ended without a finish_reason")}
	case a.r.TextBytes == 0 && a.r.Thoughts > 0 && a.r.Finish == "length":
		return failure{evidence.FailThinking, errors.New("the model still reasoned when max_tokens was reached, so " +
			"that no content came: the case needs a larger max_tokens")}
	case !a.choices:
		return fmt.Errorf("%w: no choices", ErrProtocol)
	case a.r.TextBytes == 0:
		return failure{evidence.FailEmpty, errors.New("no content")}
	}
	return nil
}

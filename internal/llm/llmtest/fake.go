package llmtest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// Ids of the fake's vocabulary: three special tokens, then the 256 bytes.
const (
	bos       = 1
	eos       = 2
	firstByte = 3
	fakeVocab = firstByte + 256
)

// Fake is a backend without a model. Its tokens are bytes. It answers with the words of its prompt: in their order at
// temperature 0, shuffled by the seed otherwise, over and over with IgnoreEOS.
type Fake struct {
	// Step, if set, runs before the i-th token of each request. It can wait, fail or panic; a nil error goes on.
	Step func(ctx context.Context, r *llm.Request, i int) error
	// Grammar, if set, gives the answer to a request with a grammar. Without it, such a request is refused.
	Grammar func(g *llm.Grammar) (answer string, err error)
	// Calls, if set, gives what an answer to a request with tools calls, behind its text. Without it, such a request
	// is refused.
	Calls func(r *llm.Request) (text string, calls []llm.Call)
	// Now is the clock of Usage.Queued; nil means time.Now.
	Now func() time.Time

	model               llm.Model
	maxRunning, maxWait int
	slots               chan struct{}
	closed              chan struct{}
	mu                  sync.Mutex
	running, waiting    int
	ready, isClosed     bool
	group               sync.WaitGroup
	calls               []llm.Request
}

// NewFake makes a backend that computes maxRunning requests at once and lets maxWait wait.
func NewFake(id string, context, maxRunning, maxWait int) *Fake {
	return &Fake{
		model:      llm.Model{ID: id, Created: time.Unix(1700000000, 0), ContextLength: context, Vocab: fakeVocab},
		maxRunning: maxRunning, maxWait: maxWait, ready: true,
		slots: make(chan struct{}, maxRunning), closed: make(chan struct{}),
	}
}

// Requests gives copies of what Generate was asked, in order.
func (f *Fake) Requests() []llm.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]llm.Request(nil), f.calls...)
}

// SetReady changes what Status says.
func (f *Fake) SetReady(ready bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ready = ready
}

// Models implements llm.Backend.
func (f *Fake) Models() []llm.Model { return []llm.Model{f.model} }

// Status implements llm.Backend.
func (f *Fake) Status() llm.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return llm.Status{Ready: f.ready && !f.isClosed, Running: f.running, Waiting: f.waiting, KVUsed: f.running,
		KVTotal: f.maxRunning}
}

// Close implements llm.Backend.
func (f *Fake) Close() error {
	f.mu.Lock()
	if !f.isClosed {
		f.isClosed = true
		close(f.closed)
	}
	f.mu.Unlock()
	f.group.Wait()
	return nil
}

// Tokenize implements llm.Backend.
func (f *Fake) Tokenize(text string, addSpecial bool) ([]int32, error) {
	ids := []int32{}
	if addSpecial {
		ids = append(ids, bos)
	}
	for _, b := range []byte(text) {
		ids = append(ids, firstByte+int32(b))
	}
	return ids, nil
}

// TokenizeChat implements llm.Backend.
func (f *Fake) TokenizeChat(messages []llm.Message, tools *llm.Tools) ([]int32, error) {
	messages, err := llm.Arrange(messages)
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	if tools != nil {
		for _, tool := range tools.List {
			text.WriteString(tool.Definition() + "\n")
		}
	}
	for _, m := range messages {
		switch m.Role {
		case llm.RoleTool:
			text.WriteString("[RESULT] " + m.CallID + " " + m.Content)
		case llm.RoleSystem:
			text.WriteString(m.Content + "\n\n")
		case llm.RoleUser:
			text.WriteString("[INST] " + m.Content + " [/INST]")
		default:
			text.WriteString(m.Content)
			for _, c := range m.Calls {
				text.WriteString("[CALL] " + c.ID + " " + c.Name + " " + c.Arguments)
			}
		}
	}
	return f.Tokenize(text.String(), true)
}

// Detokenize implements llm.Backend.
func (f *Fake) Detokenize(ids []int32) (string, error) {
	var text []byte
	for i, id := range ids {
		if id < 0 || id >= fakeVocab {
			return "", llm.BadField(fmt.Sprintf("tokens[%d]", i), "must be 0 to %d, got %d", fakeVocab-1, id)
		}
		if id >= firstByte {
			text = append(text, byte(id-firstByte))
		}
	}
	return string(text), nil
}

// prompt gives the request's tokens and the text to answer with.
func (f *Fake) prompt(r *llm.Request) (ids []int32, text string, err error) {
	switch {
	case r.Model != "" && r.Model != f.model.ID:
		return nil, "", fmt.Errorf("%w: %q", llm.ErrModelNotFound, r.Model)
	case len(r.Messages) > 0:
		text = r.Messages[len(r.Messages)-1].Content
		ids, err = f.TokenizeChat(r.Messages, r.Tools)
	case r.Prompt != "":
		text = r.Prompt
		ids, err = f.Tokenize(text, true)
	case len(r.PromptTokens) > 0:
		ids = r.PromptTokens
		if text, err = f.Detokenize(ids); err != nil {
			return nil, "", llm.BadField("prompt", "a token is out of range: %v", err)
		}
	default:
		err = llm.BadField("prompt", "is empty")
	}
	if err == nil {
		err = llm.CheckStop(r.Stop)
	}
	if err == nil && len(ids) >= f.model.ContextLength {
		err = &llm.FieldError{Field: "prompt", Reason: fmt.Sprintf("has %d tokens, the context is %d", len(ids),
			f.model.ContextLength), Err: llm.ErrContextLength}
	}
	return ids, text, err
}

// admit waits for a slot. On success release must be called.
func (f *Fake) admit(ctx context.Context, r *llm.Request) (release func(), err error) {
	f.mu.Lock()
	if f.isClosed {
		f.mu.Unlock()
		return nil, llm.ErrClosed
	}
	f.calls = append(f.calls, *r)
	if f.running+f.waiting >= f.maxRunning+f.maxWait {
		f.mu.Unlock()
		return nil, llm.ErrQueueFull
	}
	f.waiting++
	f.group.Add(1)
	f.mu.Unlock()
	leave := func(running, waiting int) {
		f.mu.Lock()
		f.running += running
		f.waiting += waiting
		f.mu.Unlock()
		f.group.Done()
	}
	select {
	case f.slots <- struct{}{}:
		f.mu.Lock()
		f.waiting--
		f.running++
		f.mu.Unlock()
		return func() { <-f.slots; leave(-1, 0) }, nil
	case <-ctx.Done():
		leave(0, -1)
		return nil, ctx.Err()
	case <-f.closed:
		leave(0, -1)
		return nil, llm.ErrClosed
	}
}

// Generate implements llm.Backend.
func (f *Fake) Generate(ctx context.Context, r *llm.Request, sink func(llm.Event) error) error {
	now := f.Now
	if now == nil {
		now = time.Now
	}
	arrived := now()
	ids, text, err := f.prompt(r)
	if err != nil {
		return err
	}
	if r.Tools != nil && f.Calls == nil {
		return fmt.Errorf("tools: %w", llm.ErrUnsupported)
	}
	if r.Grammar != nil {
		if f.Grammar == nil {
			return fmt.Errorf("a grammar: %w", llm.ErrUnsupported)
		}
		if text, err = f.Grammar(r.Grammar); err != nil {
			return err
		}
	}
	release, err := f.admit(ctx, r)
	if err != nil {
		return err
	}
	defer release()
	g := &generation{fake: f, r: r, sink: sink, stops: llm.NewStops(r.Stop),
		usage: llm.Usage{PromptTokens: len(ids), Queued: now().Sub(arrived)}}
	limit := f.model.ContextLength - len(ids)
	if r.MaxTokens > 0 {
		limit = min(limit, r.MaxTokens)
	}
	switch {
	case r.Tools != nil && f.Calls != nil:
		text, g.calls = f.Calls(r)
	case r.Grammar == nil:
		text = answer(r, text)
	}
	return g.run(ctx, text, limit)
}

// answer is what a request gets, before it is cut to its length.
func answer(r *llm.Request, text string) string {
	words := strings.Fields(text)
	if len(words) == 0 {
		words = []string{"nothing"}
	}
	if r.Sampling.Temperature > 0 {
		seed := rand.Uint64()
		if r.Sampling.Seed != nil {
			seed = uint64(*r.Sampling.Seed)
		}
		rng := rand.New(rand.NewPCG(seed, 1))
		rng.Shuffle(len(words), func(i, j int) { words[i], words[j] = words[j], words[i] })
	}
	return strings.Join(words, " ")
}

// generation is one request under way.
type generation struct {
	fake    *Fake
	r       *llm.Request
	sink    func(llm.Event) error
	usage   llm.Usage
	stops   *llm.Stops
	pending []byte      // part of a character
	text    string      // not yet sent, and certainly no part of a stop string
	tokens  []llm.Token // not yet sent
	n       int         // tokens not yet sent
	calls   []llm.Call  // what comes behind the text
	pieces  []llm.CallPiece
}

// all is the answer's text with the arguments of its calls.
func (g *generation) all(answer string) string {
	for _, c := range g.calls {
		answer += c.Arguments
	}
	return answer
}

// call writes the i-th byte of the arguments of all calls.
func (g *generation) call(i int) {
	for k, c := range g.calls {
		if i >= len(c.Arguments) {
			i -= len(c.Arguments)
			continue
		}
		if next := i + 1; next < len(c.Arguments) && !utf8.RuneStart(c.Arguments[next]) {
			return // within a character, which comes with its last byte
		}
		from := i
		for !utf8.RuneStart(c.Arguments[from]) {
			from--
		}
		p := llm.CallPiece{Index: k, Arguments: c.Arguments[from : i+1]}
		if from == 0 {
			p.ID, p.Name = c.ID, c.Name
		}
		g.pieces = append(g.pieces, p)
		return
	}
}

func (g *generation) run(ctx context.Context, text string, limit int) error {
	answer, end := g.all(text), llm.FinishStop
	if len(g.calls) > 0 {
		end = llm.FinishCalls
	}
	for i := 0; ; i++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		select {
		case <-g.fake.closed:
			return llm.ErrClosed
		default:
		}
		if g.fake.Step != nil {
			if err := errors.Join(g.fake.Step(ctx, g.r, i), ctx.Err()); err != nil {
				return err
			}
		}
		g.usage.CompletionTokens++
		g.n++
		if i == len(answer) && !g.r.IgnoreEOS {
			g.record(i, nil)
			return g.finish(end)
		}
		b := answer + " "
		g.record(i, []byte{b[i%len(b)]})
		if i >= len(text) && i < len(answer) {
			g.call(i - len(text))
		} else if g.write(b[i%len(b)]) {
			return g.finish(llm.FinishStop)
		}
		if g.usage.CompletionTokens == limit {
			return g.finish(llm.FinishLength)
		}
		if err := g.flush(); err != nil {
			return err
		}
	}
}

// record notes the i-th token's log-probabilities. They are made up, but fall and add up to less than 1.
func (g *generation) record(i int, b []byte) {
	if !g.r.Logprobs {
		return
	}
	id := int32(eos)
	if len(b) > 0 {
		id = firstByte + int32(b[0])
	}
	t := llm.Token{TokenProb: llm.TokenProb{ID: id, Bytes: b, Logprob: math.Log(0.5) - float64(i)/1024}}
	for k := range g.r.TopLogprobs {
		t.Top = append(t.Top, llm.TokenProb{ID: firstByte + int32('a'+k), Bytes: []byte{byte('a' + k)},
			Logprob: t.Logprob - float64(k)})
	}
	g.tokens = append(g.tokens, t)
}

// write adds a byte to the answer, and to its text what is complete with it. It says whether a stop string was found.
func (g *generation) write(b byte) (hit bool) {
	g.pending = append(g.pending, b)
	var whole []byte
	for utf8.FullRune(g.pending) { // also bytes that cannot become a character: each is U+FFFD
		r, size := utf8.DecodeRune(g.pending)
		whole = utf8.AppendRune(whole, r)
		g.pending = g.pending[size:]
	}
	text, hit := g.stops.Write(string(whole))
	g.text += text
	return hit
}

// flush sends the text that is certain, or waits for some where no tokens are reported.
func (g *generation) flush() error {
	if g.text == "" && len(g.tokens) == 0 && len(g.pieces) == 0 {
		return nil
	}
	e := llm.Event{Text: g.text, Calls: g.pieces, Tokens: g.tokens, NTokens: g.n}
	g.text, g.pieces, g.tokens, g.n = "", nil, nil, 0
	return g.sink(e)
}

// finish sends the rest. The bytes of an unfinished character become text now, so a stop string can still be found.
func (g *generation) finish(reason llm.Finish) error {
	text, hit := g.stops.Write(strings.Repeat("\ufffd", len(g.pending)))
	if hit {
		reason = llm.FinishStop
	}
	return g.sink(llm.Event{Text: g.text + text + g.stops.Flush(), Calls: g.pieces, Tokens: g.tokens,
		NTokens: g.n, Finish: reason, Usage: &g.usage})
}

// ErrScripted is for Step to fail with: no sentinel of the seam.
var ErrScripted = errors.New("scripted failure")

package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/hxp-enterprise/mixtral/internal/base/token"
	"github.com/hxp-enterprise/mixtral/internal/infer/grammar"
	"github.com/hxp-enterprise/mixtral/internal/infer/sample"
	"github.com/hxp-enterprise/mixtral/internal/llm"
)

const (
	// maxForced bounds the forced tokens of a sequence in a step, as others wait for its end.
	maxForced = 32
	// maxGrammars bounds the compiled grammars that are kept for requests that come again with the same source.
	maxGrammars = 12
)

// newVocabulary indexes the tokens that stand for text.
func (e *Engine) newVocabulary() (*grammar.Vocabulary, error) {
	texts := make([][]byte, e.tok.Vocab())
	for id := range texts {
		if e.tok.IsText(int32(id)) {
			texts[id] = e.tok.Piece(int32(id))
		}
	}
	v, err := grammar.NewVocabulary(texts, e.tok.Ends(), e.marks...)
	if err != nil {
		return nil, fmt.Errorf("%w: a grammar: %w", llm.ErrUnsupported, err)
	}
	return v, nil
}

// grammars keeps compiled grammars, the latest used ones. One is compiled at a time: compiling takes milliseconds, but
// of a source that was made for it a second, and must not take the processors from those who wait for tokens.
type grammars struct {
	compiling chan struct{} // has room for one

	mu   sync.Mutex
	list []compiled // the latest used last
}

type compiled struct {
	key string
	g   *grammar.Grammar
	err error
}

// find gives a grammar that was compiled before.
func (c *grammars) find(key string) (compiled, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, e := range c.list {
		if e.key == key {
			c.list = append(slices.Delete(c.list, i, i+1), e)
			return e, true
		}
	}
	return compiled{}, false
}

func (c *grammars) keep(e compiled) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.list) >= maxGrammars {
		c.list = slices.Delete(c.list, 0, 1)
	}
	c.list = append(c.list, e)
}

// specOf gives a grammar as its package takes it.
func specOf(g *llm.Grammar) *grammar.Spec {
	return &grammar.Spec{Kind: grammar.Kind(g.Kind), Source: g.Source, Choices: g.Choices}
}

// keyOf tells specs apart.
func keyOf(s *grammar.Spec) string {
	var key strings.Builder
	add := func(parts ...string) {
		for _, part := range parts {
			fmt.Fprintf(&key, "%d:%s", len(part), part)
		}
	}
	add(string(s.Kind), s.Source)
	add(s.Choices...)
	if t := s.Tags; t != nil {
		add(fmt.Sprint(t.Free, t.Single), t.Begin, t.Between, t.End, t.Trigger)
		for _, tag := range t.List {
			add(tag.Begin, tag.Schema, tag.End)
		}
		if t.Text != nil {
			add(keyOf(t.Text))
		}
	}
	return key.String()
}

// compile gives a grammar. Its errors are those of package grammar, llm.ErrUnsupported, and of the context.
func (e *Engine) compile(ctx context.Context, spec *grammar.Spec) (*grammar.Grammar, error) {
	v, err := e.vocabulary()
	if err != nil {
		return nil, err
	}
	key := keyOf(spec)
	c, ok := e.grammars.find(key)
	if !ok {
		select {
		case e.grammars.compiling <- struct{}{}:
			defer func() { <-e.grammars.compiling }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if c, ok = e.grammars.find(key); !ok { // another request may have had it meanwhile
			c.key = key
			c.g, c.err = grammar.Compile(*spec, v)
			e.grammars.keep(c)
		}
	}
	return c.g, c.err
}

// constrain holds a request's answer to its grammar and to the form of its calls.
func (e *Engine) constrain(ctx context.Context, q *request, r *llm.Request) error {
	if r.Grammar == nil && r.Tools == nil {
		return nil
	}
	if r.IgnoreEOS {
		return llm.BadField("ignore_eos", "cannot be combined with a grammar or with tools, as texts end there")
	}
	var spec *grammar.Spec
	if r.Grammar != nil {
		spec, q.field = specOf(r.Grammar), r.Grammar
		if r.Tools != nil { // an error must be told from one of the tools'
			if err := grammar.Check(*spec); err != nil {
				return r.Grammar.Fail(err.Error())
			}
		}
	}
	if r.Tools != nil {
		q.field = &llm.Grammar{Field: "tools"}
		spec = e.tags(r.Tools, spec)
		q.calls = e.newReader(q)
	}
	g, err := e.compile(ctx, spec)
	var wrong *grammar.Error
	switch {
	case errors.As(err, &wrong):
		return compileError(r, q.field, wrong)
	case err != nil:
		return err
	}
	m := g.Start(q.decoder.DropsSpace())
	q.grammar = &m
	return q.force(nil, e.tok)
}

// next chooses the next token.
func (q *request) next(w *sample.Scratch, row []float32) (int32, error) {
	if q.grammar == nil {
		return q.sampler.Next(w, row)
	}
	if len(q.forced) > 0 {
		id := q.forced[0]
		q.forced = q.forced[1:]
		q.sampler.Take(id)
		return id, nil
	}
	mask, err := q.grammar.Allowed()
	if err != nil {
		return 0, q.grammarError(err)
	}
	if mask.Count == 0 {
		return 0, errors.New("no token fits the grammar")
	}
	return q.sampler.NextOf(w, row, mask.Bits)
}

func (q *request) grammarError(err error) error { return q.field.Fail(err.Error()) }

// follow takes note of a token, and of what must come behind it. whole says that nothing may.
func (q *request) follow(id int32, tok *token.Tokenizer) (whole bool, err error) {
	if q.grammar == nil || q.ends(id) {
		return false, nil
	}
	if err := q.grammar.Accept(id); err != nil {
		return false, q.grammarError(err)
	}
	if q.grammar.Ended() {
		return true, nil
	}
	if len(q.forced) > 0 {
		return false, nil
	}
	return false, q.force(q.seq.Tokens[q.seq.Prompt:], tok)
}

// force finds the tokens that must come behind those of the answer so far.
func (q *request) force(answer []int32, tok *token.Tokenizer) (err error) {
	if q.forced, err = q.grammar.Forced(answer, tok.EncodeInside); err != nil {
		return q.grammarError(err)
	}
	return nil
}

// allowed cuts a guess to what the grammar allows.
func (q *request) allowed(guess []int32) []int32 {
	if q.grammar == nil || len(guess) == 0 {
		return guess
	}
	return guess[:q.grammar.Prefix(guess)]
}

// foresee begins to find the tokens that grammars allow behind the step's positions, so that it is done when the model
// is. The result waits for the end.
func (e *Engine) foresee() (wait func()) {
	var open []grammar.Matcher
	e.locked(func() {
		for _, sp := range e.plan.Spans {
			q := e.requests[sp.Seq]
			if q == nil || q.grammar == nil || sp.Logits == 0 {
				continue
			}
			m := *q.grammar
			for i := 0; ; i++ {
				if i >= len(q.forced) && !m.Ready() {
					open = append(open, m)
				}
				if i == sp.Draft || m.Accept(sp.Seq.Draft[i]) != nil {
					break
				}
			}
		}
	})
	if len(open) == 0 {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range open {
			_, _ = open[i].Allowed() // its error comes again when the token is chosen
		}
	}()
	return func() { <-done }
}

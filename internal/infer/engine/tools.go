package engine

import (
	"encoding/binary"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/infer/grammar"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/model/chat"
)

// chooseMarks finds the control tokens that calls of tools are written with: grammars have marks for them.
func (e *Engine) chooseMarks() {
	for _, piece := range chat.ControlPieces {
		if id := e.tok.Control(piece); id >= 0 && !e.tok.IsEnd(id) {
			e.marks = append(e.marks, id)
		}
	}
}

// marked gives a text of a form as grammars spell it: with marks in place of control tokens.
func (e *Engine) marked(text string) string {
	for i, id := range e.marks {
		text = strings.ReplaceAll(text, e.tok.Spelling(id), grammar.Mark(i))
	}
	return text
}

// tags gives the form of answers that may call tools. text is the form of those that do not; nil: any.
func (e *Engine) tags(tools *llm.Tools, text *grammar.Spec) *grammar.Spec {
	form := e.format.Calls()
	t := &grammar.Tags{Begin: e.marked(form.Begin), Between: e.marked(form.Between), End: e.marked(form.End),
		Trigger: e.marked(form.Trigger), Single: tools.Single}
	if !tools.Required {
		t.Free, t.Text = text == nil, text
	}
	for _, tool := range tools.Callable() {
		begin, end := form.Around(tool.Name)
		t.List = append(t.List, grammar.Tag{Begin: begin, Schema: tool.Parameters, End: end})
	}
	return &grammar.Spec{Kind: grammar.Tagged, Tags: t}
}

// compileError names the schema that a grammar could not be made of.
func compileError(r *llm.Request, field *llm.Grammar, err *grammar.Error) error {
	if r.Tools != nil && err.Tag > 0 {
		tool := r.Tools.Callable()[err.Tag-1]
		if tool.Field == "" {
			tool.Field = "tools"
		}
		field = &llm.Grammar{Field: tool.Field + ".parameters"}
	}
	return field.Fail(err.Error())
}

// newReader takes calls out of an answer. Their ids are random, or the seed's: others for another conversation, so
// that the ids of one never meet twice.
func (e *Engine) newReader(q *request) *chat.Reader {
	h := fnv.New64a()
	for _, id := range q.ids {
		_ = binary.Write(h, binary.LittleEndian, id) // a hash takes all
	}
	rng := rand.New(rand.NewPCG(q.seed, h.Sum64()))
	form := e.format.Calls()
	q.trigger = -1
	if id := e.tok.Control(form.Trigger); slices.Contains(e.marks, id) {
		q.trigger, form.Trigger = id, "" // the text of a trigger is text like any other
	}
	return chat.NewReader(form, func() string { return chat.NewID(rng.IntN) })
}

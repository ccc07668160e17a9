package moe

import (
	"fmt"

	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
)

// Input is what some of a layer's matrices are multiplied with.
type Input int

// Inputs, with the tensors that are multiplied with them.
const (
	AttentionInput  Input = iota // attn_q, attn_k, attn_v
	AttentionOutput              // attn_output
	ExpertInput                  // ffn_gate, ffn_up
	ExpertHidden                 // ffn_down: silu(gate·x) ⊙ up·x
	OutputInput                  // output; its layer is the number of layers
)

// Observer gets an input's rows, one for each token that is multiplied with the matrices, in the order of the pass.
// For the two inputs of experts there is a call for each expert that a token was sent to; expert is 0 for the others.
// Rows are the numbers before any rounding, and gone when it returns. Calls come one at a time, in the same order
// whatever the number of workers.
type Observer func(layer int, in Input, expert int, rows [][]float32)

// Observe lets o see the passes that follow; nil ends that. In the last layer only tokens that want logits are
// computed to the end: a pass shows all of its tokens if all of them want logits. It must not be called during
// Forward.
func (m *Model) Observe(o Observer) {
	m.plan = m.planStage
	t := &tap{m: m, see: o}
	if o != nil {
		m.plan = t.planStage
	}
	inputs := []*kernel.Acts{m.outIn}
	for i := range m.layers {
		y := &m.layers[i]
		inputs = append(inputs, y.attnIn, y.attnOut, y.ffnIn, y.hidden)
	}
	for _, a := range inputs {
		a.Tap = nil
		if o != nil {
			a.Tap = func(row, at int, x []float32) { copy(t.keep[row*a.Cols()+at:], x) }
		}
	}
}

// tap keeps an input's rows as floats between the stage that makes them and the one that uses them. One memory serves
// all: each input is shown before the next one is made.
type tap struct {
	m    *Model
	see  Observer
	keep []float32
	rows [][]float32
}

// planStage plans a stage, and shows the input of those that multiply with it. These are planned after all of it has
// been made, and before anything of the next input is.
func (t *tap) planStage(stage int) (items int) {
	m := t.m
	defer m.guard()
	if stage == 0 {
		c := &m.cfg
		t.keep = grow(t.keep, len(m.tokens)*max(c.Dim, c.Heads*c.HeadDim, c.ExpertsUsed*c.FFN))
	}
	planned := m.planStage(stage)
	if m.broken.Load() != nil || stage < stagesBefore {
		return planned
	}
	if layer := (stage - stagesBefore) / stagesPerLayer; layer < len(m.layers) {
		t.showLayer(layer, (stage-stagesBefore)%stagesPerLayer)
	} else if (stage-stagesBefore)%stagesPerLayer == stageOutput {
		t.show(layer, OutputInput, 0, m.all[:len(m.wanted)], m.outIn)
	}
	return planned
}

func (t *tap) showLayer(layer, stage int) {
	m, s := t.m, &t.m.now
	switch stage {
	case stageProject:
		t.show(layer, AttentionInput, 0, m.all, s.attnIn)
	case stageAttentionOutput:
		t.show(layer, AttentionOutput, 0, s.tokens, s.attnOut)
	case stageExpertsIn:
		for e := range m.cfg.Experts {
			tokens, _ := m.groups.expert(e)
			t.show(layer, ExpertInput, e, tokens, s.ffnIn)
		}
	case stageExpertsOut:
		for e := range m.cfg.Experts {
			_, slots := m.groups.expert(e)
			t.show(layer, ExpertHidden, e, slots, s.hidden)
		}
	}
}

// show gives the observer the rows of some tokens or slots.
func (t *tap) show(layer int, in Input, expert int, at []int32, a *kernel.Acts) {
	if len(at) == 0 {
		return
	}
	t.rows = t.rows[:0]
	for _, row := range at {
		t.rows = append(t.rows, t.keep[int(row)*a.Cols():][:a.Cols()])
	}
	t.see(layer, in, expert, t.rows)
}

// Tensors gives the names of the matrices that are multiplied with an input. Experts are parts of stacked tensors,
// also where the model's file has one tensor for each.
func (in Input) Tensors(layer int) []string {
	var stems []string
	switch in {
	case AttentionInput:
		stems = []string{"attn_q", "attn_k", "attn_v"}
	case AttentionOutput:
		stems = []string{"attn_output"}
	case ExpertInput:
		stems = []string{"ffn_gate_exps", "ffn_up_exps"}
	case ExpertHidden:
		stems = []string{"ffn_down_exps"}
	default:
		return []string{"output.weight"}
	}
	for i, s := range stems {
		stems[i] = fmt.Sprintf("blk.%d.%s.weight", layer, s)
	}
	return stems
}

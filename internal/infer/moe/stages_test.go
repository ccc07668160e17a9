package moe

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// clocks measures the stages of a model's passes.
type clocks struct {
	m      *Model
	opened time.Time
	stage  int
	spent  []spent // by stage
}

type spent struct {
	planned, open time.Duration
	busy          [2]time.Duration // by worker
}

func newClocks(m *Model) *clocks {
	c := &clocks{m: m, stage: -1, spent: make([]spent, stagesBefore+stagesPerLayer*len(m.layers)+stagesAfter)}
	plan, do := m.plan, m.do
	m.plan = func(stage int) int {
		begin := time.Now()
		c.end(begin)
		items := plan(stage)
		c.stage, c.opened = stage, time.Now()
		c.spent[stage].planned = c.opened.Sub(begin)
		return items
	}
	m.do = func(w, stage, from, to int) {
		begin := time.Now()
		do(w, stage, from, to)
		c.spent[stage].busy[w] += time.Since(begin)
	}
	return c
}

// end ends a stage, if one is open.
func (c *clocks) end(now time.Time) {
	if c.stage >= 0 {
		c.spent[c.stage].open = now.Sub(c.opened)
	}
	c.stage = -1
}

// name is what a stage does, whichever the layer.
func (c *clocks) name(stage int) string {
	if stage < stagesBefore {
		return "planned"
	}
	layer, stage := (stage-stagesBefore)/stagesPerLayer, (stage-stagesBefore)%stagesPerLayer
	if layer == len(c.m.layers) {
		return [...]string{"planned", "output"}[stage]
	}
	return [...]string{"planned", "qkv", "attention", "attention", "o", "planned", "gate-up", "down"}[stage]
}

// BenchmarkStages shows where the time of a pass goes: of one token, of ten, as ten sequences give them (but their
// attention reads ten caches), and of a prompt. Metrics are microseconds of the mean of the third of the passes that
// were disturbed least: all, each kind of products, attention, what is planned or done by one worker alone (norms,
// routing, embedding; with more than two tokens all workers do these), and how long a worker waits for the others.
func BenchmarkStages(b *testing.B) {
	for _, shape := range []struct {
		name string
		synth.Shape
	}{{"nano", synth.Nano()}, {"mid", synth.Mid()}} {
		for _, tokens := range []int{1, 10, 512} {
			b.Run(fmt.Sprintf("%s/tokens=%d", shape.name, tokens), func(b *testing.B) {
				benchStages(b, shape.Shape, tokens)
			})
		}
	}
}

func benchStages(b *testing.B, shape synth.Shape, tokens int) {
	m := load(b, makeFile(b, shape), 2)
	c := newClocks(m)
	s := newSession(b, m, 512+tokens)
	type pass struct {
		took  time.Duration
		spent []spent
	}
	var passes []pass
	for b.Loop() {
		if s.at += tokens; tokens > 1 || s.at > 512 {
			s.at = 15
		}
		wanted := tokens
		if tokens > 10 {
			wanted = 1
		}
		ids := randomTokens(uint64(len(passes)), tokens, shape.Vocab) // others are sent to other experts
		clear(c.spent)
		span := Span{Tokens: ids, Start: s.at, Blocks: s.blocks, Logits: wanted}
		begin := time.Now()
		if _, err := m.Forward(s.kv, []Span{span}); err != nil {
			b.Fatal(err)
		}
		now := time.Now()
		c.end(now)
		passes = append(passes, pass{now.Sub(begin), slices.Clone(c.spent)})
	}
	slices.SortFunc(passes, func(a, b pass) int { return int(a.took - b.took) })
	passes = passes[:(len(passes)+2)/3]
	sums := map[string]time.Duration{}
	for _, p := range passes {
		sums["all"] += p.took
		for stage, t := range p.spent {
			sums["planned"] += t.planned
			sums[c.name(stage)] += t.open
			sums["waiting"] += max(0, t.open-(t.busy[0]+t.busy[1])/2)
		}
	}
	for name, sum := range sums {
		b.ReportMetric(float64(sum.Microseconds())/float64(len(passes)), name+"-µs")
	}
	b.ReportMetric(0, "ns/op")
}

package moe

import (
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// TestExpect: what a worker fetches is where its own items of the next stage begin.
func TestExpect(t *testing.T) {
	m := load(t, makeFile(t, shape(quant.Q8_0)), 3)
	m.tokens, m.wanted = make([]position, 1), make([]int32, 1)
	m.expectLayer(len(m.layers))
	items := m.planStage(stagesBefore + stagesPerLayer*len(m.layers) + stageOutput)
	if items < 3 {
		t.Fatalf("%d items are too few for this test", items)
	}
	m.expectLayer(len(m.layers)) // planning went on to the next pass
	for id, w := range m.workers {
		w.listen(id)
		want := m.output.From(m.crew.Share(items, id)*m.now.rows, fetchBytes)
		if len(w.fetch) != len(want) || &w.fetch[0] != &want[0] {
			t.Errorf("worker %d fetches %d bytes, which are not the %d it reads first", id, len(w.fetch), len(want))
		}
		for m.idle(id) {
		}
		if w.listen(id); len(w.fetch) > 0 {
			t.Errorf("worker %d fetches the same twice", id)
		}
	}
	m.tokens = make([]position, streamTokens+1)
	m.expectLayer(0)
	for id, w := range m.workers {
		if w.listen(id); len(w.fetch) > 0 {
			t.Errorf("worker %d fetches %d bytes where computing takes the time", id, len(w.fetch))
		}
	}
}

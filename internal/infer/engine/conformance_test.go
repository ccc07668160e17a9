package engine

import (
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/leak"
	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

func TestMain(m *testing.M) { leak.Main(m) }

func makeFile(t testing.TB, s synth.Shape) *gguf.File {
	t.Helper()
	b, err := synth.Bytes(s)
	if err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func open(t testing.TB, s synth.Shape, c Config) *Engine {
	t.Helper()
	e, err := New(makeFile(t, s), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// TestContract holds the engine to what every backend promises.
func TestContract(t *testing.T) {
	llmtest.Run(t, func(t *testing.T) llm.Backend {
		return open(t, synth.Tiny(), Config{MaxRunning: llmtest.MaxRunning, MaxWaiting: llmtest.MaxWaiting,
			ContextLength: llmtest.Context})
	})
}

package plan

import (
	"errors"
	"strings"
	"testing"
)

// measured returns the measurements of a server with p's costs.
func measured(p *Profile, chunk int) Measurements {
	m := Measurements{Chunk: chunk}
	for _, n := range []int{1, 2, 4, 8, 10} {
		for _, context := range []int{40, 1000} {
			s, _ := p.Step(Step{Decoding: n, Rows: n, Context: int64(n * context)})
			m.Decoding = append(m.Decoding, Decoding{n, context, s})
		}
	}
	for _, n := range []int{2, 4, 8, 10, 16, 32, 64, 128, chunk} {
		s, _ := p.Step(Step{Prompt: n, Rows: 1, PromptContext: int64(n) * int64(n+1) / 2})
		m.Prefill = append(m.Prefill, Prefill{n, s + p.PerRequest})
	}
	a, _ := p.Step(Step{Prompt: chunk, PromptContext: int64(chunk) * int64(chunk+1) / 2})
	b, _ := p.Step(Step{Prompt: chunk, Rows: 1, PromptContext: int64(chunk) * int64(3*chunk+1) / 2})
	m.Prefill = append(m.Prefill, Prefill{2 * chunk, a + b + p.PerRequest})
	return m
}

// TestFitFindsTheCosts: measurements of known costs give the same costs again.
func TestFitFindsTheCosts(t *testing.T) {
	truth := profile()
	truth.Points = []Point{{1, 0.01, 0, 0}, {10, 0.03, 0, 0}, {512, 0.6, 0, 0}}
	got := profile()
	if err := got.Fit(measured(truth, 512)); err != nil {
		t.Fatal(err)
	}
	near(t, "a row", got.PerRow, truth.PerRow, 1e-6)
	near(t, "a request", got.PerRequest, truth.PerRequest, 1e-6)
	near(t, "a position in decoding", got.PerContext, truth.PerContext, 1e-6)
	near(t, "a position in a prompt", got.PerPromptContext, truth.PerPromptContext, 1e-6)
	for _, at := range got.Points {
		near(t, "a step", at.Seconds, truth.weights(at.Tokens), 1e-6)
	}
}

func TestFitMissesMeasurements(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(*Measurements)
		says  string
	}{
		"contexts": {func(m *Measurements) { m.Decoding = m.Decoding[1:] }, "in 2 contexts, got 1"},
		"chunk":    {func(m *Measurements) { m.Prefill = m.Prefill[:len(m.Prefill)-1] }, "512 and 1024 tokens"},
		"overlap":  {func(m *Measurements) { m.Prefill = m.Prefill[3:] }, "as prompts, got 1"},
	} {
		m := measured(profile(), 512)
		tt.spoil(&m)
		if err := profile().Fit(m); !errors.Is(err, ErrProfile) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRising(t *testing.T) {
	points := []Point{{1, 2, 0, 0}, {2, 1, 0, 0}, {3, 3, 0, 0}, {4, 2, 0, 0}, {5, 2.5, 0, 0}, {6, 9, 0, 0}}
	rising(points)
	for i, want := range []float64{1.5, 1.5, 2.5, 2.5, 2.5, 9} {
		near(t, "a point", points[i].Seconds, want, 1e-9)
	}
}

package schedule

import (
	"testing"
	"time"
)

// machine is a model of a computer: what a step costs.
type machine struct {
	base     time.Duration // of any step: the weights are read
	perDec   time.Duration // for each sequence that decodes
	perToken time.Duration // for each prompt token
}

func (m machine) step(decoding, prompt int) time.Duration {
	return m.base + time.Duration(decoding)*m.perDec + time.Duration(prompt)*m.perToken
}

// TestPacerBoundsLatency: a prompt of 4096 tokens comes while eight sequences decode. On machines from a laptop to a
// server, and from wrong first guesses, a step takes at most twice the undisturbed one (or the soft limit), as soon as
// the pacer has seen a few; and the prompt gets its half of the time.
func TestPacerBoundsLatency(t *testing.T) {
	for name, m := range map[string]machine{
		"mid on 2 cores":  {10 * time.Millisecond, 2 * time.Millisecond, time.Millisecond},
		"nano":            {300 * time.Microsecond, 50 * time.Microsecond, 60 * time.Microsecond},
		"8x7B on 2 cores": {600 * time.Millisecond, 40 * time.Millisecond, 37 * time.Millisecond},
		"8x7B on 64":      {20 * time.Millisecond, time.Millisecond, 1500 * time.Microsecond},
	} {
		for guess, p := range map[string]Pacer{
			"fresh":       {Chunk: 512},
			"too hopeful": {Chunk: 512, perToken: 1e-6},
			"too fearful": {Chunk: 512, perToken: 10, decode: m.step(8, 0).Seconds()},
		} {
			for range 20 { // before the prompt comes
				p.Record(8, 0, m.step(8, 0))
			}
			limit := max(slowdown*m.step(8, 0), softLimit) + leastMixed*m.perToken
			steps, over, prompt := 0, 0, 0
			var elapsed, worst time.Duration
			for prompt < 4096 {
				n := min(p.Budget(true), 4096-prompt)
				took := m.step(8, n)
				p.Record(8, n, took)
				steps++
				prompt += n
				elapsed += took
				if took > limit*11/10 {
					over++
					worst = max(worst, took)
				}
			}
			if over > 12 { // smoothing: what it takes to forget a wrong guess
				t.Errorf("%s, %s: %d of %d steps above %v, the worst %v", name, guess, over, steps, limit, worst)
			}
			if alone := time.Duration(4096) * m.perToken; elapsed > 12*alone && steps > 4096/leastMixed {
				t.Errorf("%s, %s: the prompt took %v, alone %v", name, guess, elapsed, alone)
			}
		}
	}
}

// TestPacerAlone: without anybody to disturb, whole chunks run where they are quick, and shorter ones where they are
// not.
func TestPacerAlone(t *testing.T) {
	for _, test := range []struct {
		perToken time.Duration
		want     int
	}{{time.Millisecond, 512}, {4 * time.Millisecond, 250}, {40 * time.Millisecond, leastAlone}} {
		p := Pacer{Chunk: 512}
		for range 30 {
			n := p.Budget(false)
			p.Record(0, n, time.Duration(n)*test.perToken)
		}
		if got := p.Budget(false); got < test.want*98/100 || got > test.want {
			t.Errorf("%v a token: chunks of %d, want %d", test.perToken, got, test.want)
		}
	}
	if p := (Pacer{Chunk: 10}); p.Budget(false) > 10 || p.Budget(true) > 10 {
		t.Error("more than a chunk")
	}
}

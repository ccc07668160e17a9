package sample

import (
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"

	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
)

// ErrNumeric is matched when a logit is NaN or infinite: the model or its weights are broken.
var ErrNumeric = errors.New("non-finite logits")

// Params say how to choose. The zero value is greedy.
//
// They apply in this order: repetition penalty, presence and frequency penalty, bias, temperature, min-p, top-k,
// top-p.
type Params struct {
	Temperature float64 // ≥ 0; 0 is greedy: the highest logit, the lowest id among equals
	MinP        float64 // drop tokens less likely than MinP times the likeliest; 0 is off
	TopK        int     // keep the TopK likeliest; 0 is off
	// keep the likeliest whose probabilities reach TopP together (Holtzman et al. 2020); 0 and 1 are off
	TopP float64
	// divides positive and multiplies negative logits of tokens in prompt or answer (Keskar et al. 2019); 0 and 1 are
	// off
	RepetitionPenalty float64
	PresencePenalty   float64 // subtracted from the logit of every token in the answer
	FrequencyPenalty  float64 // subtracted once for each time the token is in the answer
	// added to the logits of these ids; those beyond the vocabulary count for nothing
	Bias map[int32]float64
	Seed uint64
}

// Sampler chooses the tokens of one answer. It is for one goroutine.
type Sampler struct {
	p      Params
	rng    rand.PCG
	bias   []bias
	prompt []int32 // distinct ids of the prompt, if they are penalised
	answer []int32 // distinct ids of the answer, if they are penalised
	counts []int32 // of every id in the answer; −1 for one that only the prompt has
}

type bias struct {
	id    int32
	value float32
}

// Scratch is memory for choosing. Samplers may share it, one after the other.
type Scratch struct {
	logits     []float32
	weights    []float32 // of every id, the likeliest has 1
	sums       []float32 // of blocks of weights
	candidates []candidate
}

// New starts an answer to a prompt. vocab is the length of the logits to come.
func New(p Params, vocab int, prompt []int32) *Sampler {
	s := &Sampler{p: p, rng: *rand.NewPCG(p.Seed, 0x73616d706c65)} // "sample": any constant stream will do
	for id, v := range p.Bias {
		if id >= 0 && int(id) < vocab && v != 0 {
			s.bias = append(s.bias, bias{id, float32(v)})
		}
	}
	if !s.penalises() {
		return s
	}
	s.counts = make([]int32, vocab)
	s.answer = make([]int32, 0, 256)
	if s.repetition() != 1 {
		for _, id := range prompt {
			if id >= 0 && int(id) < vocab && s.counts[id] == 0 {
				s.counts[id] = -1
				s.prompt = append(s.prompt, id)
			}
		}
	}
	return s
}

func (s *Sampler) repetition() float32 {
	if s.p.RepetitionPenalty == 0 {
		return 1
	}
	return float32(s.p.RepetitionPenalty)
}

func (s *Sampler) penalises() bool {
	return s.repetition() != 1 || s.p.PresencePenalty != 0 || s.p.FrequencyPenalty != 0
}

// Next chooses a token and counts it as part of the answer. logits are not changed. Its error matches ErrNumeric.
func (s *Sampler) Next(w *Scratch, logits []float32) (int32, error) {
	return s.NextOf(w, logits, nil)
}

// NextOf is Next among allowed tokens only: bit id%64 of word id/64 allows id, and nil allows all. One at least must
// be allowed. Penalties and bias come before, all that drops unlikely tokens after.
func (s *Sampler) NextOf(w *Scratch, logits []float32, allowed []uint64) (int32, error) {
	best, err := argmax(logits)
	if err != nil {
		return 0, err
	}
	if s.counts != nil || s.bias != nil {
		logits = s.adjust(w, logits)
		if best, err = argmax(logits); err != nil {
			return 0, err
		}
	}
	switch {
	case allowed == nil:
		best = s.choose(w, logits, nil, best)
	case !has(allowed, best):
		some := w.gather(logits, allowed)
		if best, err = argmax(some); err != nil {
			return 0, err
		}
		best = nth(allowed, int(s.choose(w, some, nil, best)))
	case s.p.Temperature > 0 && forbidden(allowed, len(logits)) > len(logits)/sparse:
		some := w.gather(logits, allowed)
		best = nth(allowed, int(s.draw(w, some, nil, logits[best])))
	default:
		best = s.choose(w, logits, allowed, best)
	}
	s.Take(best)
	return best, nil
}

// sparse: where more than one in so many logits is forbidden, it takes less time to copy the others together than to
// compute all weights and clear those of the forbidden ones.
const sparse = 16

// choose gives best, the place of the highest logit, or draws one of those that are allowed.
func (s *Sampler) choose(w *Scratch, logits []float32, allowed []uint64, best int32) int32 {
	if s.p.Temperature == 0 {
		return best
	}
	return s.draw(w, logits, allowed, logits[best])
}

// Take counts a token as part of the answer that was not chosen here.
func (s *Sampler) Take(id int32) {
	if s.counts != nil {
		s.count(id)
	}
}

// has says whether a set has an id.
func has(set []uint64, id int32) bool { return int(id/64) < len(set) && set[id/64]>>(id%64)&1 == 1 }

// forbidden counts the ids up to n that a set does not have, or fewer where it has ids beyond.
func forbidden(allowed []uint64, n int) int {
	for _, word := range allowed {
		n -= bits.OnesCount64(word)
	}
	return n
}

// gather gives the logits of allowed tokens, in order, where their weights will be: less memory is faster.
func (w *Scratch) gather(logits []float32, allowed []uint64) []float32 {
	w.weights = sized(w.weights, len(logits))
	return w.weights[:kernel.Gather(w.weights, logits, allowed)]
}

// sized gives memory for n numbers, the one given if it suffices.
func sized(x []float32, n int) []float32 {
	if cap(x) < n {
		return make([]float32, n)
	}
	return x[:n]
}

// nth gives the id of the n-th allowed token, from 0.
func nth(allowed []uint64, n int) int32 {
	for i, word := range allowed {
		if c := bits.OnesCount64(word); n >= c {
			n -= c
			continue
		}
		for ; n > 0; n-- {
			word &= word - 1
		}
		return int32(64*i + bits.TrailingZeros64(word))
	}
	return -1
}

// argmax gives the index of the highest logit, the lowest among equals.
func argmax(logits []float32) (int32, error) {
	if len(logits) == 0 {
		return 0, fmt.Errorf("%w: no logits were given", ErrNumeric)
	}
	best, finite := kernel.Highest(logits)
	if !finite {
		for i, v := range logits {
			if v-v != 0 {
				return 0, fmt.Errorf("%w: logit %d is %v", ErrNumeric, i, v)
			}
		}
	}
	return int32(best), nil
}

// adjust gives a copy with penalties and bias.
func (s *Sampler) adjust(w *Scratch, logits []float32) []float32 {
	w.logits = append(w.logits[:0], logits...)
	out := w.logits
	if r := s.repetition(); r != 1 {
		for _, ids := range [2][]int32{s.prompt, s.answer} {
			for _, id := range ids {
				if out[id] > 0 {
					out[id] /= r
				} else {
					out[id] *= r
				}
			}
		}
	}
	for _, id := range s.answer {
		out[id] -= float32(s.p.PresencePenalty + s.p.FrequencyPenalty*float64(s.counts[id]))
	}
	for _, b := range s.bias {
		out[b.id] += b.value
	}
	return out
}

// count notes a token of the answer. An id is in one of prompt and answer.
func (s *Sampler) count(id int32) {
	switch n := s.counts[id]; {
	case n > 0:
		s.counts[id]++
		return
	case n < 0: // moves from the prompt's list
		for i, p := range s.prompt {
			if p == id {
				s.prompt[i] = s.prompt[len(s.prompt)-1]
				s.prompt = s.prompt[:len(s.prompt)-1]
				break
			}
		}
	}
	s.counts[id] = 1
	s.answer = append(s.answer, id)
}

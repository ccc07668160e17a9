package plan

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// ErrTraffic is matched by errors about traffic; the message names the field.
var ErrTraffic = errors.New("invalid traffic")

// Traffic describes the requests to a model: their rate, their lengths, and what they share.
type Traffic struct {
	Requests int // how many are simulated
	// RPS is the mean rate of arrivals per second. 0 means a closed loop: Concurrency requests are under way, and each
	// that ends starts the next one.
	RPS         float64
	Concurrency int
	// Burstiness is the shape of the gamma distribution of the gaps between arrivals: 1 is a Poisson process, less
	// gives bursts, more is more regular, and +Inf is a constant gap. 0 means 1.
	Burstiness float64
	// Prompt and Output are pairs of lengths in tokens, observed or expected; each request gets one pair. Both have
	// the same number of entries, at least one.
	Prompt, Output []int
	// Shared is the share of each prompt's tokens, from its start, that is common to all prompts of its group, such as
	// a system prompt. Groups is the number of groups; 0 means one.
	Shared float64
	Groups int
	Seed   uint64
}

// Call is one request of the traffic.
type Call struct {
	N       int     // index in the order of arrivals, from 0
	Arrival float64 // seconds from the start; in a closed loop, when the one before it ended
	Prompt  int     // tokens
	Shared  int     // how many of the first ones are common to its group
	Group   int
	Output  int // tokens
}

// maxRequests bounds a simulation: 100 million calls are 4 GB.
const maxRequests = 100_000_000

func (t *Traffic) check() error {
	bad := func(field, reason string, args ...any) error {
		return fmt.Errorf("%w: %s: %s", ErrTraffic, field, fmt.Sprintf(reason, args...))
	}
	switch {
	case t.Requests < 1 || t.Requests > maxRequests:
		return bad("requests", "must be between 1 and %d, got %d", maxRequests, t.Requests)
	case t.RPS < 0 || math.IsNaN(t.RPS) || math.IsInf(t.RPS, 0):
		return bad("rps", "must be a number of at least 0, got %v", t.RPS)
	case t.RPS == 0 && t.Concurrency < 1:
		return bad("concurrency", "must be at least 1 where no rate is given, got %d", t.Concurrency)
	case t.Burstiness < 0 || math.IsNaN(t.Burstiness):
		return bad("burstiness", "must be at least 0, got %v", t.Burstiness)
	case len(t.Prompt) == 0 || len(t.Prompt) != len(t.Output):
		return bad("lengths", "must be as many of prompts as of answers, at least one; got %d and %d", len(t.Prompt),
			len(t.Output))
	case slices.Min(t.Prompt) < 1 || slices.Min(t.Output) < 1:
		return bad("lengths", "must be at least 1 token, got prompts from %d and answers from %d",
			slices.Min(t.Prompt), slices.Min(t.Output))
	case !(t.Shared >= 0 && t.Shared <= 1):
		return bad("shared", "must be between 0 and 1, got %v", t.Shared)
	case t.Groups < 0:
		return bad("groups", "must be at least 0, got %d", t.Groups)
	}
	return nil
}

// Calls draws all calls of an open loop: the same calls that a simulation of this traffic has.
func (t *Traffic) Calls() ([]Call, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	source, calls := t.source(), make([]Call, t.Requests)
	for i := range calls {
		calls[i] = source.next()
	}
	return calls, nil
}

// source draws the calls of traffic one after another.
type source struct {
	t   *Traffic
	rng *rand.Rand
	at  float64
	n   int
}

func (t *Traffic) source() *source {
	return &source{t: t, rng: rand.New(rand.NewPCG(t.Seed, 0x706c616e))}
}

// next draws a call. Its arrival is used only in an open loop.
func (s *source) next() Call {
	t := s.t
	if t.RPS > 0 {
		s.at += s.gap() / t.RPS
	}
	i := s.rng.IntN(len(t.Prompt))
	c := Call{N: s.n, Arrival: s.at, Prompt: t.Prompt[i], Output: t.Output[i]}
	s.n++
	c.Shared = int(math.Round(t.Shared * float64(c.Prompt)))
	if t.Groups > 1 {
		c.Group = s.rng.IntN(t.Groups)
	}
	return c
}

// gap draws the time to the next arrival, 1 on average.
func (s *source) gap() float64 {
	switch k := s.t.Burstiness; {
	case k == 0 || k == 1:
		return s.rng.ExpFloat64()
	case math.IsInf(k, 1):
		return 1
	default:
		return gamma(s.rng, k) / k
	}
}

// gamma draws from the gamma distribution of shape k and scale 1 (Marsaglia and Tsang 2000).
func gamma(rng *rand.Rand, k float64) float64 {
	if k < 1 {
		return gamma(rng, k+1) * math.Pow(rng.Float64(), 1/k)
	}
	d := k - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := rng.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v = v * v * v
		if u := rng.Float64(); math.Log(u) < x*x/2+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}

package sample

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
)

func next(t *testing.T, p Params, logits []float32) int32 {
	t.Helper()
	id, err := New(p, len(logits), nil).Next(&Scratch{}, logits)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestGreedy(t *testing.T) {
	for _, test := range []struct {
		logits []float32
		want   int32
	}{
		{[]float32{1, 3, 2}, 1},
		{[]float32{3, 1, 3, 3}, 0}, // the lowest id among equals
		{[]float32{-5, -4}, 1},
		{[]float32{7}, 0},
	} {
		if got := next(t, Params{}, test.logits); got != test.want {
			t.Errorf("%v: %d, want %d", test.logits, got, test.want)
		}
	}
}

func TestNumeric(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, logits := range [][]float32{{1, nan}, {inf, 1}, {-inf, 1}, {}} {
		for _, p := range []Params{{}, {Temperature: 1}, {Temperature: 1, TopP: 0.5, RepetitionPenalty: 1.1}} {
			if _, err := New(p, len(logits), nil).Next(&Scratch{}, logits); !errors.Is(err, ErrNumeric) {
				t.Errorf("%v: %v", logits, err)
			}
		}
	}
	// finite logits that a bias makes infinite
	if _, err := New(Params{Bias: map[int32]float64{0: math.MaxFloat64}}, 2, nil).Next(&Scratch{},
		[]float32{1, 2}); !errors.Is(err, ErrNumeric) {
		t.Errorf("infinite bias: %v", err)
	}
}

func TestPenalties(t *testing.T) {
	for name, test := range map[string]struct {
		p      Params
		prompt []int32
		logits []float32
		want   []int32
	}{
		"frequency":            {Params{FrequencyPenalty: 1}, nil, []float32{2.5, 2, 0}, []int32{0, 1, 0, 1, 0, 1, 2}},
		"presence":             {Params{PresencePenalty: 1}, nil, []float32{2.5, 2, 1.8}, []int32{0, 1, 2, 0, 0}},
		"presence, not prompt": {Params{PresencePenalty: 1}, []int32{0}, []float32{2.5, 2}, []int32{0, 1}},
		"repetition":           {Params{RepetitionPenalty: 2}, nil, []float32{3, 2, -1}, []int32{0, 1, 0}},
		"repetition in prompt": {Params{RepetitionPenalty: 2}, []int32{0, 0, 99, -1}, []float32{3, 2}, []int32{1, 0}},
		"repetition, negative": {Params{RepetitionPenalty: 2}, []int32{0}, []float32{-1, -1.5}, []int32{1, 0}},
		"bias bans":            {Params{Bias: map[int32]float64{0: -100, 77: 5}}, nil, []float32{3, 2}, []int32{1, 1}},
		"bias forces":          {Params{Bias: map[int32]float64{1: 100}}, nil, []float32{3, 2}, []int32{1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			s := New(test.p, len(test.logits), test.prompt)
			logits := slices.Clone(test.logits)
			for i, want := range test.want {
				got, err := s.Next(&Scratch{}, logits)
				if err != nil || got != want {
					t.Fatalf("token %d is %d, %v; want %d", i, got, err, want)
				}
			}
			if !slices.Equal(logits, test.logits) {
				t.Error("logits were changed")
			}
		})
	}
}

// distribution is the definition of temperature, min-p, top-k and top-p, by sorting.
func distribution(p Params, logits []float32) []float64 {
	type token struct {
		id int
		w  float64
	}
	var all []token
	top := slices.Max(logits)
	for id, v := range logits {
		all = append(all, token{id, math.Exp(float64(v-top) / p.Temperature)})
	}
	slices.SortStableFunc(all, func(a, b token) int {
		switch {
		case a.w > b.w:
			return -1
		case a.w < b.w:
			return 1
		}
		return 0
	})
	all = slices.DeleteFunc(all, func(x token) bool { return x.w < p.MinP })
	if p.TopK > 0 && p.TopK < len(all) {
		all = all[:p.TopK]
	}
	total := 0.0
	for _, x := range all {
		total += x.w
	}
	if p.TopP > 0 && p.TopP < 1 {
		mass := 0.0
		for i, x := range all {
			if mass += x.w; mass >= p.TopP*total {
				all, total = all[:i+1], mass
				break
			}
		}
	}
	probs := make([]float64, len(logits))
	for _, x := range all {
		probs[x.id] = x.w / total
	}
	return probs
}

// TestDrawsFollowTheDefinition compares the frequencies of 4000 draws with the definition: no token that was dropped,
// and χ² within 6 standard deviations of its mean.
func TestDrawsFollowTheDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	logits := make([]float32, 20)
	for i := range logits {
		logits[i] = float32(2 * rng.NormFloat64())
	}
	logits[7] = logits[3]
	for _, p := range []Params{
		{Temperature: 1}, {Temperature: 0.5}, {Temperature: 2}, {Temperature: 1, TopK: 5}, {Temperature: 1, TopP: 0.8},
		{Temperature: 1, MinP: 0.1}, {Temperature: 1.5, TopK: 10, TopP: 0.9, MinP: 0.05}, {Temperature: 1, TopK: 1},
		{Temperature: 1, TopP: 1e-9},
		{Temperature: 1, TopK: 1000, TopP: 1},
	} {
		t.Run(fmt.Sprintf("%+v", p), func(t *testing.T) {
			want := distribution(p, logits)
			const draws = 4000
			counts := make([]int, len(logits))
			p.Seed = 3
			s, w := New(p, len(logits), nil), &Scratch{}
			for range draws {
				id, err := s.Next(w, logits)
				if err != nil {
					t.Fatal(err)
				}
				counts[id]++
			}
			chi, n := 0.0, -1.0
			for id, q := range want {
				if q == 0 {
					if counts[id] > 0 {
						t.Errorf("token %d was dropped and drawn", id)
					}
					continue
				}
				d := float64(counts[id]) - draws*q
				chi += d * d / (draws * q)
				n++
			}
			if chi > n+6*math.Sqrt(2*n+1) {
				t.Errorf("χ² is %.1f with %v degrees of freedom", chi, n)
			}
		})
	}
}

// TestKeepsTheDefinedSet: whatever the logits, with ties, topK and topP keep what sorting keeps.
func TestKeepsTheDefinedSet(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		raw := rapid.SliceOfN(rapid.IntRange(-8, 8), 1, 60).Draw(t, "logits")
		logits := make([]float32, len(raw))
		for i, v := range raw {
			logits[i] = float32(v) / 4
		}
		p := Params{
			Temperature: rapid.Float64Range(0.2, 3).Draw(t, "temperature"), TopK: rapid.IntRange(0, 20).Draw(t, "k"),
			// no ratio of sums of these weights: which side of the border it is on must not depend on rounding
			TopP: (float64(rapid.IntRange(0, 999).Draw(t, "p")) + 0.12345678912) / 1000,
			MinP: rapid.Float64Range(0, 0.9).Draw(t, "min-p"), Seed: rapid.Uint64().Draw(t, "seed"),
		}
		relaxed := p // weights are float32
		relaxed.TopP, relaxed.MinP = p.TopP+1e-6, p.MinP*(1-1e-6)
		want := distribution(relaxed, logits)
		s, w := New(p, len(logits), nil), &Scratch{}
		for range 5 {
			id, err := s.Next(w, logits)
			if err != nil {
				t.Fatal(err)
			}
			if want[id] == 0 {
				t.Fatalf("drew %d, which is not kept", id)
			}
		}
		c := []candidate{}
		for id, v := range logits {
			c = append(c, candidate{math.Exp(float64(v-slices.Max(logits)) / p.Temperature), int32(id)})
		}
		kept := topP(c, 0.7*sum(c))
		for _, x := range c[len(kept):] {
			for _, y := range kept {
				if x.before(y) {
					t.Fatalf("%v dropped and %v kept", x, y)
				}
			}
		}
		last := slices.MaxFunc(kept, func(a, b candidate) int {
			if a.before(b) {
				return -1
			}
			return 1
		})
		if total := sum(c); sum(kept) < 0.7*total*(1-1e-9) || sum(kept)-last.weight > 0.7*total*(1+1e-9) {
			t.Fatalf("kept %v of %v: not the least that reaches 0.7", sum(kept), total)
		}
	})
}

// TestSeedDecides: the same seed gives the same tokens whatever is sampled in between with the same scratch; another
// seed gives others.
func TestSeedDecides(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	logits := make([]float32, 100)
	for i := range logits {
		logits[i] = float32(rng.NormFloat64())
	}
	run := func(seed uint64, disturb bool) (ids []int32) {
		s, w := New(Params{Temperature: 1, TopP: 0.95, Seed: seed}, 100, nil), &Scratch{}
		other := New(Params{Temperature: 1, Seed: 99, PresencePenalty: 1}, 100, nil)
		for range 50 {
			if disturb {
				other.Next(w, logits)
			}
			id, err := s.Next(w, logits)
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
		return ids
	}
	a := run(1, false)
	if b := run(1, true); !slices.Equal(a, b) {
		t.Errorf("one seed, two answers:\n%v\n%v", a, b)
	}
	if slices.Equal(a, run(2, false)) {
		t.Error("two seeds, one answer")
	}
}

func TestLogprobs(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		logits := make([]float32, rapid.IntRange(1, 50).Draw(t, "vocab"))
		for i := range logits {
			logits[i] = float32(rapid.IntRange(-300, 300).Draw(t, "logit")) / 8
		}
		id := int32(rapid.IntRange(0, len(logits)-1).Draw(t, "id"))
		n := rapid.IntRange(0, 20).Draw(t, "top")
		got, top := Logprobs(nil, &Scratch{}, logits, id, n)
		var total float64
		for _, v := range logits {
			total += math.Exp(float64(v))
		}
		want := func(id int32) float64 { return float64(logits[id]) - math.Log(total) }
		if math.Abs(got-want(id)) > 1e-6 {
			t.Fatalf("%v, want %v", got, want(id))
		}
		if len(top) != min(n, len(logits)) {
			t.Fatalf("%d alternatives", len(top))
		}
		order := make([]int32, len(logits))
		for i := range order {
			order[i] = int32(i)
		}
		slices.SortStableFunc(order, func(a, b int32) int { return int(8*logits[b]) - int(8*logits[a]) })
		for i, p := range top {
			if p.ID != order[i] || math.Abs(p.Logprob-want(p.ID)) > 1e-6 {
				t.Fatalf("alternative %d is %v, want id %d", i, p, order[i])
			}
		}
	})
}

// TestPick: every weight owns its part of the sum, whatever blocks it lies in, and one of nothing owns none.
func TestPick(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		weights := make([]float32, rapid.IntRange(1, 3*kernel.SumBlock+5).Draw(t, "vocab"))
		for i := range weights {
			if rapid.Bool().Draw(t, "some") {
				weights[i] = float32(rapid.IntRange(0, 1000).Draw(t, "weight")) / 1024 // sums are exact
			}
		}
		weights[rapid.IntRange(0, len(weights)-1).Draw(t, "top")] = 1
		w := Scratch{weights: weights}
		total := w.total()
		at := float64(rapid.IntRange(0, int(total*2048)-1).Draw(t, "at")) / 2048
		want, passed := 0, float64(weights[0])
		for passed <= at {
			want++
			passed += float64(weights[want])
		}
		if got := w.pick(at); got != int32(want) {
			t.Fatalf("%v of %v is %d, want %d", at, total, got, want)
		}
		if got := w.pick(2 * total); weights[got] == 0 {
			t.Fatalf("behind the end: %d, whose weight is 0", got)
		}
	})
}

func TestNoAllocations(t *testing.T) {
	logits := make([]float32, 1000)
	for i := range logits {
		logits[i] = float32(i%37) / 10
	}
	probs := make([]Prob, 0, 20)
	for _, p := range []Params{{}, {Temperature: 0.7, TopP: 0.9, TopK: 40, MinP: 0.01},
		{Temperature: 1, RepetitionPenalty: 1.1, FrequencyPenalty: 0.1, Bias: map[int32]float64{3: 1}}} {
		s, w := New(p, len(logits), []int32{1, 2, 3}), &Scratch{}
		s.Next(w, logits)
		if n := testing.AllocsPerRun(100, func() {
			id, _ := s.Next(w, logits)
			Logprobs(probs, w, logits, id, 20)
		}); n > 0 {
			t.Errorf("%+v: %v allocations a token", p, n)
		}
	}
}

func BenchmarkNext(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	logits := make([]float32, 32000)
	for i := range logits {
		logits[i] = float32(3 * rng.NormFloat64())
	}
	parts := map[string][]uint64{"all": nil, "most": some(rng, 0.99), "half": some(rng, 0.5), "tenth": some(rng, 0.1),
		"few": some(rng, 0.001)}
	for name, p := range map[string]Params{"greedy": {}, "temperature": {Temperature: 0.7},
		"top-p": {Temperature: 0.7, TopP: 0.95}, "penalties": {Temperature: 0.7, RepetitionPenalty: 1.1}} {
		for part, allowed := range parts {
			b.Run(name+"/"+part, func(b *testing.B) {
				s, w := New(p, len(logits), nil), &Scratch{}
				b.ReportAllocs()
				for b.Loop() {
					if _, err := s.NextOf(w, logits, allowed); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// some allows a share of 32,000 ids.
func some(rng *rand.Rand, share float64) []uint64 {
	allowed := make([]uint64, 500)
	for id := range 32000 {
		if rng.Float64() < share {
			allowed[id/64] |= 1 << (id % 64)
		}
	}
	return allowed
}

// TestNextOf: a choice among allowed tokens is the choice among all when the others can never be chosen.
func TestNextOf(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for round := range 300 {
		n := 1 + rng.IntN(300)
		logits, allowed := make([]float32, n), make([]uint64, (n+63)/64)
		masked := make([]float32, n)
		for i := range logits {
			logits[i] = float32(rng.NormFloat64() * 4)
			masked[i] = -1e30
		}
		for range 1 + rng.IntN(n) {
			id := rng.IntN(n)
			allowed[id/64] |= 1 << (id % 64)
		}
		if round%3 == 0 && n >= 64 {
			allowed[0] = math.MaxUint64
		}
		if round%5 < 2 { // nearly all, of which the likeliest may be none
			for i := range allowed {
				allowed[i] = math.MaxUint64
			}
			for range rng.IntN(2 + n/sparse) {
				id := 0
				if round%5 == 0 {
					id = rng.IntN(n)
				}
				if logits[id] = 20 * rng.Float32(); n > 1 {
					allowed[id/64] &^= 1 << (id % 64)
				}
			}
			allowed[(n-1)/64] |= 1 << ((n - 1) % 64)
		}
		for i := range logits {
			if allowed[i/64]>>(i%64)&1 == 1 {
				masked[i] = logits[i]
			}
		}
		p := Params{Temperature: float64(round%4) / 2, TopK: round % 7, TopP: []float64{0, 0.3, 0.9}[round%3],
			MinP: []float64{0, 0.1}[round%2], Seed: uint64(round)}
		a, b := New(p, n, nil), New(p, n, nil)
		got, err := a.NextOf(&Scratch{}, logits, allowed)
		if err != nil {
			t.Fatal(err)
		}
		want, err := b.Next(&Scratch{}, masked)
		if err != nil || got != want && p.TopP == 0 { // with TopP, rounding may draw the line one token earlier
			t.Errorf("round %d, %+v: %d, want %d, %v", round, p, got, want, err)
		}
		if allowed[got/64]>>(got%64)&1 == 0 {
			t.Errorf("round %d: %d is not allowed", round, got)
		}
	}
	if _, err := New(Params{}, 2, nil).NextOf(&Scratch{}, []float32{1, float32(math.NaN())},
		[]uint64{1}); !errors.Is(err,
		ErrNumeric) {
		t.Errorf("a broken logit that is not allowed: %v", err)
	}
}

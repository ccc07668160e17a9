package engine

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

func TestGuess(t *testing.T) {
	for _, test := range []struct {
		tokens []int32
		n      int
		want   []int32
	}{
		{nil, 5, nil},
		{[]int32{1, 2, 3}, 5, nil},
		{[]int32{7, 3, 7}, 5, nil}, // one token in common is not a match
		{[]int32{1, 2, 3, 4, 1, 2}, 5, []int32{3, 4, 1, 2}},
		{[]int32{1, 2, 3, 4, 1, 2}, 1, []int32{3}},
		{[]int32{1, 2, 3, 1, 2, 4, 1, 2}, 2, []int32{4, 1}},          // the latest
		{[]int32{9, 1, 2, 3, 5, 1, 2, 4, 9, 1, 2}, 2, []int32{3, 5}}, // the longest
		{[]int32{5, 5, 5, 5}, 3, []int32{5}},                         // a match may overlap what follows it
		{[]int32{1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5}, 9, []int32{6, 1, 2, 3, 4, 5}},
	} {
		if got := guess(test.tokens, test.n); !slices.Equal(got, test.want) {
			t.Errorf("%v, %d: %v, want %v", test.tokens, test.n, got, test.want)
		}
	}
}

// TestGuessIsALookup: what is guessed did follow what stands at the end, and no longer match was passed over.
func TestGuessIsALookup(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		tokens := rapid.SliceOfN(rapid.Int32Range(0, 3), 0, 40).Draw(t, "tokens")
		n := rapid.IntRange(0, maxDraft).Draw(t, "n")
		got := guess(tokens, n)
		common := func(at int) (same int) { // tokens before at that equal those at the end
			for same < maxMatch && at-1-same >= 0 && tokens[at-1-same] == tokens[len(tokens)-1-same] {
				same++
			}
			return same
		}
		best, length := 0, minMatch-1
		for at := len(tokens) - 1; at > 0; at-- {
			if same := common(at); same > length {
				best, length = at, same
			}
		}
		var want []int32
		if best > 0 {
			want = tokens[best:min(best+n, len(tokens))]
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%v: %v, want %v", tokens, got, want)
		}
	})
}

func TestTrust(t *testing.T) {
	var x trust
	if x.share() != 0.5 {
		t.Errorf("undecided: %v", x.share())
	}
	for range 50 {
		x.learn(true)
	}
	if x.share() < 0.9 {
		t.Errorf("always right: %v", x.share())
	}
	for range 10 {
		x.learn(false)
	}
	if x.share() > 0.45 {
		t.Errorf("ten times wrong: %v", x.share())
	}
}

// TestWorthwhile: guesses are computed where they are likely to save more than they cost.
func TestWorthwhile(t *testing.T) {
	flat := func(int) float64 { return 1 }              // nothing but overhead
	linear := func(n int) float64 { return float64(n) } // nothing but arithmetic
	experts := func(n int) float64 {                    // memory: each token touches more experts
		return []float64{0: 0, 1: 1, 2: 1.6, 3: 2.1, 4: 2.4, 5: 2.65, 6: 2.8, 7: 2.95, 8: 3.05, 9: 3.1, 10: 3.15,
			11: 3.2}[min(n, 11)]
	}
	for name, test := range map[string]struct {
		expect func(int) float64
		share  []float64
		least  []int // guesses of each
		most   []int
	}{
		"free":                 {flat, []float64{0.3}, []int{10}, []int{10}},
		"arithmetic":           {linear, []float64{0.99}, []int{0}, []int{0}},
		"experts, sure":        {experts, []float64{0.97}, []int{8}, []int{10}},
		"experts, unsure":      {experts, []float64{0.5}, []int{0}, []int{0}},
		"one sure, one unsure": {experts, []float64{0.05, 0.97}, []int{0, 6}, []int{0, 10}},
	} {
		c := costs{expect: test.expect}
		c.record(len(test.share), 0.010*test.expect(len(test.share)))
		drafts := make([][]int32, len(test.share))
		for i := range drafts {
			drafts[i] = make([]int32, maxDraft)
		}
		c.worthwhile(drafts, test.share)
		for i, d := range drafts {
			if len(d) < test.least[i] || len(d) > test.most[i] {
				t.Errorf("%s: %d guesses of sequence %d, want %d to %d", name, len(d), i, test.least[i], test.most[i])
			}
		}
	}
	c := costs{expect: flat}
	drafts := [][]int32{make([]int32, 3)}
	c.worthwhile(drafts, []float64{1})
	if len(drafts[0]) > 0 {
		t.Error("guesses before any step was timed")
	}
}

// TestCostsLearn: what was measured counts more than what was expected, until it is out of date.
func TestCostsLearn(t *testing.T) {
	c := costs{expect: func(int) float64 { return 1 }}
	c.record(1, 0.010)
	if c.of(4) != 0.010 {
		t.Errorf("expected %v", c.of(4))
	}
	for range 20 {
		c.record(4, 0.040) // guesses are dear on this machine
	}
	if got := c.of(4); got < 0.039 || c.of(3) != 0.010 {
		t.Errorf("after measuring: %v for 4, %v for 3", got, c.of(3))
	}
	for range staleAfter {
		c.record(1, 0.010)
	}
	if c.of(4) != 0.010 {
		t.Errorf("out of date: %v", c.of(4))
	}
	c.record(maxSeen+5, 1) // no room: no harm
}

// TestGuessesChangeNothing: on a machine that believes guesses to be free, and with prompts that repeat themselves,
// many guesses are computed and many are right, and every request has the tokens and log-probabilities it has
// without.
func TestGuessesChangeNothing(t *testing.T) {
	var requests []*llm.Request
	for i := range 6 {
		prompt := slices.Repeat(ids(i, 9), 4)
		r := ask(prompt, 60)
		if i%3 == 2 {
			seed := int64(i)
			r.Sampling = llm.Sampling{Temperature: 0.3, Seed: &seed, FrequencyPenalty: 0.1}
		}
		requests = append(requests, r)
	}
	run := func(noGuesses bool) (results []llmtest.Result, guessed, right int64) {
		e := open(t, synth.Tiny(), Config{NoGuesses: noGuesses})
		e.locked(func() {
			e.cost.expect = func(n int) float64 { return 1 }
		})
		for _, r := range requests {
			out, err := llmtest.Collect(t.Context(), e, r)
			if err != nil {
				t.Fatal(err)
			}
			results = append(results, out)
		}
		e.Close()
		return results, e.guessed, e.right
	}
	plain, none, _ := run(true)
	with, guessed, right := run(false)
	if none > 0 || guessed == 0 || right == 0 {
		t.Fatalf("%d guesses where there should be none; else %d, %d of them right", none, guessed, right)
	}
	t.Logf("%d of %d guesses right", right, guessed)
	for i := range plain {
		a, b := plain[i], with[i]
		if a.Text != b.Text || a.Usage.CompletionTokens != b.Usage.CompletionTokens || a.Finish != b.Finish {
			t.Errorf("request %d: %q without, %q with guesses", i, a.Text, b.Text)
		}
		for k := range a.Tokens {
			if a.Tokens[k].ID != b.Tokens[k].ID || a.Tokens[k].Logprob != b.Tokens[k].Logprob {
				t.Errorf("request %d, token %d: %v without, %v with guesses", i, k, a.Tokens[k].TokenProb,
					b.Tokens[k].TokenProb)
				break
			}
		}
	}
}

func BenchmarkGuess(b *testing.B) {
	tokens := ids(1, 4096)
	for b.Loop() {
		guess(tokens, maxDraft)
	}
}

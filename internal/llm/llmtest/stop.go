package llmtest

import (
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// testStop cuts before strings that the same request is known to produce, at each place.
func testStop(t *testing.T, b llm.Backend) {
	stopEverywhere(t, b, Chat(question, 24), 2)
}

// testStopReplaced: U+FFFD, which a client reads for each byte that belongs to no character, is a character like any
// other in a stop string. The prompts make a backend that repeats them, the biases any other one, generate such bytes:
// some that are never part of a character, and starts of characters that do not go on.
func testStopReplaced(t *testing.T, b llm.Backend) {
	for _, bytes := range []string{"\xff", "\xff\x00", "\xe2\x82", "a\xffb", "\xf0\x9f\x98", "\xc3\xff\xc3",
		"é\xed\xa0\x80"} {
		ids, err := b.Tokenize(bytes, false)
		if err != nil {
			t.Fatal(err)
		}
		bias := map[int32]float64{}
		for _, id := range ids {
			bias[id] = 100
		}
		for seed := range int64(3) {
			r := &llm.Request{ID: "replaced", Prompt: bytes, MaxTokens: 12, IgnoreEOS: true,
				Sampling: llm.Sampling{Temperature: 1, Seed: &seed, LogitBias: bias}}
			if out := stopEverywhere(t, b, r, 1); !strings.Contains(out.Text, "\ufffd") {
				t.Errorf("bytes %q: the answer %q has no U+FFFD to look for", bytes, out.Text)
			}
			r.Stop = []string{"\ufffd"}
			if out := must(t, b, r); strings.Contains(out.Text, "\ufffd") || out.Finish != llm.FinishStop {
				t.Errorf("bytes %q, stop string U+FFFD: %q, finish %s", bytes, out.Text, out.Finish)
			}
		}
	}
}

// stopEverywhere asks again for the answer to r with each run of three characters in it as a stop string, at every
// step-th place. It gives the whole answer.
func stopEverywhere(t *testing.T, b llm.Backend, r *llm.Request, step int) Result {
	t.Helper()
	whole := must(t, b, r)
	runes := []rune(whole.Text)
	if len(runes) < 3 {
		t.Fatalf("answer %q is too short to cut", whole.Text)
	}
	for i := 0; i+3 <= len(runes); i += step {
		stop := string(runes[i : i+3])
		cut := *r
		cut.Stop = []string{"\x00never", stop}
		want, _, _ := strings.Cut(whole.Text, stop)
		if out := must(t, b, &cut); out.Text != want || out.Finish != llm.FinishStop || out.Stop != stop {
			t.Errorf("stop %q: %q, finish %s at %q; want %q", stop, out.Text, out.Finish, out.Stop, want)
		}
	}
	return whole
}

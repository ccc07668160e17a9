package traffic

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/testcases"
)

// Source makes the sessions of a phase. Session n does not depend on which sessions were made before it.
type Source struct {
	spec    *testcases.Traffic
	seed    uint64
	records []Record
	perWord float64 // tokens per word of generated texts; 0: 1
}

// PerWord sets how many tokens a word of generated texts has for the server's tokenizer, so that the texts get the
// lengths that were drawn. The default is one token.
func (s *Source) PerWord(tokens float64) { s.perWord = tokens }

// MadeUp says whether the prompts are generated, with lengths that are drawn or come from a trace.
func (s *Source) MadeUp() bool { return len(s.records) == 0 || s.spec.Format.Trace() }

// words is the number of words that have the given number of tokens.
func (s *Source) words(tokens int) int { return Words(tokens, s.perWord) }

// Session is a conversation: one request, or several, each of which needs the answer to the previous one.
type Session struct {
	Key    string // names the entry of the file of which it is made, for the record of the run
	System string
	Turns  []Turn
}

// Turn is one message of the user.
type Turn struct {
	Text      string
	MaxTokens int           // 0: that of the phase
	Think     time.Duration // pause between the previous answer and this turn
}

// New returns a source. data is the content of the traffic's file, if it has one. Errors match ErrFormat.
func New(spec *testcases.Traffic, data []byte, seed uint64) (*Source, error) {
	s := &Source{spec: spec, seed: seed}
	if spec.File == "" {
		return s, nil
	}
	var err error
	if s.records, err = Read(spec.Format, spec.Column, spec.Most, data); err != nil {
		return nil, fmt.Errorf("%s: %w", spec.File, err)
	}
	return s, nil
}

// Len is the number of records in the file; 0 without a file.
func (s *Source) Len() int { return len(s.records) }

// Schedule returns the arrivals of a trace's requests after the start, with time divided by the traffic's scale. If
// length is positive, later arrivals are left out. So are those after a week.
func (s *Source) Schedule(length time.Duration) []time.Duration {
	scale := s.spec.Scale
	if scale == 0 {
		scale = 1
	}
	var out []time.Duration
	for _, r := range s.records {
		if r.At/scale > 7*86400 {
			break
		}
		at := time.Duration(r.At / scale * float64(time.Second))
		if length > 0 && at >= length {
			break
		}
		out = append(out, at)
	}
	return out
}

// Session makes session n.
func (s *Source) Session(n int) Session {
	rng := rand.New(rand.NewPCG(s.seed, uint64(n)<<1|1))
	var out Session
	if len(s.records) > 0 {
		out = s.recorded(n%len(s.records), n)
	} else {
		out = s.madeUp(rng, n)
	}
	for i := range out.Turns {
		t := &out.Turns[i]
		if s.spec.Output != nil {
			t.MaxTokens = tokens(rng, s.spec.Output)
		}
		if i > 0 && s.spec.ThinkS != nil {
			t.Think = time.Duration(draw(rng, s.spec.ThinkS, 0) * float64(time.Second))
		}
	}
	return out
}

// recorded makes session n from record k of the file.
func (s *Source) recorded(k, n int) Session {
	r := &s.records[k]
	out := Session{Key: fmt.Sprintf("%s/%d", s.spec.Format, k), System: r.System}
	if s.spec.Format.Trace() {
		out.Turns = []Turn{{Text: s.traced(r, n), MaxTokens: r.Output}}
		return out
	}
	most := len(r.Turns)
	if s.spec.Turns == nil {
		most = 1
	} else {
		most = min(most, tokens(rand.New(rand.NewPCG(s.seed, uint64(n)<<1)), s.spec.Turns))
	}
	for _, t := range r.Turns[:most] {
		out.Turns = append(out.Turns, Turn{Text: t, MaxTokens: r.Output})
	}
	return out
}

// traced generates the prompt of a trace's request. Requests with the same ids of blocks have the same text in these
// blocks.
func (s *Source) traced(r *Record, n int) string {
	var b strings.Builder
	left := r.Input
	for _, id := range r.Blocks {
		text(&b, s.seed^0x626c6f636b, uint64(id), s.words(min(left, blockTokens)))
		left -= min(left, blockTokens)
	}
	s.prompt(&b, n, left)
	return b.String()
}

// madeUp generates session n, with prompts of random lengths.
func (s *Source) madeUp(rng *rand.Rand, n int) Session {
	turns := 1
	if s.spec.Turns != nil {
		turns = tokens(rng, s.spec.Turns)
	}
	out := Session{Key: "made-up"}
	for i := range turns {
		var b strings.Builder
		length := tokens(rng, s.spec.Input)
		if i == 0 {
			s.prompt(&b, n, length)
		} else {
			text(&b, s.seed+uint64(i), uint64(n), s.words(length))
		}
		out.Turns = append(out.Turns, Turn{Text: b.String()})
	}
	return out
}

// prompt adds a text of length tokens. The traffic's share of it, at the beginning, is common to the group of session
// n.
func (s *Source) prompt(b *strings.Builder, n, length int) {
	length = s.words(length)
	common := int(s.spec.Shared*float64(length) + 0.5)
	if common > 0 {
		group := rand.New(rand.NewPCG(s.seed^0x67726f7570, uint64(n))).IntN(max(s.spec.Prefixes, 1))
		text(b, s.seed^0x707265666978, uint64(group), common)
	}
	text(b, s.seed^0x6f776e, uint64(n), length-common)
}

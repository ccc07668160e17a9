package judge

import (
	"cmp"
	"encoding/binary"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// request has the fields of an evidence.Request that the rules read, with the same meaning, in a quarter of the
// memory: a run of two days has ten million requests. Counts are limited to the range of int32.
type request struct {
	*facts
	evidence.Times
	N                                                int32
	Chunks, Thoughts, Blurred, TextBytes             int32
	PromptTokens, OutputTokens, CachedTokens, hidden int32
	gapCount                                         int32
	gapBlock, gapAt                                  uint32 // where the gaps are in the store
}

// facts are the fields whose values many requests share.
type facts struct {
	Prompt, Finish, Detail, Cut, OtherModel string
	Text                                    string // only of an answer that is scored
	Fail                                    evidence.Failure
	Status, Retried, MaxTokens, Generator   int
	ToolCalls                               int
	HasUsage                                bool
	kept                                    *store // the store that holds the request
}

// OK says whether the request was answered.
func (q *request) OK() bool { return q.Fail == "" }

// End is the time at which its latency ends.
func (q *request) End() int64 { return q.Times.End(q.OK()) }

// Latency is the end-to-end latency in a phase of this kind.
func (q *request) Latency(kind testcases.Kind) time.Duration { return q.Times.Latency(kind, q.OK()) }

// Ended is finish_reason, translated into OpenAI's words.
func (q *request) Ended() string { return evidence.EndOf(q.Finish) }

// Shown is how many of the output tokens the client received.
func (q *request) Shown() int {
	return evidence.Shown(int(q.OutputTokens), int(q.hidden), int(q.Thoughts))
}

// Gaps are the microseconds between chunks.
func (q *request) Gaps() iter.Seq[int32] {
	return func(yield func(int32) bool) {
		if q.gapCount == 0 {
			return
		}
		b := q.kept.gaps[q.gapBlock][q.gapAt:]
		for range q.gapCount {
			g, n := binary.Uvarint(b)
			if !yield(int32(uint32(g))) {
				return
			}
			b = b[n:]
		}
	}
}

// gapMean is the mean of the gaps, in milliseconds.
func (q *request) gapMean() float64 {
	sum := 0.0
	for us := range q.Gaps() {
		sum += float64(us) / 1000
	}
	return sum / float64(q.gapCount)
}

// compareRequests is the order of a phase's requests. It does not depend on their order in the record.
func compareRequests(a, b *request) int {
	return cmp.Or(cmp.Compare(a.Scheduled, b.Scheduled), cmp.Compare(a.N, b.N), cmp.Compare(a.Done, b.Done),
		cmp.Compare(a.Issued, b.Issued), cmp.Compare(a.First, b.First), cmp.Compare(a.FirstAny, b.FirstAny),
		cmp.Compare(a.Last, b.Last), compareRest(a, b))
}

// compareRest orders requests whose times are equal.
func compareRest(a, b *request) int {
	if a.Scheduled != b.Scheduled || a.N != b.N || a.Done != b.Done {
		return 0 // cmp.Or has already decided
	}
	return cmp.Or(slices.Compare(a.counts(), b.counts()), slices.Compare(slices.Collect(a.Gaps()),
		slices.Collect(b.Gaps())), slices.Compare(a.words(), b.words()))
}

func (q *request) counts() []int32 {
	return []int32{q.Chunks, q.Thoughts, q.Blurred, q.TextBytes, q.PromptTokens, q.OutputTokens, q.CachedTokens,
		q.hidden}
}

func (f *facts) words() []string {
	usage := ""
	if f.HasUsage {
		usage = "usage"
	}
	return []string{f.Prompt, f.Finish, f.Detail, f.Cut, f.OtherModel, f.Text, string(f.Fail), count(f.Status),
		count(f.Retried), count(f.MaxTokens), count(f.Generator), count(f.ToolCalls), usage}
}

// Sizes of a store's blocks. The first is small, because most runs are small. Each next one is twice as large.
const (
	firstBlock = 64
	mostBlock  = 4096
	mostFacts  = 1 << 16 // shared at most: the facts of failures may all differ
)

// store keeps requests in blocks.
type store struct {
	block []request
	gaps  [][]byte // microseconds between chunks as unsigned varints; the gaps of a request are in one block
	facts map[facts]*facts
}

// add keeps the fields of a request that the rules read.
func (s *store) add(e *evidence.Request) *request {
	if len(s.block) == cap(s.block) {
		s.block = make([]request, 0, min(max(2*cap(s.block), firstBlock), mostBlock))
	}
	s.block = append(s.block, request{facts: s.once(e), Times: e.Times(), N: short(e.N),
		Chunks: short(e.Chunks), Thoughts: short(e.Thoughts), Blurred: short(e.Blurred), TextBytes: short(e.TextBytes),
		PromptTokens: short(e.PromptTokens), OutputTokens: short(e.OutputTokens), CachedTokens: short(e.CachedTokens),
		hidden: short(e.ReasoningTokens), gapCount: short(len(e.Gaps))})
	q := &s.block[len(s.block)-1]
	q.gapBlock, q.gapAt = s.encode(e.Gaps)
	return q
}

func short(n int) int32 { return int32(min(max(n, math.MinInt32), math.MaxInt32)) }

func (s *store) once(e *evidence.Request) *facts {
	f := facts{Prompt: e.Prompt, Finish: e.Finish, Detail: e.Detail, Cut: e.Cut, OtherModel: e.OtherModel,
		Text: e.Text, Fail: e.Fail, Status: e.Status, Retried: e.Retried, MaxTokens: e.MaxTokens,
		Generator: e.Generator, ToolCalls: e.ToolCalls, HasUsage: e.HasUsage, kept: s}
	if known := s.facts[f]; known != nil {
		return known
	}
	if s.facts == nil {
		s.facts = map[facts]*facts{}
	}
	if f.Text == "" && len(s.facts) < mostFacts {
		s.facts[f] = &f
	}
	return &f
}

// encode stores gaps in the last block, or in a new one if they do not fit.
func (s *store) encode(gaps []int32) (block, at uint32) {
	if len(gaps) == 0 {
		return 0, 0
	}
	const each = 5 // bytes at most
	var b []byte
	if n := len(s.gaps); n > 0 {
		b = s.gaps[n-1]
	}
	if need := each * len(gaps); need > cap(b)-len(b) {
		b = make([]byte, 0, max(need, min(max(2*cap(b), 16*firstBlock), 64*mostBlock)))
		s.gaps = append(s.gaps, nil)
	}
	last := len(s.gaps) - 1
	at = uint32(len(b))
	for _, g := range gaps {
		b = binary.AppendUvarint(b, uint64(uint32(g)))
	}
	s.gaps[last] = b
	return uint32(last), at
}

package engine

import (
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/infer/sample"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

func ask(ids []int32, n int) *llm.Request {
	return &llm.Request{ID: "test", PromptTokens: ids, MaxTokens: n, IgnoreEOS: true, Logprobs: true, TopLogprobs: 2}
}

func ids(seed, n int) []int32 {
	out := make([]int32, n)
	for i := range out {
		out[i] = int32((seed*7919 + i*i*31 + i*17) % 500)
	}
	return out
}

// TestLogprobsAreTeacherForced: what the engine reports while it generates is, to the last bit, what the model says
// of the finished text computed at once.
func TestLogprobsAreTeacherForced(t *testing.T) {
	f := makeFile(t, synth.Tiny())
	e, err := New(f, Config{MaxRunning: 3, PrefillChunk: 7})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	model, err := moe.Load(f, moe.Options{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	var group sync.WaitGroup
	results := make([]llmtest.Result, 6)
	for i := range results {
		group.Go(func() {
			r := ask(ids(i, 20+i), 30)
			if i%2 == 1 {
				seed := int64(i)
				r.Sampling = llm.Sampling{Temperature: 1, Seed: &seed}
			}
			var err error
			if results[i], err = llmtest.Collect(t.Context(), e, r); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for i, result := range results {
		prompt := ids(i, 20+i)
		all := slices.Clone(prompt)
		for _, tok := range result.Tokens {
			all = append(all, tok.ID)
		}
		blocks := []int32{0, 1, 2, 3}
		rows, err := model.Forward(model.NewStorage(len(blocks)),
			[]moe.Span{{Tokens: all, Blocks: blocks, Logits: len(all)}})
		if err != nil {
			t.Fatal(err)
		}
		for k, tok := range result.Tokens {
			want, _ := sample.Logprobs(nil, &sample.Scratch{}, rows[len(prompt)-1+k], tok.ID, 0)
			if math.Float64bits(want) != math.Float64bits(tok.Logprob) {
				t.Errorf("request %d, token %d: log-probability %v, want %v", i, k, tok.Logprob, want)
				break
			}
		}
	}
}

// TestLittleMemory: a KV cache for two contexts and ten requests that want half a context each: they take turns, lose
// their blocks, and come to the same answers as alone.
func TestLittleMemory(t *testing.T) {
	s := synth.Tiny()
	perToken := int64(s.Layers * s.KVHeads * (s.Dim / s.Heads) * 2 * 2)
	var meet atomic.Bool
	var e *Engine
	e = open(t, s, Config{MaxRunning: 10, ContextLength: 128, KVBytes: 2 * 128 * perToken, Throttle: func() {
		for meet.Load() && t.Context().Err() == nil { // until all are there
			if now := e.Status(); now.Running+now.Waiting == 10 {
				meet.Store(false)
			}
			time.Sleep(time.Millisecond)
		}
	}})
	if total := e.Status().KVTotal; total != 16 {
		t.Fatalf("%d blocks", total)
	}
	alone := make([]llmtest.Result, 10)
	for i := range alone {
		var err error
		if alone[i], err = llmtest.Collect(t.Context(), e, ask(ids(i, 20), 60)); err != nil {
			t.Fatal(err)
		}
	}
	meet.Store(true)
	var group sync.WaitGroup
	for i := range alone {
		group.Go(func() {
			out, err := llmtest.Collect(t.Context(), e, ask(ids(i, 20), 60))
			if err != nil || out.Text != alone[i].Text {
				t.Errorf("request %d: %q, %v; alone %q", i, out.Text, err, alone[i].Text)
			}
		})
	}
	group.Wait()
	if s := e.Status(); s.Preempted == 0 || s.KVUsed != 0 {
		t.Errorf("%+v: nobody was pre-empted, or blocks are still in use", s)
	}
}

// TestPrefixIsComputedOnce: the second request with a prompt finds most of it.
func TestPrefixIsComputedOnce(t *testing.T) {
	e := open(t, synth.Tiny(), Config{})
	first, err := llmtest.Collect(t.Context(), e, ask(ids(1, 100), 5))
	if err != nil {
		t.Fatal(err)
	}
	second, err := llmtest.Collect(t.Context(), e, ask(ids(1, 100), 5))
	if err != nil {
		t.Fatal(err)
	}
	if first.Usage.CachedTokens != 0 || second.Usage.CachedTokens != 96 || second.Text != first.Text {
		t.Errorf("first %+v, second %+v", first, second)
	}
}

// TestNumericErrorIsOneRequests: a logit bias that makes a logit infinite is stopped at the door; weights that do are
// the request's error, and the engine goes on.
func TestNumericErrorIsOneRequests(t *testing.T) {
	s := synth.Tiny()
	f := makeFile(t, s)
	x, _ := f.Tensor("token_embd.weight")
	row := len(x.Data) / s.Vocab
	for i := range row {
		x.Data[9*row+i] = 0xff // token 9: every scale is NaN
	}
	e, err := New(f, Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	want, err := llmtest.Collect(t.Context(), e, ask([]int32{1, 2, 3}, 5))
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 6 {
		group.Go(func() {
			if i%2 == 0 {
				if _, err := llmtest.Collect(t.Context(), e, ask([]int32{1, 9, 3}, 5)); !errors.Is(err,
					llm.ErrNumeric) {
					t.Errorf("NaN weights: %v", err)
				}
			} else if got, err := llmtest.Collect(t.Context(), e, ask([]int32{1, 2, 3}, 5)); err != nil ||
				got.Text != want.Text {
				t.Errorf("beside NaN: %q, %v; want %q", got.Text, err, want.Text)
			}
		})
	}
	group.Wait()
}

// TestPanicCostsOneStep: whatever breaks in a step ends that step's requests with an error, not the process.
func TestPanicCostsOneStep(t *testing.T) {
	e := open(t, synth.Tiny(), Config{})
	q, err := e.prepare(t.Context(), ask(ids(1, 10), 50))
	if err != nil {
		t.Fatal(err)
	}
	q.decoder = nil
	if err := e.submit(q); err != nil {
		t.Fatal(err)
	}
	llmtest.Await(t, "the step that panics", q.out.ready)
	if events, err := q.out.take(nil); len(events) > 0 || err == nil || !strings.Contains(err.Error(), "panic") {
		t.Errorf("%v, %v", events, err)
	}
	if _, err := llmtest.Collect(t.Context(), e, ask(ids(2, 10), 5)); err != nil {
		t.Errorf("the next request: %v", err)
	}
	if s := e.Status(); s.KVUsed != 0 || s.Running != 0 {
		t.Errorf("left behind: %+v", s)
	}
}

func TestBadConfig(t *testing.T) {
	f := makeFile(t, synth.Tiny())
	for _, test := range []struct {
		c    Config
		want error
		text string
	}{
		{Config{ContextLength: 4096}, ErrConfig,
			"ContextLength must be 2 to 1024, what the model was trained for, got 4096"},
		{Config{ContextLength: 1}, ErrConfig, "ContextLength"},
		{Config{MaxRunning: -1}, ErrConfig, "MaxRunning"},
		{Config{PrefillChunk: -1}, ErrConfig, "PrefillChunk"},
		{Config{KVBytes: 1 << 16}, ErrMemory,
			"65536 bytes hold 256 tokens, and one sequence of the context needs 262144 (1024 tokens × 256 bytes: " +
				"key and value in f16 × 2 layers × 2 KV heads × 16)"},
		{Config{KVBytes: 1 << 16, KVType: quant.KVQ8}, ErrMemory,
			"hold 448 tokens, and one sequence of the context needs 147456 (1024 tokens × 144 bytes: key and value " +
				"in q8_0 × 2 layers"},
		{Config{KVBytes: 1}, ErrMemory, "hold 0 tokens"},
	} {
		if e, err := New(f, test.c); !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%+v: %v", test.c, err)
			if e != nil {
				e.Close()
			}
		}
	}
	e, err := New(f, Config{KVBytes: 262144})
	if err != nil {
		t.Fatalf("just enough: %v", err)
	}
	e.Close()
}

// TestKVResident: the cache takes memory as blocks are used for the first time, keeps it, and never more than there
// is.
func TestKVResident(t *testing.T) {
	e, err := New(makeFile(t, synth.Tiny()), Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	layout := e.kv.Layout()
	last := e.KVResident()
	if last != 0 {
		t.Errorf("%d bytes before the first request", last)
	}
	for i := range 4 {
		if _, err := llmtest.Collect(t.Context(), e, ask(ids(i, 100), 5)); err != nil {
			t.Fatal(err)
		}
		now, touched := e.KVResident(), int64((i+1)*100/layout.BlockTokens)*layout.BytesPerBlock()
		if now < last || now < touched || now > int64(layout.Blocks)*layout.BytesPerBlock() {
			t.Errorf("after %d prompts %d bytes, after %d there were %d; at least %d were written, %d are the most",
				i+1, now, i, last, touched, int64(layout.Blocks)*layout.BytesPerBlock())
		}
		last = now
	}
	e.Close()
	if n := e.KVResident(); n != 0 {
		t.Errorf("%d bytes after the end", n)
	}
}

func TestRequestsOutOfRange(t *testing.T) {
	e := open(t, synth.Tiny(), Config{})
	nan := math.NaN()
	for field, change := range map[string]func(*llm.Request){
		"temperature":        func(r *llm.Request) { r.Sampling.Temperature = -1 },
		"top_p":              func(r *llm.Request) { r.Sampling.TopP = nan },
		"top_k":              func(r *llm.Request) { r.Sampling.TopK = -1 },
		"min_p":              func(r *llm.Request) { r.Sampling.MinP = 1.5 },
		"repetition_penalty": func(r *llm.Request) { r.Sampling.RepetitionPenalty = -1 },
		"presence_penalty":   func(r *llm.Request) { r.Sampling.PresencePenalty = 3 },
		"frequency_penalty":  func(r *llm.Request) { r.Sampling.FrequencyPenalty = -3 },
		"logit_bias":         func(r *llm.Request) { r.Sampling.LogitBias = map[int32]float64{512: 1} },
		"top_logprobs":       func(r *llm.Request) { r.TopLogprobs = 21 },
		"stop[1]":            func(r *llm.Request) { r.Stop = []string{"a", ""} },
		"max_tokens":         func(r *llm.Request) { r.MaxTokens = -1 },
		"prompt":             func(r *llm.Request) { r.Prompt = "and tokens" },
	} {
		r := ask(ids(1, 3), 2)
		change(r)
		var bad *llm.FieldError
		if err := e.Generate(t.Context(), r, nil); !errors.As(err, &bad) || bad.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

package llmtest

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// What Run needs of the backends it is given.
const (
	MaxRunning = 4    // requests computed together
	MaxWaiting = 4    // requests in the queue
	Context    = 1024 // tokens, at least
)

// Run states the contract of llm.Backend. open must give a fresh backend with the limits above each time; Run closes
// it.
func Run(t *testing.T, open func(t *testing.T) llm.Backend) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, llm.Backend)
	}{
		{"Models", testModels},
		{"Events", testEvents},
		{"Length", testLength},
		{"PromptForms", testPromptForms},
		{"Stop", testStop},
		{"StopReplaced", testStopReplaced},
		{"Seed", testSeed},
		{"Logprobs", testLogprobs},
		{"PromptLogprobs", testPromptLogprobs},
		{"Together", testTogether},
		{"Any", testAny},
		{"Cancel", testCancel},
		{"Deadline", testDeadline},
		{"CancelBefore", testCancelBefore},
		{"SinkError", testSinkError},
		{"BlockedSink", testBlockedSink},
		{"QueueFull", testQueueFull},
		{"BadRequests", testBadRequests},
		{"Grammar", testGrammar},
		{"Tools", testTools},
		{"Tokenize", testTokenize},
		{"Conversations", testConversations},
		{"Close", testClose},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := open(t)
			defer func() { Await(t, "Close", Done(func() { b.Close() })) }()
			test.run(t, b)
		})
	}
}

// Chat is a greedy request of one user message.
func Chat(text string, maxTokens int) *llm.Request {
	return &llm.Request{ID: "test", Messages: []llm.Message{{Role: llm.RoleUser, Content: text}}, MaxTokens: maxTokens}
}

const question = "Which words, dear friend, follow each other in every country of the world?"

func testModels(t *testing.T, b llm.Backend) {
	models := b.Models()
	if len(models) == 0 || models[0].ID == "" || models[0].ContextLength < Context || models[0].Vocab < 0 {
		t.Errorf("models %+v", models)
	}
	if s := b.Status(); !s.Ready || s.Running != 0 || s.Waiting != 0 || s.KVUsed != 0 {
		t.Errorf("status of an idle backend: %+v", s)
	}
}

func testEvents(t *testing.T, b llm.Backend) {
	r := Chat(question, 24)
	ids, err := b.TokenizeChat(r.Messages, nil)
	if err != nil {
		t.Fatal(err)
	}
	out := must(t, b, r)
	if out.Usage.PromptTokens != len(ids) {
		t.Errorf("prompt of %d tokens, tokenizer says %d", out.Usage.PromptTokens, len(ids))
	}
	if n := out.Usage.CompletionTokens; n < 1 || n > 24 || out.Finish == llm.FinishLength && n != 24 {
		t.Errorf("%d tokens, finish %s", n, out.Finish)
	}
	if out.Usage.CachedTokens < 0 || out.Usage.CachedTokens >= len(ids) || out.Usage.Queued < 0 {
		t.Errorf("usage %+v", out.Usage)
	}
	r.Model = b.Models()[0].ID
	if again := must(t, b, r); again.Text != out.Text {
		t.Errorf("by name %q, by default %q", again.Text, out.Text)
	}
	waitIdle(t, b)
}

func testLength(t *testing.T, b llm.Backend) {
	for _, n := range []int{1, 2, 17} {
		r := Chat(question, n)
		r.IgnoreEOS = true
		if out := must(t, b, r); out.Usage.CompletionTokens != n || out.Finish != llm.FinishLength {
			t.Errorf("%d tokens asked for: %d, finish %s", n, out.Usage.CompletionTokens, out.Finish)
		}
	}
	r := Chat(question, 1<<30) // cut to what the context leaves
	r.IgnoreEOS = true
	if out := must(t, b, r); out.Usage.PromptTokens+out.Usage.CompletionTokens > b.Models()[0].ContextLength ||
		out.Finish != llm.FinishLength {
		t.Errorf("%+v, finish %s in a context of %d", out.Usage, out.Finish, b.Models()[0].ContextLength)
	}
}

// testPromptForms: a raw prompt and its tokens are the same question.
func testPromptForms(t *testing.T, b llm.Backend) {
	ids, err := b.Tokenize(question, true)
	if err != nil {
		t.Fatal(err)
	}
	text := must(t, b, &llm.Request{ID: "text", Prompt: question, MaxTokens: 16})
	tokens := must(t, b, &llm.Request{ID: "tokens", PromptTokens: ids, MaxTokens: 16})
	if text.Text != tokens.Text || text.Usage.PromptTokens != len(ids) || tokens.Usage.PromptTokens != len(ids) {
		t.Errorf("text %+v\ntokens %+v", text, tokens)
	}
}

func testSeed(t *testing.T, b llm.Backend) {
	ask := func(seed int64) string {
		r := Chat(question, 24)
		r.Sampling = llm.Sampling{Temperature: 1, Seed: &seed}
		return must(t, b, r).Text
	}
	if a, b := ask(7), ask(7); a != b {
		t.Errorf("one seed, two answers: %q and %q", a, b)
	}
	if a, b := ask(7), ask(8); a == b {
		t.Errorf("two seeds, one answer: %q", a)
	}
}

func testLogprobs(t *testing.T, b llm.Backend) {
	plain := must(t, b, Chat(question, 16))
	r := Chat(question, 16)
	r.Logprobs, r.TopLogprobs = true, 4
	out := must(t, b, r)
	if out.Text != plain.Text {
		t.Errorf("with log-probabilities %q, without %q", out.Text, plain.Text)
	}
	var joined []byte
	for i, tok := range out.Tokens {
		if tok.ID == llm.UnknownID && len(tok.Bytes) == 0 { // of which nothing is known
			continue
		}
		joined = append(joined, tok.Bytes...)
		if !(tok.Logprob <= 0) || math.IsInf(tok.Logprob, 0) || len(tok.Top) != r.TopLogprobs {
			t.Errorf("token %d: %+v", i, tok)
		}
		for k := 1; k < len(tok.Top); k++ {
			if tok.Top[k].Logprob > tok.Top[k-1].Logprob {
				t.Errorf("token %d: alternatives not in falling order: %+v", i, tok.Top)
			}
		}
	}
	if got := string([]rune(string(joined))); got != out.Text { // each stray byte becomes U+FFFD
		t.Errorf("the tokens' bytes make %q, the text is %q", got, out.Text)
	}
}

// testTogether: an answer does not depend on who else asks.
func testTogether(t *testing.T, b llm.Backend) {
	var requests []*llm.Request
	for i := range MaxRunning + MaxWaiting {
		seed := int64(i)
		r := Chat(question+strings.Repeat(" again", 3*i), 16+i)
		if i%2 == 1 {
			r.Sampling = llm.Sampling{Temperature: 0.8, TopP: 0.9, Seed: &seed}
		}
		requests = append(requests, r)
	}
	alone := make([]Result, len(requests))
	for i, r := range requests {
		alone[i] = must(t, b, r)
	}
	var group sync.WaitGroup
	for i, r := range requests {
		group.Go(func() {
			out, err := Collect(t.Context(), b, r)
			if err != nil || out.Text != alone[i].Text ||
				out.Usage.CompletionTokens != alone[i].Usage.CompletionTokens {
				t.Errorf("request %d: together %q, %v; alone %q", i, out.Text, err, alone[i].Text)
			}
		})
	}
	Await(t, "all that were asked together", Done(group.Wait))
	waitIdle(t, b)
}

// long is a request that would take the whole context.
func long() *llm.Request {
	r := Chat(question, 1<<20)
	r.IgnoreEOS = true
	return r
}

func testCancel(t *testing.T, b llm.Backend) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events, returned := 0, false
	err := b.Generate(ctx, long(), func(e llm.Event) error {
		if returned {
			t.Error("event after Generate returned")
		}
		if events++; events == 3 {
			cancel()
		}
		return nil
	})
	returned = true
	if !errors.Is(err, context.Canceled) {
		t.Errorf("after %d events: %v", events, err)
	}
	waitIdle(t, b)
	must(t, b, Chat(question, 4)) // others go on
}

func testDeadline(t *testing.T, b llm.Backend) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := b.Generate(ctx, long(), func(llm.Event) error {
		<-ctx.Done() // so that no backend is fast enough
		return nil
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	waitIdle(t, b)
}

func testCancelBefore(t *testing.T, b llm.Backend) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if out, err := Collect(ctx, b, Chat(question, 8)); !errors.Is(err, context.Canceled) || out.Text != "" {
		t.Errorf("%+v, %v", out, err)
	}
	waitIdle(t, b)
}

func testSinkError(t *testing.T, b llm.Backend) {
	broken := errors.New("pipe is broken")
	calls := 0
	err := b.Generate(t.Context(), long(), func(llm.Event) error {
		if calls++; calls == 2 {
			return broken
		}
		return nil
	})
	if !errors.Is(err, broken) || calls != 2 {
		t.Errorf("after %d calls: %v", calls, err)
	}
	waitIdle(t, b)
}

func testBlockedSink(t *testing.T, b llm.Backend) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reached, release, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	var once sync.Once
	go func() {
		done <- b.Generate(ctx, long(), func(llm.Event) error {
			once.Do(func() { close(reached) })
			select {
			case <-release:
			case <-ctx.Done():
			}
			return nil
		})
	}()
	select {
	case <-reached:
	case err := <-done:
		t.Fatalf("ended before its first event: %v", err)
	case <-time.After(Limit):
		t.Fatalf("no event within %v", Limit)
	}
	for range 3 {
		must(t, b, Chat(question, 8))
	}
	select {
	case err := <-done:
		t.Errorf("the blocked request ended with %v", err)
	default:
	}
	cancel()
	if err := Await(t, "the blocked request after its cancellation", done); !errors.Is(err, context.Canceled) {
		t.Errorf("blocked, then cancelled: %v", err)
	}
	close(release)
	waitIdle(t, b)
}

// testQueueFull: more requests at once than fit are refused, and those that fit are answered.
func testQueueFull(t *testing.T, b llm.Backend) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const n = 8 * (MaxRunning + MaxWaiting)
	errs := make(chan error, n)
	for range n {
		go func() {
			errs <- b.Generate(ctx, long(), func(llm.Event) error {
				time.Sleep(time.Millisecond) // or the fastest backends are done before the last request comes
				return nil
			})
		}()
	}
	full, answered := 0, 0
	for i := range n {
		err := Await(t, "each of many requests at once", errs)
		switch {
		case errors.Is(err, llm.ErrQueueFull):
			full++
		case err == nil || errors.Is(err, context.Canceled):
			answered++
		default:
			t.Error(err)
		}
		if i == n-2*(MaxRunning+MaxWaiting) {
			cancel() // enough was seen
		}
	}
	if full == 0 || answered < MaxRunning {
		t.Errorf("%d of %d refused, %d answered", full, n, answered)
	}
	waitIdle(t, b)
	// A server behind the backend may notice later that the callers have gone.
	var err error
	Until(t, "room for another request", func() bool {
		_, err = Collect(t.Context(), b, Chat(question, 4))
		return !errors.Is(err, llm.ErrQueueFull)
	})
	if err != nil {
		t.Error(err)
	}
}

func testBadRequests(t *testing.T, b llm.Backend) {
	context := b.Models()[0].ContextLength
	for _, test := range []struct {
		name  string
		r     llm.Request
		want  error
		field string
	}{
		{"unknown model", llm.Request{Model: "no-such-model", Prompt: "a"}, llm.ErrModelNotFound, ""},
		{"no prompt", llm.Request{}, llm.ErrBadRequest, ""},
		{"role", llm.Request{Messages: []llm.Message{{Role: "judge", Content: "a"}}}, llm.ErrBadRequest,
			"messages[0].role"},
		{"token", llm.Request{PromptTokens: []int32{1 << 30}}, llm.ErrBadRequest, ""},
		{"negative token", llm.Request{PromptTokens: []int32{-1}}, llm.ErrBadRequest, ""},
		{"long prompt", llm.Request{PromptTokens: make([]int32, context+1)}, llm.ErrContextLength, ""},
		{"empty stop string", llm.Request{Prompt: "a", Stop: []string{"x", ""}}, llm.ErrBadRequest, "stop[1]"},
		{"stop string of bytes", llm.Request{Prompt: "a", Stop: []string{"\xff"}}, llm.ErrBadRequest, "stop[0]"},
		{"long prompt is bad", llm.Request{PromptTokens: make([]int32, context+1)}, llm.ErrBadRequest, ""},
	} {
		test.r.ID, test.r.MaxTokens = "bad", 4
		out, err := Collect(t.Context(), b, &test.r)
		if !errors.Is(err, test.want) || out.Events > 0 {
			t.Errorf("%s: %v after %d events, want %v", test.name, err, out.Events, test.want)
		}
		var field *llm.FieldError
		if test.field != "" && (!errors.As(err, &field) || field.Field != test.field) {
			t.Errorf("%s: %v does not name %s", test.name, err, test.field)
		}
	}
}

func testTokenize(t *testing.T, b llm.Backend) {
	for _, text := range []string{"a", "Hello, world", "naïve 😀 日本語", " two  spaces ", "line\nline\ttab",
		"<s>[INST]</s>"} {
		plain, err := b.Tokenize(text, false)
		if err != nil {
			t.Fatal(err)
		}
		special, err := b.Tokenize(text, true)
		if err != nil || len(special) != len(plain)+1 {
			t.Errorf("%q: %v, with BOS %v, %v", text, plain, special, err)
		}
		for _, ids := range [][]int32{plain, special} {
			if back, err := b.Detokenize(ids); err != nil || back != text {
				t.Errorf("%q became %v, then %q, %v", text, ids, back, err)
			}
		}
	}
	for _, bad := range [][]int32{{-1}, {1 << 30}} {
		if text, err := b.Detokenize(bad); !errors.Is(err, llm.ErrBadRequest) {
			t.Errorf("%v became %q, %v", bad, text, err)
		}
	}
	if _, err := b.TokenizeChat(nil, nil); !errors.Is(err, llm.ErrBadRequest) {
		t.Errorf("no messages: %v", err)
	}
}

func testClose(t *testing.T, b llm.Backend) {
	started, done := make(chan struct{}, MaxRunning), make(chan error, MaxRunning)
	for range MaxRunning {
		go func() {
			var once sync.Once
			begin := func() { once.Do(func() { started <- struct{}{} }) }
			err := b.Generate(t.Context(), long(), func(llm.Event) error {
				begin()
				return nil
			})
			begin() // also where it failed before its first event
			done <- err
		}()
	}
	for range MaxRunning {
		Await(t, "the first event of each", started)
	}
	closed := make(chan error, 1)
	go func() { closed <- b.Close() }()
	if err := Await(t, "Close with requests under way", closed); err != nil {
		t.Error(err)
	}
	for range MaxRunning {
		// one may have just come to its end
		if err := Await(t, "the end of requests under way at Close", done); err != nil &&
			!errors.Is(err, llm.ErrClosed) {
			t.Errorf("under way: %v", err)
		}
	}
	if _, err := Collect(t.Context(), b, Chat(question, 4)); !errors.Is(err, llm.ErrClosed) {
		t.Errorf("afterwards: %v", err)
	}
	if b.Status().Ready {
		t.Error("ready after Close")
	}
	if err := b.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// waitIdle waits until the backend has let go of what it held: it may do so just after Generate returns.
func waitIdle(t *testing.T, b llm.Backend) {
	t.Helper()
	Until(t, "the backend to hold nothing", func() bool {
		s := b.Status()
		return s.Running == 0 && s.Waiting == 0 && s.KVUsed == 0
	})
}

package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// TestLongPromptIsNotEncoded: a text that cannot fit is refused by its length, before it costs anything.
func TestLongPromptIsNotEncoded(t *testing.T) {
	e := open(t, synth.Tiny(), Config{})
	defer e.Close()
	bare := &Engine{tok: e.tok, model: e.model} // without goroutines, which allocate, too
	long := strings.Repeat("a", 4<<20)
	for _, r := range []*llm.Request{{Prompt: long}, {Messages: []llm.Message{{Role: llm.RoleUser, Content: long}}}} {
		_, err := llmtest.Collect(t.Context(), e, r)
		if !errors.Is(err, llm.ErrContextLength) || !errors.Is(err, llm.ErrBadRequest) ||
			!strings.Contains(err.Error(), "has at least ") {
			t.Errorf("%v", err)
		}
		if n := testing.AllocsPerRun(5, func() { bare.checkLength(r) }); n > 10 {
			t.Errorf("the refusal allocates %v times", n)
		}
	}
	short := strings.Repeat("a b ", 2000) // only encoding tells that it is too long
	if _, err := llmtest.Collect(t.Context(), e, &llm.Request{Prompt: short}); !errors.Is(err,
		llm.ErrContextLength) || strings.Contains(err.Error(), "at least ") &&
		!strings.Contains(err.Error(), "at least one more") {
		t.Errorf("%v", err)
	}
}

// TestFullRefusesUnread: a full engine refuses before it encodes the prompt.
func TestFullRefusesUnread(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	// No step follows the first one until the request has left.
	e := open(t, synth.Tiny(), Config{MaxRunning: 1, MaxWaiting: -1, Throttle: func() { <-ctx.Done() }})
	begun := make(chan struct{})
	var once sync.Once
	ended := make(chan error, 1)
	go func() {
		ended <- e.Generate(ctx, &llm.Request{Prompt: "a", IgnoreEOS: true}, func(llm.Event) error {
			once.Do(func() { close(begun) })
			<-ctx.Done()
			return nil
		})
	}()
	llmtest.Await(t, "the first event", begun)
	if err := e.room(); !errors.Is(err, llm.ErrQueueFull) {
		t.Errorf("%v", err)
	}
	cancel()
	if err := llmtest.Await(t, "the end", ended); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := e.room(); err != nil {
		t.Errorf("room when nothing runs: %v", err)
	}
}

// TestThrottle: the hook runs after steps, and its pauses cost time and nothing else.
func TestThrottle(t *testing.T) {
	var steps atomic.Int64
	f := makeFile(t, synth.Tiny())
	e, err := New(f, Config{Throttle: func() { steps.Add(1); time.Sleep(time.Microsecond) }})
	if err != nil {
		t.Fatal(err)
	}
	plain := open(t, synth.Tiny(), Config{})
	defer plain.Close()
	r := llmtest.Chat("What is water?", 20)
	want, err := llmtest.Collect(t.Context(), plain, r)
	if err != nil {
		t.Fatal(err)
	}
	got, err := llmtest.Collect(t.Context(), e, r)
	if err != nil || got.Text != want.Text {
		t.Errorf("%q, %v; without the hook %q", got.Text, err, want.Text)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if n := steps.Load(); n == 0 {
		t.Error(fmt.Sprint(n, " steps"))
	}
}

package mixtral

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/leak"
	"github.com/hxp-enterprise/mixtral/internal/model/catalog"
)

func TestMain(m *testing.M) { leak.Main(m) }

func tinyConfig(change ...func(*Config)) Config {
	c := DefaultConfig()
	c.ModelPath, c.Port, c.MaxTokens, c.DrainTimeoutS = "synth:tiny", 0, 64, 10
	for _, ch := range change {
		ch(&c)
	}
	return c
}

func openTiny(t *testing.T, change ...func(*Config)) *Service {
	t.Helper()
	s, err := Open(t.Context(), tinyConfig(change...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestGenerateCompletion(t *testing.T) {
	s := openTiny(t)
	seed, warm := int64(7), 1.0
	r := Request{Prompt: "What is water?", MaxTokens: 12, Seed: &seed, Temperature: &warm}
	c, err := s.GenerateCompletion(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	// As the steps of the specification read it: result["choices"][0]["message"]["content"].
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var result struct {
		Choices []struct {
			Message      struct{ Role, Content string }
			FinishReason string `json:"finish_reason"`
		}
		Usage struct {
			PromptTokens     int `json:"prompt_tokens"`
			CompletionTokens int `json:"completion_tokens"`
			TotalTokens      int `json:"total_tokens"`
		}
	}
	if err := json.Unmarshal(data, &result); err != nil {
		t.Fatal(err)
	}
	u := result.Usage
	if len(result.Choices) != 1 || result.Choices[0].Message.Content == "" ||
		result.Choices[0].Message.Role != "assistant" || result.Choices[0].Message.Content != c.Text() {
		t.Errorf("%s", data)
	}
	if u.PromptTokens < 5 || u.CompletionTokens < 1 || u.CompletionTokens > 12 ||
		u.TotalTokens != u.PromptTokens+u.CompletionTokens || c.ID == "" || c.Model != s.Model().ID {
		t.Errorf("%s", data)
	}
	var pieces []string
	again, err := s.StreamCompletion(t.Context(), r, func(text string) error {
		pieces = append(pieces,
			text)
		return nil
	})
	if err != nil || again.Text() != c.Text() || strings.Join(pieces, "") != c.Text() || len(pieces) < 2 {
		t.Errorf("streamed %q, %v; at once %q", pieces, err, c.Text())
	}
	conversation, err := s.GenerateCompletion(t.Context(), Request{Messages: []Message{{RoleUser, "What is water?"}},
		MaxTokens: 12, Seed: &seed, Temperature: &warm})
	if err != nil || conversation.Text() != c.Text() {
		t.Errorf("as messages %v, %v; as prompt %q", conversation, err, c.Text())
	}
	if raw, err := s.GenerateCompletion(t.Context(), Request{RawPrompt: "What is water?",
		MaxTokens: 3}); err != nil || raw.Usage.PromptTokens >= u.PromptTokens {
		t.Errorf("%+v, %v", raw, err)
	}
	broken := errors.New("sink")
	if _, err := s.StreamCompletion(t.Context(), r, func(string) error { return broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.GenerateCompletion(stopped, r); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestBadRequests(t *testing.T) {
	s := openTiny(t)
	hot := 2.5
	for field, r := range map[string]Request{
		"prompt":           {},
		"prompt: exactly":  {Prompt: "a", RawPrompt: "b"},
		"max_tokens":       {Prompt: "a", MaxTokens: 65},
		"max_tokens: must": {Prompt: "a", MaxTokens: -1},
		"temperature":      {Prompt: "a", Temperature: &hot},
		"top_p":            {Prompt: "a", TopP: 1.5},
		"top_k":            {Prompt: "a", TopK: -1},
		"min_p":            {Prompt: "a", MinP: 1},
		"presence_penalty": {Prompt: "a", PresencePenalty: 3},
		"stop[1]":          {Prompt: "a", Stop: []string{"x", ""}},
		"messages[1].role": {Messages: []Message{{RoleUser, "a"}, {"judge", "b"}}},
	} {
		if _, err := s.GenerateCompletion(t.Context(), r); !errors.Is(err, ErrBadRequest) ||
			!strings.HasPrefix(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := s.GenerateCompletion(t.Context(), Request{Prompt: "a", Model: "other"}); !errors.Is(err,
		ErrModelNotFound) {
		t.Error(err)
	}
	if _, err := s.GenerateCompletion(t.Context(), Request{Prompt: strings.Repeat("long ", 1<<16)}); !errors.Is(err,
		ErrContextLength) || !errors.Is(err, ErrBadRequest) {
		t.Error(err)
	}
}

func TestListenAndServePortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := openTiny(t, func(c *Config) { c.Port = l.Addr().(*net.TCPAddr).Port })
	if err := s.ListenAndServe(t.Context()); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Error(err)
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys")
	if err := os.WriteFile(keys, []byte("alice short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		change func(*Config)
		want   error
		text   string
	}{
		{func(c *Config) { c.Port = -1 }, ErrConfig, "port"},
		{func(c *Config) { c.APIKeyFile = filepath.Join(dir, "none") }, os.ErrNotExist, "api_key_file"},
		{func(c *Config) { c.APIKeyFile = keys }, ErrConfig, "line 1"},
		{func(c *Config) { c.ModelPath = "no-such.gguf" }, catalog.ErrRef, "no-such.gguf"},
		{func(c *Config) { c.MemoryLimitGB = 0.1 }, ErrMemory, "memory_limit_gb allows 0.10 GiB"},
		{func(c *Config) { c.ContextLength = 1 << 20 }, nil, ""},
	} {
		s, err := Open(t.Context(), tinyConfig(test.change))
		if err == nil {
			s.Close()
		}
		if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("got %v, want %v with %q", err, test.want, test.text)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, tinyConfig()); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestUsage(t *testing.T) {
	s := openTiny(t)
	m, err := s.MemoryUsage()
	if err != nil || m.RSS <= 0 {
		t.Errorf("%+v, %v", m, err)
	}
	if p := s.MemoryPlan(); p.Weights <= 0 || p.KV <= 0 || p.Weights+p.KV+p.Reserve > p.Limit || m.RSS > p.Limit ||
		p.GoLimit() >= p.Limit {
		t.Errorf("plan %+v with %+v in use", p, m)
	}
	if _, err := s.CPUUsage(); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := s.GenerateCompletion(t.Context(), Request{Prompt: "a", MaxTokens: 64}); err != nil {
			t.Fatal(err)
		}
	}
	c, err := s.CPUUsage()
	if err != nil || c.Cores <= 0 || c.Cores > float64(runtime.NumCPU())+0.5 || c.Total <= 0 {
		t.Errorf("%+v, %v", c, err)
	}
	if n := s.Cores(); n < 1 || n > runtime.NumCPU() {
		t.Errorf("%d cores", n)
	}
}

func BenchmarkGenerateCompletion(b *testing.B) {
	s, err := Open(b.Context(), tinyConfig())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for b.Loop() {
		if _, err := s.GenerateCompletion(b.Context(), Request{Prompt: "What is water?", MaxTokens: 16}); err != nil {
			b.Fatal(err)
		}
	}
}

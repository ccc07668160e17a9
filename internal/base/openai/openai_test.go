package openai

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
)

func stdJSON(t interface{ Fatal(...any) }, v any) string {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(buf.String(), "\n")
}

func anyString() *rapid.Generator[string] {
	return rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()),
		func(b []byte) string { return string(b) }),
		rapid.SampledFrom([]string{"", "\u2028", "\u2029x", "a\"b\\c", "<&>", "\x00\x1f\x7f", "\xff", "é😀",
			"\xe2\x80"}))
}

func anyLogprob(t *rapid.T) TopLogprob {
	return TopLogprob{
		Token: anyString().Draw(t, "token"),
		Logprob: rapid.OneOf(rapid.Float64Range(-30, 0), rapid.SampledFrom([]float64{0, -1e-9, -1e-300, -1e22,
			MinLogprob})).Draw(t, "logprob"),
		Bytes: rapid.SampledFrom([]Bytes{nil, {}, {0}, {255, 1}}).Draw(t, "bytes"),
	}
}

func maybe[T any](t *rapid.T, draw func() T) *T {
	if !rapid.Bool().Draw(t, "present") {
		return nil
	}
	v := draw()
	return &v
}

func anyUsage(t *rapid.T) *Usage {
	return maybe(t, func() Usage {
		return Usage{PromptTokens: rapid.Int().Draw(t, "n"),
			PromptTokensDetails: maybe(t, func() PromptDetails { return PromptDetails{3} })}
	})
}

// TestAppendLikeEncodingJSON: the hand-written encoder gives the standard library's bytes.
func TestAppendLikeEncodingJSON(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		str := func() string { return anyString().Draw(t, "string") }
		chunk := ChatChunk{ID: str(), Object: ObjectChatChunk, Created: rapid.Int64().Draw(t, "created"),
			Model: str(), Choices: []ChatChunkChoice{}, Usage: anyUsage(t)}
		for range rapid.IntRange(0, 3).Draw(t, "choices") {
			c := ChatChunkChoice{Index: rapid.IntRange(0, 9).Draw(t, "index"), FinishReason: maybe(t, str)}
			c.Delta = Delta{Role: rapid.SampledFrom([]string{"", "assistant"}).Draw(t, "role"), Content: maybe(t, str)}
			for i := range rapid.IntRange(0, 2).Draw(t, "calls") {
				call := ToolCall{ID: str(), Type: rapid.SampledFrom([]string{"", TypeFunction}).Draw(t, "type"),
					Function: FunctionCall{Name: str(), Arguments: str()}}
				if rapid.Bool().Draw(t, "indexed") {
					call.Index = &i
				}
				c.Delta.ToolCalls = append(c.Delta.ToolCalls, call)
			}
			c.Delta.FunctionCall = maybe(t, func() FunctionCall { return FunctionCall{str(), str()} })
			c.Logprobs = maybe(t, func() ChatLogprobs {
				l := ChatLogprobs{Content: []TokenLogprob{}}
				for range rapid.IntRange(0, 2).Draw(t, "tokens") {
					tok := TokenLogprob{TopLogprob: anyLogprob(t), TopLogprobs: []TopLogprob{}}
					for range rapid.IntRange(0, 2).Draw(t, "top") {
						tok.TopLogprobs = append(tok.TopLogprobs, anyLogprob(t))
					}
					l.Content = append(l.Content, tok)
				}
				return l
			})
			chunk.Choices = append(chunk.Choices, c)
		}
		if got, want := string(AppendChatChunk(nil, &chunk)), stdJSON(t, chunk); got != want {
			t.Fatalf("chat chunk\n got %s\nwant %s", got, want)
		}
		text := TextResponse{ID: str(), Object: ObjectText, Model: str(), Choices: []TextChoice{}, Usage: anyUsage(t)}
		for range rapid.IntRange(0, 2).Draw(t, "texts") {
			text.Choices = append(text.Choices, TextChoice{Text: str(), FinishReason: maybe(t, str)})
		}
		if got, want := string(AppendTextChunk(nil, &text)), stdJSON(t, text); got != want {
			t.Fatalf("text chunk\n got %s\nwant %s", got, want)
		}
	})
}

func TestLogprobNotFinite(t *testing.T) {
	for _, f := range []float64{math.Inf(-1), math.NaN()} {
		if got := string(appendFloat(nil, f)); got != "-9999" {
			t.Errorf("%v became %s", f, got)
		}
	}
}

func TestBytes(t *testing.T) {
	for _, b := range []Bytes{nil, {}, {0, 128, 255}} {
		data, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		var back Bytes
		if err := json.Unmarshal(data, &back); err != nil || !cmp.Equal(b, back) {
			t.Errorf("%v became %s, then %v, %v", b, data, back, err)
		}
	}
	for _, bad := range []string{`[256]`, `[-1]`, `["a"]`, `"AA=="`, `[1.5]`} {
		var b Bytes
		if err := json.Unmarshal([]byte(bad), &b); err == nil {
			t.Errorf("%s read as %v", bad, b)
		}
	}
}

// TestReadsOthers: forms that other servers send.
func TestReadsOthers(t *testing.T) {
	var c ChatChunk
	llamaCpp := `{"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],"created":1,"id":"x","model":"m","object":"chat.completion.chunk","timings":{}}`
	if err := json.Unmarshal([]byte(llamaCpp), &c); err != nil || c.Choices[0].Delta.Role != "assistant" ||
		c.Choices[0].Delta.Content != nil {
		t.Errorf("%+v, %v", c, err)
	}
	c = ChatChunk{}
	if err := json.Unmarshal([]byte(`{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"prompt_tokens_details":null}}`), &c); err != nil || c.Usage.TotalTokens != 7 {
		t.Errorf("%+v, %v", c, err)
	}
	var e ErrorResponse
	if err := json.Unmarshal([]byte(`{"error":{"message":"m","type":"t","param":null,"code":"c"}}`),
		&e); err != nil || e.Error.Message != "m" || *e.Error.Code != "c" {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestChunkAllocatesNothing(t *testing.T) {
	content := "word"
	chunk := ChatChunk{ID: "chatcmpl-1", Object: ObjectChatChunk, Created: 1, Model: "m",
		Choices: []ChatChunkChoice{{Delta: Delta{Content: &content}}}}
	buf := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() { buf = AppendChatChunk(buf[:0], &chunk) }); n != 0 {
		t.Errorf("%v allocations a chunk", n)
	}
}

func BenchmarkAppendChatChunk(b *testing.B) {
	content := " Intelligence"
	chunk := ChatChunk{ID: "chatcmpl-0123456789abcdef", Object: ObjectChatChunk, Created: 1732435200,
		Model: "mixtral", Choices: []ChatChunkChoice{{Delta: Delta{Content: &content}}}}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendChatChunk(buf[:0], &chunk)
	}
	b.SetBytes(int64(len(buf)))
}

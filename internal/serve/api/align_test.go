package api

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/base/property"
	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// TestAligned: for any bytes of tokens, any way of holding text back and any place where it stops, the tokens add up
// to the text, and none comes before its text.
func TestAligned(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "ab", "", "é", "\xc3", "\xa9", "\xff",
			"\xe2\x82", "\xac", "x\xf0\x9f", "\x98\x80", " c", "\ufffd"}), 1, 20).Draw(t, "tokens")
		stops := rapid.SliceOfN(rapid.SampledFrom([]string{"b", "ba", "éa", "\ufffd", "c", "€", "😀a", "zz"}), 0,
			3).Draw(t, "stops")
		var (
			a       aligner
			stop    = llm.NewStops(stops)
			carry   []byte
			text    strings.Builder
			got     []byte
			tokens  int
			ignored = rapid.Bool().Draw(t, "one event for two tokens")
			held    llm.Event
		)
		send := func(e llm.Event) {
			text.WriteString(e.Text)
			for _, tok := range a.take(e) {
				got, tokens = append(got, tok.Bytes...), tokens+1
			}
			whole := string([]rune(string(got)))
			if e.Finish == llm.FinishNone && !strings.HasPrefix(text.String(), whole) {
				t.Fatalf("tokens %q before their text %q", whole, text.String())
			}
		}
		for i, p := range pieces {
			carry = append(carry, p...)
			var out []byte
			for utf8.FullRune(carry) {
				r, size := utf8.DecodeRune(carry)
				out, carry = utf8.AppendRune(out, r), carry[size:]
			}
			said, hit := stop.Write(string(out))
			e := llm.Event{Text: said, Tokens: []llm.Token{{TokenProb: llm.TokenProb{ID: int32(i), Bytes: []byte(p)}}}}
			last := i == len(pieces)-1
			if hit || last {
				e.Finish = llm.FinishLength
				if !hit {
					more, found := stop.Write(strings.Repeat("\ufffd", len(carry)))
					e.Text, hit = e.Text+more, found
				}
				e.Text += stop.Flush()
				if e.Stop = stop.Found(); hit {
					e.Finish = llm.FinishStop
				}
			}
			e.Text, e.Tokens = held.Text+e.Text, append(held.Tokens, e.Tokens...)
			held = llm.Event{}
			if ignored && i%2 == 0 && e.Finish == llm.FinishNone {
				held = e
				continue
			}
			send(e)
			if e.Finish != llm.FinishNone {
				break
			}
		}
		if whole := string([]rune(string(got))); whole != text.String() {
			t.Fatalf("tokens %q, text %q", whole, text.String())
		}
		if stop.Found() == "" && tokens != len(pieces) {
			t.Fatalf("%d of %d tokens", tokens, len(pieces))
		}
	})
}

// TestChatLogprobsAddUp: the log-probabilities of a chat belong to its content, whole and streamed.
func TestChatLogprobsAddUp(t *testing.T) {
	f := start(t)
	for _, stop := range []string{"two", "wo t", "one", "three", "never"} {
		body := with(`"logprobs":true,"stop":["` + stop + `"]`)
		c := post[openai.ChatResponse](f, "/v1/chat/completions", body).Choices[0]
		sum := func(l *openai.ChatLogprobs) (s string) {
			for _, tok := range l.Content {
				s += string(tok.Bytes)
			}
			return s
		}
		if got := sum(c.Logprobs); got != *c.Message.Content {
			t.Errorf("stop %q: tokens %q, content %q", stop, got, *c.Message.Content)
		}
		resp := f.request(t.Context(), "POST", "/v1/chat/completions", strings.TrimSuffix(body, "}")+`,"stream":true}`)
		s := readStream(t, resp.Body)
		resp.Body.Close()
		text, got := "", ""
		for _, data := range s.data {
			if data == openai.Done {
				continue
			}
			for _, c := range decode[openai.ChatChunk](t, []byte(data)).Choices {
				if c.Delta.Content != nil {
					text += *c.Delta.Content
				}
				if c.Logprobs != nil {
					got += sum(c.Logprobs)
				}
				if !strings.HasPrefix(text, got) {
					t.Errorf("stop %q: tokens %q come before their text %q", stop, got, text)
				}
			}
		}
		if got != text {
			t.Errorf("stop %q, streamed: tokens %q, content %q", stop, got, text)
		}
	}
}

package loadgen

import (
	"fmt"
	"strings"
	"testing"
)

// pieces are valid and invalid chunks.
var pieces = []string{
	`{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"word "},"finish_reason":null}]}`,
	`{"choices":[{"index":0,"delta":{"role":"assistant","content":null}}]}`,
	`{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}`,
	`{"choices":[{"delta":{},"index":0,"finish_reason":"stop","stop_reason":7.5e-1}],"usage":null}`,
	`{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":64,"total_tokens":71,"prompt_tokens_details":{"cached_tokens":3}}}`,
	`{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":64,"prompt_tokens_details":null}}`,
	`{"choices":[{"index":0,"delta":{"content":"a\n\"b\" \u00e9 \ud83d\ude00 \ud800"}}]}`,
	`{"choices":[{"index":0,"delta":{"content":"é😀"}}], "x":[1,-2.5,[],{},true,false,"\u12aF\/"]}`,
	"{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"bad \xff utf-8\"}}]}",
	`{"choices":[{"index":1,"delta":{"content":"b"}},{"index":0,"delta":{"content":"a"},"finish_reason":"length"}]}`,
	`{"choices":[{"index":0,"delta":{"content":"a","content":"b"}}]}`,
	`{"choices":[{"index":0,"message":{"content":"whole"},"finish_reason":"stop"}],"usage":{"completion_tokens":1}}`,
	`{"\u0063hoices":[{"delta":{"cont\u0065nt":"escaped keys"}}]}`,
	`{"Choices":[{"delta":{"content":"wrong case"}}]}`,
	`{"error":{"message":"out of memory","type":"server_error"}}`, `{"error":"plain"}`, `{"error":17}`,
	`{"error":null,"choices":[]}`,
	`{}`, `[]`, `null`, `{"choices":null}`, `{"choices":{}}`, `{"choices":[null]}`, `{"choices":["a"]}`,
	`{"choices":[{"delta":null}]}`,
	`{"choices":[{"delta":{"content":["parts"]}}]}`, `{"usage":{"completion_tokens":1.5}}`,
	`{"usage":{"completion_tokens":-1}}`,
	`{"usage":{"completion_tokens":01}}`, `{"usage":{"completion_tokens":12345678901234567890}}`, `{"usage":[]}`,
	`{"usage":{}}`,
	`{"choices":[{"delta":{"content":"cut`, `{"a":1,}`, `{"a" 1}`, `{"a":1}}`, `{"a":tru}`, `{"a":-}`, `{"a":1e}`,
	`{"a":1.}`, "{\"a\":\"\x01\"}", `{"a":"\x"}`, `{"a":"\u12g4"}`, ``, ` `,
	`{"choices":[{"delta":{"content":null,"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":""}}]}}]}`,
	`{"choices":[{"delta":{"content":"a","tool_calls":[]}}]}`, `{"choices":[{"delta":{"tool_calls":null}}]}`,
	`{"choices":[{"delta":{"tool_calls":{}}}]}`, `{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":{"a":1}}}]}}]}`,
	`{"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`,
}

// comparable converts a piece to values that can be compared.
func comparable(p piece) [9]any {
	return [9]any{string(p.text), p.choices, p.finish, p.usage, p.prompt, p.output, p.cached, p.fault,
		fmt.Sprint(p.calls)}
}

// checkPiece compares the fast path with encoding/json: if it returns a result at all, that is the same.
func checkPiece(t *testing.T, data []byte) {
	t.Helper()
	for _, member := range []string{"delta", "message"} {
		var fast piece
		s := scanner{b: data}
		if !s.piece(&fast, member) {
			continue
		}
		slow, err := slowPiece(data, member)
		if err != nil {
			t.Fatalf("%q: the fast path takes it, encoding/json says %v", data, err)
		}
		if comparable(fast) != comparable(slow) {
			t.Fatalf("%q: fast %v, slow %v", data, comparable(fast), comparable(slow))
		}
	}
}

func TestPieces(t *testing.T) {
	for _, data := range pieces {
		checkPiece(t, []byte(data))
	}
	for _, c := range []struct {
		data, member string
		want         piece
	}{
		{pieces[0], "delta", piece{choices: true, text: []byte("word ")}},
		{pieces[1], "delta", piece{choices: true}},
		{pieces[3], "delta", piece{choices: true, finish: "stop"}},
		{pieces[4], "delta", piece{usage: true, prompt: 7, output: 64, cached: 3}},
		{pieces[6], "delta", piece{choices: true, text: []byte("a\n\"b\" é 😀 \ufffd")}},
		{pieces[8], "delta", piece{choices: true, text: []byte("bad \ufffd utf-8")}},
		{pieces[9], "delta", piece{choices: true, text: []byte("a"), finish: "length"}},
		{pieces[11], "message", piece{choices: true, text: []byte("whole"), finish: "stop", usage: true, output: 1}},
		{pieces[11], "delta", piece{choices: true, finish: "stop", usage: true, output: 1}},
		{pieces[12], "delta", piece{choices: true, text: []byte("escaped keys")}},
		{pieces[13], "delta", piece{}},
		{pieces[14], "delta", piece{fault: "out of memory"}},
		{pieces[15], "delta", piece{fault: "plain"}},
	} {
		got, err := parsePiece([]byte(c.data), c.member)
		if err != nil || comparable(got) != comparable(c.want) {
			t.Errorf("%s: %v, %v; want %v", c.data, comparable(got), err, comparable(c.want))
		}
	}
	for _, data := range []string{``, `[]`, `null`, `{"choices":{}}`, `{"choices":[{"delta":{"content":["parts"]}}]}`,
		`{"a":1,}`, `{"usage":{"completion_tokens":1.5}}`, `{"usage":[]}`} {
		if _, err := parsePiece([]byte(data), "delta"); err == nil {
			t.Errorf("%q passes", data)
		}
	}
}

func FuzzPiece(f *testing.F) {
	for _, data := range pieces {
		f.Add([]byte(data))
	}
	f.Fuzz(func(t *testing.T, data []byte) { checkPiece(t, data) })
}

func TestUsualChunkAllocatesNothing(t *testing.T) {
	data := []byte(pieces[0])
	if n := testing.AllocsPerRun(100, func() {
		if _, err := parsePiece(data, "delta"); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%g allocations for a usual chunk", n)
	}
}

func BenchmarkPiece(b *testing.B) {
	data := []byte(pieces[0])
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parsePiece(data, "delta"); err != nil {
			b.Fatal(err)
		}
	}
}

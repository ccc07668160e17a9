package loadgen

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// delta is a chunk whose delta has these tool calls.
func delta(calls string) string {
	return `{"choices":[{"index":0,"delta":{"tool_calls":[` + calls + `]}}]}`
}

// TestCallsAreJoined: tool calls come whole or in pieces, with an index, without one, or with the name repeated in
// each piece. The first piece is the first token.
func TestCallsAreJoined(t *testing.T) {
	for name, c := range map[string]struct {
		chunks []string
		want   []evidence.Call
	}{
		"OpenAI": {[]string{
			delta(`{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":""}}`),
			delta(`{"index":0,"function":{"arguments":"{\"a\""}}`), delta(`{"index":0,"function":{"arguments":":1}"}}`),
			delta(`{"index":1,"id":"c2","function":{"name":"g","arguments":"{}"}}`)},
			[]evidence.Call{{Name: "f", Arguments: `{"a":1}`}, {Name: "g", Arguments: "{}"}}},
		"no index": {[]string{
			delta(`{"id":"c1","function":{"name":"f","arguments":"{"}}`), delta(`{"function":{"arguments":"}"}}`),
			delta(`{"id":"c2","function":{"name":"f","arguments":"{}"}}`)},
			[]evidence.Call{{Name: "f", Arguments: "{}"}, {Name: "f", Arguments: "{}"}}},
		"neither index nor id": {[]string{delta(`{"function":{"name":"f","arguments":"{}"}}`),
			delta(`{"function":{"name":"g","arguments":"{}"}}`)},
			[]evidence.Call{{Name: "f", Arguments: "{}"}, {Name: "g", Arguments: "{}"}}},
		"the name again": {[]string{delta(`{"index":0,"id":"c","function":{"name":"f","arguments":"{"}}`),
			delta(`{"index":0,"id":"c","function":{"name":"f","arguments":"}"}}`)},
			[]evidence.Call{{Name: "f", Arguments: "{}"}}},
		"in turn": {[]string{delta(`{"index":0,"function":{"name":"f"}},{"index":1,"function":{"name":"g"}}`),
			delta(`{"index":1,"function":{"arguments":"1"}},{"index":0,"function":{"arguments":"0"}}`)},
			[]evidence.Call{{Name: "f", Arguments: "0"}, {Name: "g", Arguments: "1"}}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &evidence.Request{}
			a := newAnswer(r, &request{keepText: true, tools: true, bounds: boundsOf(64)})
			for i, chunk := range append(c.chunks,
				`{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}`) {
				if err := a.chunk([]byte(chunk), int64(1000*(i+1))); err != nil {
					t.Fatal(err)
				}
			}
			a.record()
			if err := a.check(); err != nil {
				t.Error(err)
			}
			if !reflect.DeepEqual(r.Calls, c.want) || r.ToolCalls != len(c.want) {
				t.Errorf("%d calls %v, want %v", r.ToolCalls, r.Calls, c.want)
			}
			if r.First != 1000 || r.Last != int64(1000*len(c.chunks)) || r.Chunks != len(c.chunks) ||
				r.TextBytes == 0 {
				t.Errorf("first %d, last %d, %d chunks, %d bytes", r.First, r.Last, r.Chunks, r.TextBytes)
			}
		})
	}
}

// TestCallsAreBounded: a server that never stops calling tools fills neither memory nor the record.
func TestCallsAreBounded(t *testing.T) {
	r := &evidence.Request{}
	a := newAnswer(r, &request{keepText: true, tools: true, bounds: boundsOf(4)})
	long := strings.Repeat("x", a.bounds.text)
	var err error
	for i := range maxCalls + 1 {
		if err = a.chunk([]byte(delta(fmt.Sprintf(`{"index":%d,"function":{"name":"f","arguments":"%s"}}`, i, long))),
			1); err != nil {
			break
		}
	}
	a.record()
	total := 0
	for _, c := range r.Calls {
		total += len(c.Arguments)
	}
	if err == nil || len(r.Calls) != maxCalls || total != a.bounds.text || r.Cut == "" {
		t.Errorf("error %v, %d calls of %d bytes, cut %q", err, len(r.Calls), total, r.Cut)
	}
}

// TestCallsAreNotKeptWhereTextsAreNot: a phase that keeps no texts only counts tool calls.
func TestCallsAreNotKeptWhereTextsAreNot(t *testing.T) {
	r := &evidence.Request{}
	a := newAnswer(r, &request{tools: true, bounds: boundsOf(64)})
	if err := a.whole([]byte(`{"choices":[{"message":{"content":null,"tool_calls":[{"id":"1","function":{"name":"f",`+
		`"arguments":"{}"}},{"id":"2","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}`),
		5); err != nil {
		t.Fatal(err)
	}
	a.record()
	if r.ToolCalls != 2 || r.Calls != nil || a.check() != nil {
		t.Errorf("%d calls, %v, %v", r.ToolCalls, r.Calls, a.check())
	}
}

package loadgen

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/faults"
)

// otherwise is the expected result for strange servers whose answers are not read like those of others.
var otherwise = map[faults.Strange]struct {
	fail   evidence.Failure
	detail string
}{
	faults.Moderated:    {evidence.FailFiltered, "content filter"},
	faults.ToolCalls:    {evidence.FailEmpty, "calls a tool"},
	faults.Cumulative:   {evidence.FailProtocol, "repeats the text so far"},
	faults.LabelledSSE:  {evidence.FailProtocol, "a whole answer where a stream was asked for"},
	faults.Zstd:         {evidence.FailProtocol, `"zstd"`},
	faults.Redirected:   {evidence.FailStatus, "status 308: to https://elsewhere.example/v1/chat/completions"},
	faults.Starting:     {evidence.FailStatus, "status 503: Loading model"},
	faults.StartingChat: {evidence.FailStatus, "status 503: try again later (Retry-After: 1)"},
	faults.LimitedFirst: {evidence.FailStatus, "status 429: try again later (Retry-After: 1)"},
}

// starting are the strange servers that answer like others after faults.StartsIn.
var starting = []faults.Strange{faults.Starting, faults.StartingChat, faults.LimitedFirst}

// TestStreamsInOtherWords: however a server formats its stream, the recorded answer is the one that it sent. Each
// server gets three requests in turn, because some do something to the connection between two.
func TestStreamsInOtherWords(t *testing.T) {
	t.Parallel()
	job := Job{Body: []byte(`{"model":"` + faults.ModelID + `","stream":true,"stream_options":{"include_usage":true},` +
		`"max_tokens":200,"messages":[{"role":"user","content":"why?"}]}`), KeepText: true}
	fast := faults.Config{TTFT: time.Millisecond, Gap: 100 * time.Microsecond}
	usual := faults.New(fast)
	defer usual.Close()
	h := httptest.NewServer(usual)
	defer h.Close()
	want := newClient(t, h.URL, ClientOptions{}).Do(t.Context(), time.Now(), job)
	if !want.OK() || want.Chunks < 10 {
		t.Fatalf("%+v", want)
	}
	for _, s := range append(faults.DialectOnes(), faults.WireOnes()...) {
		t.Run(string(s), func(t *testing.T) {
			t.Parallel()
			config := fast
			config.Fault = s.Inner()
			inner := faults.New(config)
			defer inner.Close()
			began := time.Now()
			h := httptest.NewServer(s.Handler(inner))
			defer h.Close()
			c := newClient(t, h.URL, ClientOptions{})
			for try := range 3 {
				q := c.Do(t.Context(), time.Now(), job)
				expected, ok := otherwise[s]
				if slices.Contains(starting, s) && q.OK() && time.Since(began) >= faults.StartsIn {
					ok = false // on a busy machine the server has started meanwhile
				}
				late := s == faults.LateError || s == faults.ObjectError || s == faults.EventError
				if late && try == 2 {
					expected.fail, expected.detail = evidence.FailProtocol, Reports+": engine ran out of blocks"
					ok = true
				}
				switch {
				case ok && (q.Fail != expected.fail || !strings.Contains(q.Detail, expected.detail)):
					t.Errorf("request %d: %q, %s", try, q.Fail, q.Detail)
				case !ok && (!q.OK() || q.Text != want.Text):
					t.Errorf("request %d: %q, %s, %q", try, q.Fail, q.Detail, q.Text)
				case !ok && s != faults.UsageNull && q.Shown() != want.OutputTokens:
					t.Errorf("request %d: %d tokens, want %d", try, q.Shown(), want.OutputTokens)
				}
				if s == faults.OtherName != (q.OtherModel != "") {
					t.Errorf("request %d: the other model is %q", try, q.OtherModel)
				}
			}
		})
	}
}

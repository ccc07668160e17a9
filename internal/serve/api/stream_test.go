package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
	"github.com/hxp-enterprise/mixtral/internal/serve/messages"
)

// stream is a streamed chat, read to its end.
type stream struct {
	data    []string // of each event
	texts   map[int]string
	roles   map[int]int
	reasons map[int]string
	usage   *openai.Usage
	err     *openai.Error
	done    bool
}

func readStream(t *testing.T, r io.Reader) (s stream) {
	t.Helper()
	s = stream{texts: map[int]string{}, roles: map[int]int{}, reasons: map[int]string{}}
	events := openai.NewReader(r, 0)
	for {
		e, err := events.Next()
		if err == io.EOF {
			return s
		}
		if err != nil {
			t.Fatal(err)
		}
		s.data = append(s.data, string(e.Data))
		if s.done {
			t.Errorf("event after the end: %s", e.Data)
		}
		if e.Done() {
			s.done = true
			continue
		}
		s.chunk(t, e.Data)
	}
}

func (s *stream) chunk(t *testing.T, data []byte) {
	t.Helper()
	var c struct {
		openai.ChatChunk
		Error *openai.Error `json:"error"`
	}
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	s.err = c.Error
	if c.Usage != nil {
		s.usage = c.Usage
	}
	for _, choice := range c.Choices {
		i := choice.Index
		if choice.Delta.Role != "" {
			s.roles[i]++
			if s.texts[i] != "" {
				t.Errorf("the role comes after text: %s", data)
			}
		}
		if choice.Delta.Content != nil {
			s.texts[i] += *choice.Delta.Content
		}
		if choice.FinishReason != nil {
			s.reasons[i] += *choice.FinishReason
		}
	}
}

func TestStream(t *testing.T) {
	f := start(t)
	resp := f.request(t.Context(), "POST", "/v1/chat/completions",
		`{"messages":[{"role":"user","content":"a é😀"}],"temperature":0,"stream":true,"stream_options":{"include_usage":true}}`)
	defer resp.Body.Close()
	if ct := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || ct != "text/event-stream; charset=utf-8" ||
		resp.Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("%s %v", resp.Status, resp.Header)
	}
	s := readStream(t, resp.Body)
	var head struct {
		ID      string
		Created int64
	}
	if err := json.Unmarshal([]byte(s.data[0]), &head); err != nil {
		t.Fatal(err)
	}
	prefix := fmt.Sprintf(`{"id":"%s","object":"chat.completion.chunk","created":%d,"model":"fake","choices":[`,
		head.ID, head.Created)
	var want []string
	for _, choice := range []string{`{"role":"assistant","content":""}`, `{"content":"a"}`, `{"content":" "}`,
		`{"content":"é"}`, `{"content":"😀"}`} {
		want = append(want, prefix+`{"index":0,"delta":`+choice+`,"finish_reason":null}]}`)
	}
	want = append(want, prefix+`{"index":0,"delta":{},"finish_reason":"stop"}]}`,
		prefix+`],"usage":{"prompt_tokens":24,"completion_tokens":9,"total_tokens":33,"prompt_tokens_details":{"cached_tokens":0}}}`, "[DONE]")
	if got := strings.Join(s.data, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	f.wantMetrics(map[string]float64{telemetry.Requests + ",stop": 1, telemetry.PromptTokens: 24,
		telemetry.GenerationTokens: 9})
}

// TestStreamAddsUp: for any request, the stream contains the same as the answer that is not streamed.
func TestStreamAddsUp(t *testing.T) {
	f := start(t)
	for _, fields := range []string{
		`"temperature":0`, `"temperature":1,"seed":3`, `"temperature":1,"seed":3,"n":4`,
		`"temperature":0,"stop":["o t"]`, `"temperature":0,"stop":"e"`,
		`"temperature":0,"max_tokens":5`, `"temperature":0,"max_tokens":1`,
		`"temperature":0,"ignore_eos":true,"max_tokens":40`, `"temperature":0,"logprobs":true,"top_logprobs":3`,
	} {
		body := `{"messages":[{"role":"user","content":"one two 日本語 three"}],` + fields
		whole := post[openai.ChatResponse](f, "/v1/chat/completions", body+"}")
		resp := f.request(t.Context(), "POST", "/v1/chat/completions",
			body+`,"stream":true,"stream_options":{"include_usage":true}}`)
		s := readStream(t, resp.Body)
		resp.Body.Close()
		if !s.done || len(s.texts) != len(whole.Choices) || !reflect.DeepEqual(s.usage, whole.Usage) {
			t.Errorf("%s: %+v; at once %+v", fields, s, whole)
		}
		for i, c := range whole.Choices {
			if s.roles[i] != 1 || s.texts[i] != c.Message.Text() || s.reasons[i] != c.FinishReason {
				t.Errorf("%s: choice %d: %q %s; at once %+v", fields, i, s.texts[i], s.reasons[i], c)
			}
		}
	}
	resp := f.request(t.Context(), "POST", "/v1/chat/completions", with(`"stream":true`))
	if s := readStream(t, resp.Body); s.usage != nil || !s.done {
		t.Errorf("usage unasked: %+v", s)
	}
	resp.Body.Close()
}

func TestStreamText(t *testing.T) {
	f := start(t)
	resp := f.request(t.Context(), "POST", "/v1/completions",
		`{"prompt":["ab","é"],"temperature":0,"stream":true,"logprobs":1,"stream_options":{"include_usage":true}}`)
	defer resp.Body.Close()
	events := openai.NewReader(resp.Body, 0)
	texts, reasons, tokens := map[int]string{}, map[int]string{}, map[int]int{}
	var usage *openai.Usage
	for {
		e, err := events.Next()
		if err != nil {
			t.Fatal(err)
		}
		if e.Done() {
			break
		}
		var c openai.TextResponse
		if err := json.Unmarshal(e.Data, &c); err != nil || c.Object != "text_completion" {
			t.Fatalf("%s: %v", e.Data, err)
		}
		for _, choice := range c.Choices {
			texts[choice.Index] += choice.Text
			if choice.FinishReason != nil {
				reasons[choice.Index] += *choice.FinishReason
			}
			if choice.Logprobs != nil {
				tokens[choice.Index] += len(choice.Logprobs.Tokens)
			}
		}
		usage = c.Usage
	}
	if texts[0] != "ab" || texts[1] != "é" || reasons[0] != "stop" || reasons[1] != "stop" || tokens[0] != 2 ||
		tokens[1] != 2 || usage.PromptTokens != 6 || usage.CompletionTokens != 6 {
		t.Errorf("%v %v %v %+v", texts, reasons, tokens, usage)
	}
}

// TestStreamRefused: a request that is refused before the first event gets its own status, not a stream.
func TestStreamRefused(t *testing.T) {
	f := start(t)
	f.fake.Step = func(context.Context, *llm.Request, int) error { return llm.ErrNumeric }
	_, e := f.wantError("POST", "/v1/chat/completions", with(`"stream":true`), 500, "")
	if *e.Code != "non_finite_logits" {
		t.Errorf("%+v", e)
	}
	f.wantMetrics(map[string]float64{telemetry.Requests + ",error": 1})
}

// TestStreamFails: a later failure is an error event, and the stream has no regular end.
func TestStreamFails(t *testing.T) {
	f := start(t)
	for _, test := range []struct {
		err  error
		code string
	}{{llmtest.ErrScripted, "internal_error"}, {llm.ErrNumeric, "non_finite_logits"}, {llm.ErrClosed, "not_ready"},
		{nil, "internal_error"}} {
		f.fake.Step = func(_ context.Context, _ *llm.Request, i int) error {
			if i < 5 {
				return nil
			}
			if test.err == nil {
				panic("in the middle")
			}
			return test.err
		}
		resp := f.request(t.Context(), "POST", "/v1/chat/completions", with(`"stream":true`))
		s := readStream(t, resp.Body)
		resp.Body.Close()
		if s.done || s.err == nil || *s.err.Code != test.code || s.texts[0] != "one t" || s.reasons[0] != "" ||
			strings.Contains(s.data[len(s.data)-1], "scripted") {
			t.Errorf("%v: %+v", test.err, s)
		}
	}
	f.wantMetrics(map[string]float64{telemetry.Requests + ",error": 4, telemetry.Requests + ",stop": 0,
		telemetry.Panics: 1, telemetry.HTTPRequests + ",200,/v1/chat/completions": 4})
	f.fake.Step = nil
	post[openai.ChatResponse](f, "/v1/chat/completions", chatBody) // other requests are not affected
}

// TestOneOfManyFails: if one of several choices fails, the request ends, and all choices are counted.
func TestOneOfManyFails(t *testing.T) {
	f := start(t)
	f.fake.Step = func(ctx context.Context, r *llm.Request, i int) error {
		if i == 3 && strings.HasSuffix(r.ID, "-1") {
			return llmtest.ErrScripted
		}
		if i == 6 {
			<-ctx.Done()
		}
		return nil
	}
	f.wantError("POST", "/v1/chat/completions", with(`"n":3`), 500, "")
	resp := f.request(t.Context(), "POST", "/v1/chat/completions", with(`"n":3,"stream":true`))
	defer resp.Body.Close()
	if s := readStream(t, resp.Body); s.done || s.err == nil {
		t.Errorf("%+v", s)
	}
	f.wantMetrics(map[string]float64{telemetry.Requests + ",error": 2, telemetry.Requests + ",abort": 4,
		telemetry.Requests + ",stop": 0})
}

// TestKeepAlive: while the model is slow, comments keep the connection open, and the answer is complete.
func TestKeepAlive(t *testing.T) {
	f := start(t, func(c *Config, _ *llmtest.Fake) { c.KeepAlive = 5 * time.Millisecond })
	release := make(chan struct{})
	hold := holdUntil(release)
	f.fake.Step = func(ctx context.Context, r *llm.Request, i int) error {
		if i == 0 || i == 8 {
			return hold(ctx, r, i)
		}
		return nil
	}
	// it returns with the first comment
	resp := f.request(t.Context(), "POST", "/v1/chat/completions", with(`"stream":true`))
	defer resp.Body.Close()
	r := bufio.NewReader(resp.Body)
	waitComment := func() {
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(line, ":") {
				return
			}
		}
	}
	waitComment()
	waitComment()
	release <- struct{}{}
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(line, "data: ") {
			break // the role and the first word; the rest follows
		}
	}
	waitComment()
	release <- struct{}{}
	s := readStream(t, r)
	if !s.done || s.reasons[0] != "stop" || !strings.HasSuffix("one two three", s.texts[0]) || s.texts[0] == "" {
		t.Errorf("%+v", s)
	}
	f.wantMetrics(map[string]float64{telemetry.Requests + ",stop": 1})
}

// TestSilenceBehindTheEnd: however long the handler needs to return, no comment or ping follows a stream's end or its
// error, nor takes the place of an error that has a status of its own.
func TestSilenceBehindTheEnd(t *testing.T) {
	f := start(t)
	broken := toHTTP(llm.ErrNumeric, 0)
	message := func() format { return &messagesFormat{s: f.server, a: messages.NewAnswer("msg_1", "fake", 1)} }
	for _, form := range []func() format{func() format { return chatFormat{} }, message} {
		for name, ends := range map[string]func(o *streamWriter){
			"its regular end": func(o *streamWriter) {
				if err := o.event(0, llm.Event{Text: "a", Finish: llm.FinishStop, Usage: &llm.Usage{}}); err != nil {
					t.Error(err)
				}
			},
			"an error": func(o *streamWriter) {
				if err := o.event(0, llm.Event{Text: "a"}); err != nil {
					t.Error(err)
				}
				o.fail(llm.ErrNumeric, broken)
			},
			"an error before all else": func(o *streamWriter) { o.fail(llm.ErrNumeric, broken) },
		} {
			client := httptest.NewRecorder()
			o := &streamWriter{s: f.server, w: &answer{ResponseWriter: client}, f: form(),
				control: http.NewResponseController(client), j: &job{requests: []*llm.Request{{}}, perText: 1},
				choices: make([]choice, 1), open: make([]bool, 1), called: make([]bool, 1)}
			o.begin()
			ends(o)
			before := client.Body.String()
			o.keepAlive()
			o.end()
			if got := client.Body.String(); got != before || o.w.status == 0 && got != "" {
				t.Errorf("%T, behind %s: %q", o.f, name, strings.TrimPrefix(got, before))
			}
		}
	}
}

// TestClientLeaves: at any point of a request, a client that leaves ends its generation, is counted once, and does not
// affect others.
func TestClientLeaves(t *testing.T) {
	f := start(t)
	aborted := 0
	for _, streamed := range []bool{false, true} {
		for point := range 14 {
			ctx, cancel := context.WithCancel(t.Context())
			reached, freed := make(chan struct{}), make(chan struct{})
			f.fake.Step = func(ctx context.Context, _ *llm.Request, i int) error {
				if i == point {
					close(reached)
					<-ctx.Done() // the model's next step would notice it
					close(freed)
				}
				return nil
			}
			r, err := http.NewRequestWithContext(ctx, "POST", f.http.URL+"/v1/chat/completions",
				strings.NewReader(with(fmt.Sprintf(`"stream":%v`, streamed))))
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() {
				resp, err := f.http.Client().Do(r)
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				ended <- err
			}()
			llmtest.Await(t, fmt.Sprintf("step %d", point), reached)
			cancel()
			llmtest.Await(t, fmt.Sprintf("the end of the generation at step %d", point), freed)
			if err := llmtest.Await(t, "the client's error", ended); !errors.Is(err, context.Canceled) {
				t.Errorf("point %d: %v", point, err)
			}
			aborted++
			llmtest.Until(t, "the abort is counted",
				func() bool { return f.metrics()[telemetry.Requests+",abort"] == float64(aborted) })
		}
	}
	f.fake.Step = nil
	post[openai.ChatResponse](f, "/v1/chat/completions", chatBody)
	llmtest.Until(t, "nothing runs", func() bool { return f.fake.Status().Running == 0 })
	f.wantMetrics(map[string]float64{telemetry.Requests + ",abort": 28, telemetry.Requests + ",stop": 1,
		telemetry.Requests + ",error": 0})
}

// TestClientLeavesTheQueue: the same for a client that leaves while its request is in the queue.
func TestClientLeavesTheQueue(t *testing.T) {
	f := start(t)
	release := make(chan struct{})
	f.fake.Step = holdUntil(release)
	ended := make(chan error, 4)
	for range 4 {
		go func() {
			ended <- f.server.Generate(context.Background(), llmtest.Chat("a", 5),
				func(llm.Event) error { return nil })
		}()
	}
	llmtest.Until(t, "all slots are taken", func() bool { return f.fake.Status().Running == 4 })
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "POST", f.http.URL+"/v1/chat/completions", strings.NewReader(chatBody))
	if err != nil {
		t.Fatal(err)
	}
	left := make(chan error, 1)
	go func() {
		_, err := f.http.Client().Do(r)
		left <- err
	}()
	llmtest.Until(t, "it waits", func() bool { return f.fake.Status().Waiting == 1 })
	cancel()
	if err := llmtest.Await(t, "the client that left", left); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	llmtest.Until(t, "the queue is empty", func() bool { return f.fake.Status().Waiting == 0 })
	close(release)
	for range 4 {
		if err := llmtest.Await(t, "those that ran", ended); err != nil {
			t.Error(err)
		}
	}
	llmtest.Until(t, "all are counted", func() bool {
		m := f.metrics()
		return m[telemetry.Requests+",abort"] == 1 && m[telemetry.Requests+",stop"] == 4 &&
			m[telemetry.HTTPRequests+",499,/v1/chat/completions"] == 1
	})
}

package certify_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/certify/target"
)

// narrow is a server whose model has a small context. A word has perWord tokens, and the chat template adds four.
type narrow struct {
	context, perWord int
	models, props    bool   // which routes say how long the context is
	tokenize         string // the field of /tokenize that has the text; empty: there is no /tokenize
	// the message of a refusal, with the tokens of the prompt, max_tokens and the context; empty: it truncates
	refuses    string
	promptOnly bool // only the length of the prompt counts
}

func (s *narrow) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch {
	case strings.HasSuffix(r.URL.Path, "/models") && s.models:
		fmt.Fprintf(w, `{"object":"list","data":[{"id":"narrow","object":"model","max_model_len":%d}]}`, s.context)
	case strings.HasSuffix(r.URL.Path, "/models"):
		fmt.Fprint(w, `{"object":"list","data":[{"id":"narrow","object":"model"}]}`)
	case r.URL.Path == "/props" && s.props:
		fmt.Fprintf(w, `{"default_generation_settings":{"n_ctx":%d},"total_slots":4}`, s.context)
	case r.URL.Path == "/tokenize" && s.tokenize != "":
		var in map[string]any
		_ = json.NewDecoder(r.Body).Decode(&in)
		text, _ := in[s.tokenize].(string)
		ids, _ := json.Marshal(make([]int, s.perWord*len(strings.Fields(text))))
		fmt.Fprintf(w, `{"tokens":%s}`, ids)
	case strings.HasSuffix(r.URL.Path, "/chat/completions"):
		s.chat(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (s *narrow) chat(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Messages  []struct{ Content string }
		MaxTokens int `json:"max_tokens"`
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	prompt := 4
	for _, m := range q.Messages {
		prompt += s.perWord * len(strings.Fields(m.Content))
	}
	most := q.MaxTokens
	if s.promptOnly {
		most = 1
	}
	if prompt+most > s.context && s.refuses != "" {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"error":{"message":%q,"code":400}}`, fmt.Sprintf(s.refuses, prompt, most, s.context))
		return
	}
	answer := strings.TrimSpace(strings.Repeat("word ", max(q.MaxTokens/s.perWord, 1)))
	fmt.Fprintf(w, `{"id":"1","object":"chat.completion","model":"narrow","choices":[{"index":0,"message":`+
		`{"role":"assistant","content":%q},"finish_reason":"length"}],`+
		`"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}`, answer, prompt, q.MaxTokens,
		prompt+q.MaxTokens)
}

const fitCase = `
schema_version: 1
id: TC-LENGTHS
name: Lengths
targets: {latency_ms: 20000, throughput_rps: 20, concurrency: 2}
limits: {issue_delay_ms: 100000}
request: {max_tokens: 100, stream: false}
profiles:
  quick:
    - {id: load, kind: closed, requests: 20, traffic: {input: {shape: fixed, mean: 300}}}
  long:
    - {id: load, kind: closed, requests: 20, traffic: {input: {shape: uniform, min: 10, max: 600}}}
  talk:
    - {id: load, kind: closed, requests: 9, traffic: {input: {shape: fixed, mean: 100}, turns: {shape: fixed, mean: 3}}}
checks:
  - {id: errors, clause: few fail, rule: error_budget}
  - {id: steps, clause: all ran, rule: steps_complete}
`

// The messages of real servers.
const (
	likeVLLM = "'max_tokens' is too large: %[2]d. This model's maximum context length is %[3]d tokens and your " +
		"request has %[1]d input tokens"
	likeLlama = "the request (%[1]d tokens) exceeds the available context size (%[3]d tokens), try increasing it"
	likeTGI   = "Input validation error: `inputs` tokens + `max_new_tokens` must be <= %[3]d. Given: %[1]d `inputs` " +
		"tokens and %[2]d `max_new_tokens`"
	noSize = "%[1]d+%[2]d is too long for this model's context window"
)

// TestLengthsThatDoNotFit checks requests that are longer than the model's context. They are no fault of the server.
// The error comes before the load and has the lengths, wherever the server says how long its context is.
func TestLengthsThatDoNotFit(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "case.yaml")
	if err := os.WriteFile(path, []byte(fitCase), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		server  narrow
		profile string
		want    []string // in the error; nil: there is none
	}{
		"told by models": {narrow{context: 512, perWord: 1, models: true, tokenize: "prompt", refuses: likeVLLM},
			"long", []string{"counted by the server's tokenizer", "and 100 an answer",
				"context is 512 tokens (max_model_len", "profile quick fits"}},
		"two tokens a word": {narrow{context: 512, perWord: 2, models: true, tokenize: "prompt", refuses: likeVLLM},
			"quick", nil}, // 300 tokens are 150 words here
		"told by props": {narrow{context: 256, perWord: 1, props: true, tokenize: "content", refuses: likeLlama,
			promptOnly: true}, "quick", []string{"up to 30", "context is 256 tokens (n_ctx in /props)"}},
		"answers do not fit": {narrow{context: 350, perWord: 1, models: true, refuses: likeVLLM}, "quick",
			[]string{"refuses the longest request", "maximum context length is 350"}},
		"answers end early": {narrow{context: 350, perWord: 1, models: true, tokenize: "prompt"}, "quick", nil},
		"told by the refusal": {narrow{context: 512, perWord: 1, refuses: likeTGI}, "long",
			[]string{"estimated", "must be <= 512"}},
		"refused with no size": {narrow{context: 512, perWord: 1, refuses: noSize}, "long",
			[]string{"context window", "shorten"}},
		"cut without a word": {narrow{context: 256, perWord: 1}, "quick", nil},
		"a conversation": {narrow{context: 512, perWord: 1, models: true, tokenize: "prompt", refuses: likeVLLM},
			"talk", []string{"up to 5"}},
		"even the proof": {narrow{context: 60, perWord: 1, refuses: likeVLLM}, "quick",
			[]string{"with at most 100 tokens of answer, is refused", "maximum context length is 60"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := httptest.NewServer(&c.server)
			defer h.Close()
			dir := t.TempDir()
			rep, err := certify.Run(t.Context(), certify.Options{Case: path, Profile: c.profile, Target: h.URL,
				ReportDir: dir, Seed: 5})
			if len(c.want) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				want(t, rep, "errors", certify.Pass, "")
				return
			}
			if !errors.Is(err, target.ErrSetup) {
				t.Fatalf("error %v, want one of set-up", err)
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %v lacks %q", err, part)
				}
			}
			if files, _ := os.ReadDir(dir); len(files) > 0 {
				t.Errorf("a report was written: %v", files)
			}
		})
	}
}

// outgrowing accepts the proof, and later refuses what is longer than its context. So it behaves like a server in a
// conversation whose answers are longer than expected.
type outgrowing struct {
	narrow
	mu sync.Mutex
}

func (s *outgrowing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.HasSuffix(r.URL.Path, "/chat/completions") && s.context == 512 && r.ContentLength > 2000 {
		s.context = 100 // the trial of the longest request is over
		s.refuses = ""
		s.chat(w, r)
		s.refuses = likeVLLM
		return
	}
	s.narrow.ServeHTTP(w, r)
}

// TestRequestsThatOutgrowTheContext checks that refusals because of the length do not fail the server: the run is
// INVALID and says why.
func TestRequestsThatOutgrowTheContext(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "case.yaml")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(fitCase, "mean: 300", "mean: 450")), 0o644); err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(&outgrowing{narrow: narrow{context: 512, perWord: 1}})
	defer h.Close()
	dir := t.TempDir()
	rep, err := certify.Run(t.Context(), certify.Options{Case: path, Target: h.URL, ReportDir: dir, Seed: 5})
	if err != nil {
		t.Fatal(err)
	}
	if rep.Status != certify.Invalid {
		t.Errorf("status %s", rep.Status)
	}
	want(t, rep, "errors", certify.Invalid, "maximum context length is 100")
	again(t, report.PathsFor(dir, rep))
}

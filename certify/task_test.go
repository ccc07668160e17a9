package certify_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/certify/report"
)

// pupil is a server that answers the questions of all tasks. Of every ten answers to a kind of question, the first
// wrong ones are wrong.
type pupil struct {
	wrong    int64
	asked    [5]atomic.Int64
	alsoTalk bool // answers to other questions are wrong as often
}

var (
	sum    = regexp.MustCompile(`What is (\d+) plus (\d+)\?`)
	secret = regexp.MustCompile(`secret number of the harbour is (\d+)\.`)
)

func (s *pupil) answer(question string, format json.RawMessage) string {
	bad := func(kind int) bool { return s.asked[kind].Add(1)%10 < s.wrong }
	if m := secret.FindStringSubmatch(question); m != nil {
		if bad(0) {
			return "It is not in the text."
		}
		return "It is " + m[1] + "."
	}
	if format != nil {
		if bad(1) || !strings.Contains(string(format), `"json_schema"`) {
			return `{"total":"many"}`
		}
		return `{"total":3}`
	}
	if m := sum.FindStringSubmatch(question); m != nil {
		a, _ := strconv.Atoi(m[1])
		b, _ := strconv.Atoi(m[2])
		if bad(2) {
			a++
		}
		return fmt.Sprintf("Added up. The answer is %d.", a+b)
	}
	if s.alsoTalk && bad(4) {
		return "Nothing comes to mind."
	}
	return "A reasonable answer to whatever was asked."
}

func (s *pupil) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if strings.HasSuffix(r.URL.Path, "/models") {
		fmt.Fprint(w, `{"object":"list","data":[{"id":"pupil","object":"model"}]}`)
		return
	}
	if !strings.HasSuffix(r.URL.Path, "/chat/completions") {
		http.NotFound(w, r)
		return
	}
	var q struct {
		Messages []struct{ Content string }
		Format   json.RawMessage `json:"response_format"`
		Tools    []json.RawMessage
		Choice   json.RawMessage `json:"tool_choice"`
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil || len(q.Messages) == 0 {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	if len(q.Tools) > 0 {
		s.call(w, q.Messages[0].Content, string(q.Choice))
		return
	}
	text, _ := json.Marshal(s.answer(q.Messages[len(q.Messages)-1].Content, q.Format))
	fmt.Fprintf(w, `{"id":"1","object":"chat.completion","model":"pupil","choices":[{"index":0,"message":`+
		`{"role":"assistant","content":%s},"finish_reason":"stop"}],`+
		`"usage":{"prompt_tokens":9,"completion_tokens":9,"total_tokens":18}}`, text)
}

// call answers a sum with a tool call. It answers other questions without a call unless the request demands one.
func (s *pupil) call(w http.ResponseWriter, question, choice string) {
	name, arguments := "add", `{"a":0}`
	if m := sum.FindStringSubmatch(question); m != nil && s.asked[3].Add(1)%10 >= s.wrong {
		arguments = fmt.Sprintf(`{"b":%s,"a":%s}`, m[2], m[1])
	}
	message := fmt.Sprintf(`{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function",`+
		`"function":{"name":%q,"arguments":%q}}]}`, name, arguments)
	finish := "tool_calls"
	if choice == `"auto"` && !sum.MatchString(question) {
		message, finish = `{"role":"assistant","content":"No tool does that."}`, "stop"
	}
	fmt.Fprintf(w, `{"id":"1","object":"chat.completion","model":"pupil","choices":[{"index":0,"message":%s,`+
		`"finish_reason":%q}],"usage":{"prompt_tokens":9,"completion_tokens":9,"total_tokens":18}}`, message, finish)
}

const taskCase = `
schema_version: 1
id: TC-TASKS
name: Answers that are graded
targets: {latency_ms: 20000, throughput_rps: 20, quality: 0.5, memory_gb: 90, cpu_cores: 8, concurrency: 4}
limits: {issue_delay_ms: 100000}
request: {max_tokens: 64, stream: false}
profiles:
  quick:
    - {id: sums, kind: closed, task: {kind: exact_match, file: sums.jsonl}}
    - {id: sample, kind: closed, requests: 20, task: {kind: exact_match, file: sums.jsonl}}
    - {id: chat, kind: closed, requests: 20, task: {kind: rouge, file: chat.jsonl}}
    - {id: json, kind: open, rps: 40, duration_s: 1, task: {kind: json, file: sums.jsonl, schema: answer.json}}
    - {id: needle, kind: closed, requests: 60, task: {kind: needle, tokens: [100, 400], depths: [0, 0.5, 1]}}
    - {id: auto, kind: closed, requests: 100, task: {kind: tools, file: tools.jsonl}}
    - {id: forced, kind: open, rps: 40, duration_s: 1, task: {kind: tools, file: tools.jsonl, most: 10, tool_choice: named}}
checks:
  - {id: sums, clause: sums are right, rule: exact_match, phase: sums, limit: 0.75}
  - {id: sample, clause: sums are right, rule: exact_match, phase: sample, limit: 0.75}
  - {id: rouge, clause: chats are alike, rule: rouge1, phase: chat, limit: 0.9}
  - {id: json, clause: schemas are kept, rule: json_valid, phase: json, limit: 0.5}
  - {id: needle, clause: needles are found, rule: needle, phase: needle, limit: 0.5}
  - {id: tool-valid, clause: calls keep schemas, rule: tool_valid, phase: auto, limit: 0.5}
  - {id: tool-name, clause: tools are known, rule: tool_name, phase: auto, limit: 0.9}
  - {id: tool-match, clause: arguments are right, rule: tool_match, phase: forced, limit: 0.5}
  - {id: answers, clause: answers are valid, rule: answers_valid}
`

// TestTasksAreGraded checks that exact match, ROUGE, JSON and needles are graded under load and judged: a complete set
// by its mean, a sample by an end of its confidence interval.
func TestTasksAreGraded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var sums, chat strings.Builder
	for i := range 40 {
		fmt.Fprintf(&sums, `{"question":"What is %d plus %d?","answer":"So #### %d"}`+"\n", i, i+2, 2*i+2)
		fmt.Fprintf(&chat, `{"question":"Say it %d.","response":"A reasonable answer to whatever was asked."}`+"\n", i)
	}
	const addTool = `"tools":[{"type":"function","function":{"name":"add","parameters":{"type":"object","properties":` +
		`{"a":{"type":"integer"},"b":{"type":"integer"}},"required":["a","b"]}}}]`
	var calls strings.Builder
	for i := range 10 {
		fmt.Fprintf(&calls, `{"prompt":"What is %d plus 2?",%s,"calls":[{"name":"add","arguments":{"a":%d,"b":2}}]}`+
			"\n", i, addTool, i)
	}
	fmt.Fprintf(&calls, `{"prompt":"Who wrote Faust?",%s,"calls":[]}`+"\n", addTool)
	for name, text := range map[string]string{"case.yaml": taskCase, "sums.jsonl": sums.String(),
		"chat.jsonl":  chat.String(),
		"tools.jsonl": calls.String(),
		"answer.json": `{"type":"object","properties":{"total":{"type":"integer"}},"required":["total"]}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		wrong                                    int64
		sums, sample, rouge, json, needle, tools certify.Verdict
	}{
		{0, certify.Pass, certify.Pass, certify.Pass, certify.Pass, certify.Pass, certify.Pass},
		{2, certify.Pass, certify.Invalid, certify.Pass, certify.Pass, certify.Pass, certify.Pass},
		{9, certify.Fail, certify.Fail, certify.Pass, certify.Fail, certify.Fail, certify.Fail},
	} {
		t.Run(fmt.Sprint(c.wrong), func(t *testing.T) {
			t.Parallel()
			h := httptest.NewServer(&pupil{wrong: c.wrong})
			defer h.Close()
			out := t.TempDir()
			rep, err := certify.Run(t.Context(), certify.Options{Case: filepath.Join(dir, "case.yaml"), Target: h.URL,
				ReportDir: out, Seed: 5})
			if err != nil {
				t.Fatal(err)
			}
			for id, verdict := range map[string]certify.Verdict{"sums": c.sums, "sample": c.sample, "rouge": c.rouge,
				"json": c.json, "needle": c.needle, "tool-valid": c.tools, "tool-match": c.tools,
				"tool-name": certify.Pass} {
				want(t, rep, id, verdict, "")
				if k := checkOf(t, rep, id); k.Interval == nil || k.Measured == nil {
					t.Errorf("%s has no figure: %s", id, k.Reason)
				}
			}
			want(t, rep, "answers", certify.Pass, "")
			want(t, rep, "tool-name", certify.Pass, "100 answers, every one of 11 questions")
			want(t, rep, "sums", c.sums, "40 answers, every one of 40 questions")
			want(t, rep, "sample", c.sample, "20 answers, a sample of 40 questions")
			if c.wrong == 9 {
				want(t, rep, "sums", certify.Fail, "such as ")
				want(t, rep, "needle", certify.Fail, "weakest: ")
				want(t, rep, "tool-valid", certify.Fail, "do not keep the schema")
			}
			again(t, report.PathsFor(out, rep))
		})
	}
}

package certify

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/loadgen"
	"github.com/hxp-enterprise/mixtral/internal/certify/quality/dataset"
	"github.com/hxp-enterprise/mixtral/internal/certify/quality/tools"
	"github.com/hxp-enterprise/mixtral/internal/certify/traffic"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// task makes the requests of a phase with graded answers, and grades the answers.
type task struct {
	spec   *testcases.Task
	seed   uint64
	items  []dataset.Item
	format json.RawMessage      // response_format of the requests
	schema *jsonschema.Resolved // the schema that answers must satisfy
	tools  []tools.Question     // of a task of the kind tools
	tokens tokenizer            // counts the tokens of the needles' texts
}

// newTask makes a task and reads its files. Errors name the file.
func newTask(spec *testcases.Task, files map[string][]byte, seed uint64) (*task, error) {
	t := &task{spec: spec, seed: seed}
	if spec.Kind == testcases.TaskTools {
		return t, t.readTools(files[spec.File])
	}
	if spec.File != "" {
		items, err := dataset.Read(strings.NewReader(string(files[spec.File])))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", spec.File, err)
		}
		want := map[testcases.TaskKind]dataset.Kind{testcases.TaskExactMatch: dataset.Math,
			testcases.TaskRouge: dataset.Chat}[spec.Kind]
		for _, it := range items {
			if want != "" && it.Kind != want {
				return nil, fmt.Errorf("%s: question %s is of the shape %q, the task %s needs %q", spec.File, it.ID,
					it.Kind, spec.Kind, want)
			}
		}
		if spec.Most > 0 && spec.Most < len(items) {
			items = items[:spec.Most]
		}
		t.items = items
	}
	if spec.Schema == "" {
		return t, nil
	}
	var s jsonschema.Schema
	if err := json.Unmarshal(files[spec.Schema], &s); err != nil {
		return nil, fmt.Errorf("%s: %w", spec.Schema, err)
	}
	var err error
	if t.schema, err = s.Resolve(nil); err != nil {
		return nil, fmt.Errorf("%s: %w", spec.Schema, err)
	}
	t.format, err = json.Marshal(map[string]any{"type": "json_schema", "json_schema": map[string]any{
		"name": "answer", "strict": true, "schema": json.RawMessage(files[spec.Schema])}})
	return t, err
}

// question is one request: the question, and what the answer is compared with.
type question struct {
	item   dataset.Item
	of     int
	group  string
	needle string // the number that the answer must contain
	tools  *tools.Question
}

func (t *task) question(n int) question {
	if len(t.tools) > 0 {
		return t.toolQuestion(n)
	}
	if len(t.items) > 0 {
		return question{item: t.items[n%len(t.items)], of: len(t.items)}
	}
	length := t.spec.Tokens[n%len(t.spec.Tokens)]
	depth := t.spec.Depths[n/len(t.spec.Tokens)%len(t.spec.Depths)]
	rng := rand.New(rand.NewPCG(t.seed^0x6e6565646c65, uint64(n)))
	number := strconv.Itoa(100000 + rng.IntN(900000))
	fill := max(traffic.Words(length, t.tokens.perWord)-needleWords, 0)
	before := int(depth * float64(fill))
	return question{needle: number, group: fmt.Sprintf("%d tokens, depth %g", length, depth), item: dataset.Item{
		ID: strconv.Itoa(n), Prompt: "Read the text, then answer the question after it.\n\n" +
			traffic.Text(t.seed, uint64(2*n), before) + ". The secret number of the harbour is " + number + ". " +
			traffic.Text(t.seed, uint64(2*n+1), fill-before) +
			".\n\nWhat is the secret number of the harbour? Answer with the number alone."}}
}

// needleWords is the length, in tokens, of a needle's prompt without the made-up text: the sentence with the number,
// whose digits are one token each in Mixtral's vocabulary, the question, and the chat template.
const needleWords = 52

// job makes request n.
func (t *task) job(a *asker, ph testcases.Phase, index, n int) loadgen.Job {
	q := t.question(n)
	body := a.chat(q.messages(), a.c.MaxTokens(ph), a.c.Request.Temperature, int64(n), a.c.Request.Stream)
	switch {
	case t.format != nil:
		body = withFields(body, map[string]json.RawMessage{"response_format": t.format})
	case q.tools != nil:
		body = withFields(body, t.toolFields(q.tools))
	}
	return loadgen.Job{Prompt: string(t.spec.Kind) + "/" + q.item.ID, KeepText: true, Body: body}
}

// messages returns the messages of a question.
func (q *question) messages() []openai.Message {
	if q.tools != nil {
		return q.tools.Messages
	}
	var out []openai.Message
	if q.item.System != "" {
		out = append(out, openai.Message{Role: "system", Content: q.item.System})
	}
	return append(out, openai.Message{Role: "user", Content: q.item.Prompt})
}

// withFields adds fields to a request's JSON.
func withFields(body []byte, more map[string]json.RawMessage) []byte {
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(body, &fields); err != nil {
		panic("certify: " + err.Error()) // cannot happen: the JSON was made here
	}
	maps.Copy(fields, more)
	body, err := json.Marshal(fields)
	if err != nil {
		panic("certify: " + err.Error()) // cannot happen: the values are valid
	}
	return body
}

// mostWhy limits what a grade says about a wrong answer, in characters.
const mostWhy = 160

// grade grades the answers that the phase kept. It runs after the phase, because grading would take CPU time from the
// load.
func (p *phaseRun) grade(ctx context.Context, t *task) {
	for _, r := range p.texts {
		if ctx.Err() != nil {
			return // a missing grade makes the check INVALID
		}
		p.r.record.add(evidence.Event{Grade: t.grade(&r)})
	}
}

// grade grades one answer.
func (t *task) grade(r *evidence.Request) *evidence.Grade {
	q := t.question(r.N)
	g := &evidence.Grade{Phase: r.Phase, N: r.N, Item: q.item.ID, Of: q.of, Group: q.group}
	if q.tools != nil {
		g.Values, g.Why = t.toolValues(q.tools, r.Calls)
	} else {
		g.Values, g.Why = t.values(q, r.Text)
	}
	if runes := []rune(g.Why); len(runes) > mostWhy {
		g.Why = string(runes[:mostWhy]) + "…"
	}
	if g.Why != "" && r.Ended() == evidence.EndLength {
		g.Why += "; max_tokens cut the answer"
	}
	return g
}

// values returns an answer's grades, from 0 to 1, by rule, and what is wrong with the answer.
func (t *task) values(q question, answer string) (values map[testcases.Rule]float64, why string) {
	one := func(rule testcases.Rule, right bool, wrong string) (map[testcases.Rule]float64, string) {
		if right {
			return map[testcases.Rule]float64{rule: 1}, ""
		}
		return map[testcases.Rule]float64{rule: 0}, wrong
	}
	switch t.spec.Kind {
	case testcases.TaskExactMatch:
		return one(testcases.RuleExactMatch, q.item.Correct(answer),
			fmt.Sprintf("the answer must be %s, ends with %q", q.item.Reference, tail(answer)))
	case testcases.TaskNeedle:
		return one(testcases.RuleNeedle, hasNumber(answer, q.needle),
			fmt.Sprintf("%s: the number %s is not in %q", q.group, q.needle, tail(answer)))
	case testcases.TaskJSON:
		err := t.valid(answer)
		return one(testcases.RuleJSONValid, err == nil, fmt.Sprint(err))
	}
	rouge := dataset.ScoreRouge(q.item.Reference, answer)
	return map[testcases.Rule]float64{testcases.RuleRouge1: rouge.One.F, testcases.RuleRouge2: rouge.Two.F,
		testcases.RuleRougeL: rouge.L.F}, ""
}

// valid checks an answer with the schema.
func (t *task) valid(answer string) error {
	var doc any
	if err := json.Unmarshal([]byte(answer), &doc); err != nil {
		return fmt.Errorf("no JSON: %w", err)
	}
	return t.schema.Validate(doc)
}

// tail is the end of an answer, where its result usually is.
func tail(s string) string {
	runes := []rune(strings.TrimSpace(s))
	return string(runes[max(len(runes)-40, 0):])
}

// hasNumber says whether a text has a number that is not a part of another number.
func hasNumber(text, number string) bool {
	text = strings.NewReplacer(",", "", "\u202f", "").Replace(text)
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r < '0' || r > '9' }) {
		if word == number {
			return true
		}
	}
	return false
}

// readTasks makes the tasks of the profile's phases, by the phase's index.
func (p *plan) readTasks() error {
	p.tasks = map[int]*task{}
	for i, ph := range p.phases {
		if ph.Task == nil {
			continue
		}
		t, err := newTask(ph.Task, p.loaded.Files, uint64(p.o.Seed)+uint64(i)<<32)
		if err != nil {
			return fmt.Errorf("%w: phase %s: %w", ErrOptions, ph.ID, err)
		}
		p.tasks[i] = t
	}
	return nil
}

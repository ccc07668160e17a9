package certify

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/prompts"
	"github.com/hxp-enterprise/mixtral/certify/target"
	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/loadgen"
	"github.com/hxp-enterprise/mixtral/internal/certify/traffic"
	"github.com/hxp-enterprise/mixtral/testcases"
)

const (
	// mostSessions and mostWords limit the sessions and words that are generated to find the longest request of a
	// phase.
	mostSessions = 4096
	mostWords    = 20_000_000

	// perMessage is how many tokens a chat template adds to a message: [INST] and [/INST], or the names of roles.
	perMessage = 5

	// estimateShare is the error of prompts.EstimateTokens.
	estimateShare = 0.2

	// smallContext, in tokens, is a context that every server has today. Shorter requests need no check.
	smallContext = 512
)

// fitPatience is how long to wait for a refusal of the longest request. Servers check the length before they compute.
// Tests have more patience.
var fitPatience = 3 * time.Second

// lengths are the lengths of a request, in tokens: of its prompt, and the most of its answer.
type lengths struct {
	phase          string
	prompt, answer int
	text           string // of the prompt, if it is a single text
	n              int    // the request's number in the phase, or the session's
	index          int
}

// told lists where servers say how long their context is. key is the name that describe gives to it.
var told = []struct{ key, where string }{
	{"max_model_len", "max_model_len in /v1/models"},
	{"default_generation_settings.n_ctx", "n_ctx in /props"},
	{"context_length", "context_length"},
	{"max_total_tokens", "max_total_tokens in /info"},
}

// context is the model's context, in tokens of prompt and answer together, and where the server says so; 0: it does
// not say.
func (s *server) context() (tokens int, where string) {
	for _, x := range told {
		if n, err := strconv.Atoi(s.described[x.key]); err == nil && n > 0 {
			return n, x.where
		}
	}
	return 0, ""
}

// fits checks that the longest request of the profile fits the model's context. A server is right to refuse a longer
// request, so a run with such requests must not begin. If the server does not say how long its context is, the longest
// request is sent as a trial.
func (r *runner) fits(ctx context.Context) result {
	l := r.longest(ctx)
	if l.phase == "" {
		return result{detail: "the profile sends no requests"}
	}
	limit, where := r.server.context()
	short, long := l.prompt-perMessage, l.prompt // the least and the most tokens that the prompt may have
	by := r.tokens.by
	if !r.tokens.exact || l.text == "" {
		short, long = int(float64(l.prompt)*(1-estimateShare)), int(float64(l.prompt)*(1+estimateShare))
		by = "estimated"
	}
	said := fmt.Sprintf("up to %d tokens a prompt (%s, phase %s) and %d an answer", l.prompt, by, l.phase, l.answer)
	switch {
	case limit > 0 && short >= limit:
		why := fmt.Sprintf("the model's context is %d tokens (%s)", limit, where)
		return result{err: r.tooLong(said, why, limit)}
	case limit > 0 && long+l.answer <= limit:
		return result{detail: fmt.Sprintf("%s, in a context of %d", said, limit)}
	case limit == 0 && long+l.answer <= smallContext:
		return result{detail: said + "; the server does not tell its context"}
	}
	if refused := r.tryLongest(ctx, l); refused != "" {
		n := contextIn(refused)
		return result{err: r.tooLong(said, "the server refuses the longest request: "+refused, n)}
	}
	if limit == 0 {
		return result{detail: said + "; the server does not tell its context, and takes the longest request"}
	}
	return result{detail: fmt.Sprintf("%s, together more than the context of %d: the server takes such a request, "+
		"and its answer may end early", said, limit)}
}

// tooLong is the error for a case whose requests do not fit. It names the profiles that do fit.
func (r *runner) tooLong(said, why string, limit int) error {
	var fitting []string
	for _, name := range slices.Sorted(maps.Keys(r.plan.c.Profiles)) {
		if name != r.plan.o.Profile && limit > 0 && r.profileFits(name, limit) {
			fitting = append(fitting, name)
		}
	}
	help := "shorten traffic.input, traffic.output or max_tokens, or give the server a longer context"
	if len(fitting) > 0 {
		help = fmt.Sprintf("profile %s fits; or %s", strings.Join(fitting, " or "), help)
	}
	return fmt.Errorf("%w: the lengths of case %s, profile %s, do not fit the model: %s; %s: %s", target.ErrSetup,
		r.plan.c.ID, r.plan.o.Profile, said, why, help)
}

// profileFits says whether another profile of the case would fit, by estimates.
func (r *runner) profileFits(profile string, limit int) bool {
	loaded, err := r.plan.loaded.Clone()
	if err != nil {
		return false
	}
	p := &plan{o: r.plan.o, loaded: loaded, c: loaded.Case, phases: loaded.Case.Profiles[profile]}
	p.o.Profile = profile
	if err := p.readTraffic(); err != nil {
		return false
	}
	l := (&runner{plan: p, requests: newAsker(p, ""), tokens: r.tokens}).longestEstimated()
	return float64(l.prompt)*(1+estimateShare)+float64(l.answer) <= float64(limit)
}

// longest finds the longest request of the profile. The server's tokenizer, if it has one, counts its prompt.
func (r *runner) longest(ctx context.Context) lengths {
	l := r.longestEstimated()
	if l.text != "" && r.tokens.exact {
		if n, err := r.server.client.Tokenize(ctx, r.server.model, l.text); err == nil {
			l.prompt = n + perMessage
		} else {
			l.text = "" // the length stays an estimate
		}
	}
	return l
}

// longestEstimated finds the request with the most tokens of prompt and answer together, by estimates.
func (r *runner) longestEstimated() (most lengths) {
	take := func(l lengths) {
		if l.prompt+l.answer > most.prompt+most.answer {
			most = l
		}
	}
	for i, ph := range r.plan.phases {
		if ph.Kind == testcases.KindIdle || ph.Kind == testcases.KindAudit {
			continue
		}
		var l lengths
		switch s := r.requests.sources[i]; {
		case s != nil:
			l = r.longestSession(s, i, ph)
		default:
			l = r.longestAsked(i, ph)
		}
		l.phase, l.index = ph.ID, i
		take(l)
	}
	return most
}

// longestAsked finds the request with the longest prompt in a phase with the case's prompts or with a task.
func (r *runner) longestAsked(index int, ph testcases.Phase) (most lengths) {
	n := len(r.requests.keys(ph))
	if t := r.requests.tasks[index]; t != nil {
		n = max(t.size(), len(t.spec.Tokens)*len(t.spec.Depths))
	}
	bytes := 0
	for i := range min(n, mostSessions) {
		l := lengths{n: i, answer: r.plan.c.MaxTokens(ph)}
		var body struct {
			Messages []struct{ Content string } `json:"messages"`
			Tools    json.RawMessage            `json:"tools"`
		}
		job := r.requests.job(index, ph, i)
		if json.Unmarshal(job.Body, &body) != nil {
			continue
		}
		for _, m := range body.Messages {
			l.prompt += prompts.EstimateTokens(m.Content) + perMessage
		}
		l.prompt += prompts.EstimateTokens(string(body.Tools))
		if len(body.Messages) == 1 && len(body.Tools) == 0 {
			l.text = body.Messages[0].Content
		}
		if l.prompt > most.prompt {
			most = l
		}
		if bytes += len(job.Body); bytes > 4*mostWords {
			break
		}
	}
	return most
}

// longestSession finds the longest request in the sessions of a phase with traffic. The prompt of a turn includes the
// earlier turns.
func (r *runner) longestSession(s *traffic.Source, index int, ph testcases.Phase) (most lengths) {
	n := ph.Requests
	if ph.Kind == testcases.KindOpen {
		n = len(r.requests.schedule(r.plan, index, ph, 0))
	} else if ph.DurationS > 0 || ph.Kind == testcases.KindSweep {
		n = max(n, mostSessions)
	}
	words := 0
	for i := range min(n, mostSessions) {
		session := s.Session(i)
		l := lengths{n: i, prompt: r.tokens.of(s, session.System)}
		if session.System != "" {
			l.prompt += perMessage
		}
		for k, t := range session.Turns {
			l.prompt += r.tokens.of(s, t.Text) + perMessage
			words += len(t.Text) / bytesPerToken
			if l.answer = cmp.Or(t.MaxTokens, r.plan.c.MaxTokens(ph)); k < len(session.Turns)-1 {
				l.prompt += l.answer
			}
		}
		if len(session.Turns) == 1 && session.System == "" {
			l.text = session.Turns[0].Text
		}
		if l.prompt+l.answer > most.prompt+most.answer {
			most = l
		}
		if words > mostWords {
			break
		}
	}
	return most
}

// tryLongest sends the longest request and returns the server's message if it refuses it because of its length. A
// server that has not refused it after fitPatience has accepted it, and the request is canceled.
func (r *runner) tryLongest(ctx context.Context, l lengths) string {
	ph := r.plan.phases[l.index]
	c, err := r.server.loadClient(r.plan.c, ph)
	if err != nil {
		return ""
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, fitPatience)
	defer cancel()
	q := c.Do(ctx, time.Now(), r.longestJob(l, ph))
	if !refusal(q) || !namesContext(q.Detail) {
		return ""
	}
	return strings.TrimPrefix(q.Detail, fmt.Sprintf("status %d: ", q.Status))
}

// contextWords matches the messages with which servers refuse a request that is longer than the model's context: those
// of vLLM, SGLang, llama.cpp, TGI, TensorRT-LLM, OpenAI and this project's own server.
var contextWords = regexp.MustCompile(`(?i)context (?:length|size|window)|context_length_exceeded|the context of \d|` +
	"max_new_tokens` must be <=|must have less than \\d+ tokens|(?:max_)?(?:input|seq(?:uence)?)[_ ]len(?:gth)?|" +
	`longer than the model`)

func namesContext(message string) bool { return contextWords.MatchString(message) }

// contextSizes find the length of the context in such a message.
var contextSizes = []*regexp.Regexp{
	regexp.MustCompile(`(?i)context (?:length|size|window)(?: is| of)? \(?([\d,]+)`),
	regexp.MustCompile(`(?i)([\d,]+) maximum context length`),
	regexp.MustCompile(`(?i)the context of ([\d,]+)`),
	regexp.MustCompile(`must be <= ([\d,]+)`),
	regexp.MustCompile(`less than ([\d,]+) tokens`),
}

// contextIn is the context that a message names, in tokens, or 0.
func contextIn(message string) int {
	for _, form := range contextSizes {
		if m := form.FindStringSubmatch(message); m != nil {
			if n, err := strconv.Atoi(strings.ReplaceAll(m[1], ",", "")); err == nil {
				return n
			}
		}
	}
	return 0
}

// outgrown says whether a request was refused during the load because it is longer than the model's context. That is
// the fault of the case: a conversation, for example, may have grown by the server's long answers.
func outgrown(q *evidence.Request) bool {
	return q.Fail == evidence.FailStatus && (q.Status == 400 || q.Status == 413 || q.Status == 422) &&
		namesContext(q.Detail)
}

// longestJob makes the longest request again, with made-up answers if it is a conversation.
func (r *runner) longestJob(l lengths, ph testcases.Phase) loadgen.Job {
	s := r.requests.sources[l.index]
	if s == nil {
		return r.requests.job(l.index, ph, l.n)
	}
	session := s.Session(l.n)
	messages := r.requests.opening(session, l.index, ph, l.n)
	last := len(session.Turns) - 1
	for k := range last {
		most := cmp.Or(session.Turns[k].MaxTokens, r.plan.c.MaxTokens(ph))
		messages = append(messages, openai.Message{Role: "assistant", Content: traffic.Text(r.requests.seed, uint64(k),
			traffic.Words(most, r.tokens.perWord))}, openai.Message{Role: "user", Content: session.Turns[k+1].Text})
	}
	return r.requests.turn(session, l.index, ph, l.n, last, messages)
}

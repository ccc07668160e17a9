package certify

import (
	"encoding/json"
	"math"
	"slices"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/prompts"
	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/certify/loadgen"
	"github.com/hxp-enterprise/mixtral/internal/certify/traffic"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// A salt has five letters. It is short, so that it adds few tokens, and there are more than eleven million different
// ones. Each phase has its own range.
const (
	saltLetters = 5
	saltSpace   = 26 * 26 * 26 * 26 * 26
	saltStretch = 600_000 // salts of one phase, enough for 19 phases
)

// salt returns the marker of a request. It permutes the request numbers, so that no marker comes twice in a run.
func salt(seed uint64, phase, n int) string {
	// a prime that does not divide saltSpace, so that i ↦ i·multiplier + seed takes every value once
	const multiplier = 7_368_787
	i := uint64(phase*saltStretch+n) % saltSpace
	v := (i*multiplier + seed%saltSpace) % saltSpace
	var b [saltLetters]byte
	for k := range b {
		b[k] = 'a' + byte(v%26)
		v /= 26
	}
	return string(b[:])
}

// salted puts a reference line before a prompt, so that prompts begin differently but ask the same question.
func salted(prompt, marker string) string { return "Ref " + marker + ".\n" + prompt }

// asker makes the requests of a run.
type asker struct {
	c       *testcases.Case
	prompts *prompts.Set
	model   string
	seed    uint64
	form    form

	exact   bool                    // some phase demands answers of exact lengths
	sources map[int]*traffic.Source // for the phases with their own traffic, by their index
	tasks   map[int]*task
}

func newAsker(p *plan, model string) *asker {
	return &asker{c: p.c, prompts: p.loaded.Prompts, model: model, seed: uint64(p.o.Seed),
		form: form{extra: p.c.Request.Body}, sources: p.sources, tasks: p.tasks, exact: slices.ContainsFunc(p.phases,
			func(ph testcases.Phase) bool { return ph.Traffic.IgnoresEnd() })}
}

// keys returns the keys of the prompts that a phase uses in turn.
func (a *asker) keys(ph testcases.Phase) []string {
	if len(ph.Prompts) > 0 {
		return ph.Prompts
	}
	return a.prompts.Keys()
}

// job makes request n of a phase. The same run with the same seed makes the same requests.
func (a *asker) job(index int, ph testcases.Phase, n int) loadgen.Job {
	if t := a.tasks[index]; t != nil {
		return t.job(a, ph, index, n)
	}
	if s := a.sources[index]; s != nil {
		return a.begin(s, index, ph, n)
	}
	keys := a.keys(ph)
	key := keys[n%len(keys)]
	p, _ := a.prompts.ByKey(key) // cannot fail: the case was checked
	text := p.Text
	if a.c.Request.Salt && ph.Kind != testcases.KindQuality {
		text = salted(text, salt(a.seed, index, n))
	}
	// Different requests get different seeds, below 2³¹ because some servers demand that.
	sampling := int64((a.seed + uint64(index)*saltStretch + uint64(n)) % math.MaxInt32)
	return loadgen.Job{Prompt: key, KeepText: ph.KeepText, Body: a.body(text, a.c.MaxTokens(ph),
		a.c.Request.Temperature, sampling)}
}

// proof makes a request of the proof before the load: a request of the phase with its own salt.
func (a *asker) proof(ph testcases.Phase, try int, stream bool) loadgen.Job {
	p, _ := a.prompts.ByKey(a.keys(ph)[0])
	text := p.Text
	if a.c.Request.Salt {
		text = salted(text, salt(a.seed, proofPhase, try))
	}
	return loadgen.Job{Prompt: p.Key(), KeepText: true, Body: a.chatTo([]openai.Message{{Role: "user", Content: text}},
		a.c.MaxTokens(ph),
		a.c.Request.Temperature, int64(try), stream, a.exact)}
}

// body returns the JSON of a request with one message.
func (a *asker) body(text string, maxTokens int, temperature float64, seed int64) []byte {
	return a.bodyOf(text, maxTokens, temperature, seed, a.c.Request.Stream)
}

func (a *asker) bodyOf(text string, maxTokens int, temperature float64, seed int64, stream bool) []byte {
	return a.chat([]openai.Message{{Role: "user", Content: text}}, maxTokens, temperature, seed, stream)
}

// chat returns the JSON of a request with several messages.
func (a *asker) chat(messages []openai.Message, maxTokens int, temperature float64, seed int64, stream bool) []byte {
	return a.chatTo(messages, maxTokens, temperature, seed, stream, false)
}

// chatTo is chat; exact demands that the answer has exactly maxTokens tokens.
func (a *asker) chatTo(messages []openai.Message, maxTokens int, temperature float64, seed int64,
	stream, exact bool) []byte {
	r := openai.ChatRequest{Messages: messages}
	r.IgnoreEOS = exact
	r.Model, r.MaxTokens, r.Temperature, r.Seed, r.Stream = a.model, maxTokens, &temperature, &seed, stream
	if r.Stream { // only very old servers refuse it
		r.StreamOptions = &openai.StreamOptions{IncludeUsage: true}
	}
	data, err := json.Marshal(r)
	if err != nil {
		panic("certify: " + err.Error()) // cannot happen: r has only strings and numbers
	}
	return a.form.apply(data)
}

// load makes the load plan of a phase. from is the number of the first request, because a warm-up has several rounds.
func (a *asker) load(p *plan, index int, ph testcases.Phase, from int) loadgen.Plan {
	out := loadgen.Plan{
		ID: ph.ID, Kind: ph.Kind, Requests: ph.Requests, Concurrency: p.c.InFlight(ph),
		MinDuration: seconds(ph.DurationS), MaxDuration: seconds(ph.MaxS), Ramp: seconds(ph.RampS),
		Make: func(n int) loadgen.Job { return a.job(index, ph, from+n) },
	}
	if s := a.sources[index]; s != nil && ph.Traffic.Turns != nil {
		out.Then = newTalks(a, s, index, ph).next
	}
	if t := a.tasks[index]; t != nil && out.Requests == 0 && ph.Kind != testcases.KindOpen {
		out.Requests = t.size() // each question once
	}
	switch ph.Kind {
	case testcases.KindOpen:
		out.Cap = p.c.Limits.MaxInFlight
		out.Offsets = a.schedule(p, index, ph, from)
		if out.MinDuration == 0 {
			out.MinDuration = out.Offsets[len(out.Offsets)-1]
		}
	case testcases.KindQuality:
		if out.Requests == 0 {
			out.Requests = len(a.keys(ph))
		}
	}
	return out
}

// offsets returns the arrival times of an open-loop phase. A Poisson process with n arrivals in d has them at n
// uniformly distributed times: the gaps are drawn, and then scaled so that arrival n+1 would be at d. So the offered
// rate is exactly the case's; otherwise it would vary by 3 % for a thousand arrivals.
func offsets(seed uint64, rps float64, d time.Duration, atLeast int, arrivals testcases.Arrivals) []time.Duration {
	n := max(atLeast, int(math.Round(rps*d.Seconds())), 1)
	length := time.Duration(float64(n) / rps * float64(time.Second))
	if arrivals == testcases.ArrivalsConstant {
		return loadgen.Constant(rps, 0, n)
	}
	drawn := loadgen.Poisson(seed, rps, 0, n+1)
	scale := float64(length) / float64(drawn[n])
	out := drawn[:n]
	for i := range out {
		out[i] = time.Duration(float64(out[i]) * scale)
	}
	return out
}

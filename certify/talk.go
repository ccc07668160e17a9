package certify

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/loadgen"
	"github.com/hxp-enterprise/mixtral/internal/certify/traffic"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// readTraffic makes the sources of the phases with their own traffic. A phase that replays a trace gets the trace's
// rate and length, so that the report says what was offered.
func (p *plan) readTraffic() error {
	if err := p.readTasks(); err != nil {
		return err
	}
	for i := range p.phases {
		ph := &p.phases[i]
		if ph.Traffic == nil {
			continue
		}
		s, err := traffic.New(ph.Traffic, p.loaded.Files[ph.Traffic.File], uint64(p.o.Seed)+uint64(i)<<32)
		if err != nil {
			return &testcases.Problem{Key: fmt.Sprintf("profiles.%s[%d].traffic.file", p.o.Profile, i),
				Reason: err.Error()}
		}
		if p.sources == nil {
			p.sources = map[int]*traffic.Source{}
		}
		p.sources[i] = s
		if ph.Arrivals == testcases.ArrivalsTrace {
			at := s.Schedule(seconds(ph.DurationS))
			if ph.DurationS == 0 { // until the last arrival
				ph.DurationS = max(at[len(at)-1].Seconds(), 0.001)
			}
			ph.RPS = float64(len(at)) / ph.DurationS
			if ph.RampS >= ph.DurationS {
				return &testcases.Problem{Key: fmt.Sprintf("profiles.%s[%d].ramp_s", p.o.Profile, i),
					Reason: fmt.Sprintf("must be below the trace's %s s, got %g", short(ph.DurationS), ph.RampS)}
			}
		}
	}
	return nil
}

// CheckTraffic reads the traffic files of a profile's phases. Its error says what is wrong with them.
func CheckTraffic(loaded *testcases.Loaded, profile string) error {
	clone, err := loaded.Clone()
	if err != nil {
		return err
	}
	p := &plan{o: Options{Profile: profile, Seed: 1}, loaded: clone, c: clone.Case,
		phases: clone.Case.Profiles[profile]}
	return p.readTraffic()
}

// schedule returns the arrival times of an open-loop phase, from its start. The steps of a sweep have different ones:
// from, the number of their first request, tells them apart.
func (a *asker) schedule(p *plan, index int, ph testcases.Phase, from int) []time.Duration {
	seed := uint64(p.o.Seed) + uint64(index) + uint64(from)<<32
	switch {
	case ph.Arrivals == testcases.ArrivalsTrace && a.sources[index] != nil:
		return a.sources[index].Schedule(seconds(ph.DurationS) + time.Nanosecond)
	case len(ph.Stages) > 0 || ph.Arrivals == testcases.ArrivalsGamma:
		return traffic.Arrivals(seed, ph, p.c.Rate(ph))
	}
	return offsets(seed, p.c.Rate(ph), seconds(ph.DurationS), ph.Requests, ph.Arrivals)
}

// begin makes the first request of session n of a phase's traffic.
func (a *asker) begin(s *traffic.Source, index int, ph testcases.Phase, n int) loadgen.Job {
	session := s.Session(n)
	return a.turn(session, index, ph, n, 0, a.opening(session, index, ph, n))
}

// opening returns the messages that a session begins with.
func (a *asker) opening(session traffic.Session, index int, ph testcases.Phase, n int) []openai.Message {
	text := session.Turns[0].Text
	if a.c.Request.Salt && ph.Traffic.Shared == 0 && !ph.Traffic.Format.Trace() {
		text = salted(text, salt(a.seed, index, n)) // texts with a shared beginning are meant to be cached
	}
	var messages []openai.Message
	if session.System != "" {
		messages = append(messages, openai.Message{Role: "system", Content: session.System})
	}
	return append(messages, openai.Message{Role: "user", Content: text})
}

// turn makes the request for one turn of a session, with all earlier messages.
func (a *asker) turn(session traffic.Session, index int, ph testcases.Phase, n, turn int,
	messages []openai.Message) loadgen.Job {
	most := session.Turns[turn].MaxTokens
	if most == 0 {
		most = a.c.MaxTokens(ph)
	}
	sampling := int64((a.seed + uint64(index)*saltStretch + uint64(n) + uint64(turn)<<20) % math.MaxInt32)
	job := loadgen.Job{Prompt: session.Key, KeepText: ph.KeepText, MaxTokens: most, Turn: turn,
		Body: a.chatTo(messages, most, a.c.Request.Temperature, sampling, a.c.Request.Stream, ph.Traffic.IgnoresEnd())}
	if len(session.Turns) > 1 {
		job.Session = fmt.Sprint(n)
		job.KeepText, job.Forget = true, !ph.KeepText
	}
	return job
}

// talks are the unfinished conversations of a phase.
type talks struct {
	a     *asker
	s     *traffic.Source
	index int
	ph    testcases.Phase

	mu   sync.Mutex
	said map[string][]openai.Message // the messages so far, by session
}

func newTalks(a *asker, s *traffic.Source, index int, ph testcases.Phase) *talks {
	return &talks{a: a, s: s, index: index, ph: ph, said: map[string][]openai.Message{}}
}

// next makes the turn after an answered one. Its messages include the server's answers.
func (t *talks) next(q *evidence.Request) (loadgen.Job, time.Duration, bool) {
	var n int
	if _, err := fmt.Sscan(q.Session, &n); err != nil {
		return loadgen.Job{}, 0, false // a session of one turn
	}
	session := t.s.Session(n)
	turn := q.Turn + 1
	t.mu.Lock()
	said, ok := t.said[q.Session]
	delete(t.said, q.Session)
	t.mu.Unlock()
	if turn >= len(session.Turns) {
		return loadgen.Job{}, 0, false
	}
	if !ok {
		said = t.a.opening(session, t.index, t.ph, n)
	}
	said = append(said, openai.Message{Role: "assistant", Content: q.Text},
		openai.Message{Role: "user", Content: session.Turns[turn].Text})
	t.mu.Lock()
	t.said[q.Session] = said
	t.mu.Unlock()
	return t.a.turn(session, t.index, t.ph, n, turn, said), session.Turns[turn].Think, true
}

// arrivalsText names what arrives in an open-loop phase.
func arrivalsText(ph testcases.Phase) string {
	if ph.Traffic.Talks() {
		return "conversations/s"
	}
	return "requests/s"
}

// askedText describes the requests of a phase that does not use the case's prompts. It begins with a comma.
func askedText(ph testcases.Phase) string {
	switch {
	case ph.Task != nil && ph.Task.File == "":
		return fmt.Sprintf(", of task %s with up to %d tokens", ph.Task.Kind, slices.Max(ph.Task.Tokens))
	case ph.Task != nil:
		return fmt.Sprintf(", of task %s with the questions of %s", ph.Task.Kind, ph.Task.File)
	case ph.Traffic == nil:
		return ""
	case ph.Traffic.File != "":
		if ph.Traffic.Format.Trace() {
			return ", with the lengths of " + ph.Traffic.File
		}
		return ", with the prompts of " + ph.Traffic.File
	case ph.Traffic.Input != nil:
		return ", with prompts of " + lengthText(ph.Traffic.Input)
	}
	return ""
}

// lengthText describes a distribution of tokens in words.
func lengthText(d *testcases.Distribution) string {
	switch {
	case d.Shape == testcases.ShapeFixed:
		return short(d.Mean) + " tokens"
	case d.Shape == testcases.ShapeUniform:
		return fmt.Sprintf("%s to %s tokens", short(d.Min), short(d.Max))
	case d.Mean > 0:
		return fmt.Sprintf("about %s tokens (%s)", short(d.Mean), d.Shape)
	}
	return fmt.Sprintf("drawn lengths (%s)", d.Shape)
}

// stagesText describes the load of a phase's stages, or returns "".
func stagesText(ph testcases.Phase) string {
	var parts []string
	what := arrivalsText(ph)
	for _, s := range ph.Stages {
		rate := short(s.RPS)
		if s.End() != s.RPS {
			rate += " to " + short(s.End())
		}
		parts = append(parts, fmt.Sprintf("%s %s for %s s", rate, what, short(s.DurationS)))
	}
	if ph.Arrivals == testcases.ArrivalsTrace && ph.RPS == 0 {
		return "the arrivals of a trace, " + string(ph.Traffic.Format) + ", from " + ph.Traffic.File
	}
	return strings.Join(parts, ", then ")
}

// bytesPerToken is the average length of a token of English text, in bytes, for a vocabulary of 32,000 tokens.
const bytesPerToken = 4

// TrafficLengths draws n sessions of a phase's traffic. For each turn it returns the tokens of the prompt, with all
// earlier messages, and the most tokens of the answer. It counts a token for four bytes of text, or for a word of a
// made-up prompt.
func TrafficLengths(l *testcases.Loaded, ph testcases.Phase, seed uint64, n int) (prompts, outputs []int, err error) {
	s, err := traffic.New(ph.Traffic, l.Files[ph.Traffic.File], seed)
	if err != nil {
		return nil, nil, err
	}
	made := ph.Traffic.File == "" || ph.Traffic.Format.Trace()
	for i := range n {
		session := s.Session(i)
		before := len(session.System) / bytesPerToken
		for _, t := range session.Turns {
			tokens := len(t.Text) / bytesPerToken
			if made {
				tokens = strings.Count(t.Text, " ") + 1
			}
			most := t.MaxTokens
			if most == 0 {
				most = l.Case.MaxTokens(ph)
			}
			prompts, outputs = append(prompts, max(before+tokens, 1)), append(outputs, most)
			before += tokens + most
		}
	}
	return prompts, outputs, nil
}

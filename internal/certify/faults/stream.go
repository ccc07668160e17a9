package faults

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// answer is one completion that is ready to be sent.
type answer struct {
	id     string
	words  []string
	finish string
	prompt int // tokens of the prompt
	usage  int // completion tokens that the usage reports
	ttft   time.Duration
	gap    time.Duration
	// the number of words at the beginning that are reasoning
	thoughts int
	cut      bool // the connection closes in the middle of the answer
	count    func(first, done time.Time)
}

func (a *answer) usageJSON() string {
	return fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}`, a.prompt, a.usage,
		a.prompt+a.usage)
}

// chunk sends one event of a stream, together with those that were only written.
func (a *answer) chunk(w http.ResponseWriter, delta, finish, usage string) {
	a.event(w, delta, finish, usage)
	w.(http.Flusher).Flush()
}

// event writes one event of a stream.
func (a *answer) event(w http.ResponseWriter, delta, finish, usage string) {
	choices := "[]"
	if usage == "" {
		fin := "null"
		if finish != "" {
			fin = strconv.Quote(finish)
		}
		choices = `[{"index":0,"delta":` + delta + `,"finish_reason":` + fin + `}]`
	} else {
		usage = `,"usage":` + usage
	}
	fmt.Fprintf(w, "data: {\"id\":%q,\"object\":\"chat.completion.chunk\",\"created\":0,\"model\":%q,"+
		"\"choices\":%s%s}\n\n", a.id, ModelID, choices, usage)
}

func (s *Server) stream(ctx context.Context, w http.ResponseWriter, a *answer, withUsage bool) {
	w.Header().Set("Content-Type", "text/event-stream")
	begin := time.Now()
	early := s.cfg.Fault == EmptyFirst || s.cfg.Fault == HealthyPrelude
	if early {
		a.chunk(w, `{"role":"assistant","content":""}`, "", "")
	}
	first := begin.Add(a.ttft)
	if !s.wait(ctx, first) {
		return
	}
	first = time.Now()
	if !early { // sent with the first word: alone it would come early wherever the machine delays the word
		a.event(w, `{"role":"assistant","content":""}`, "", "")
	}
	counted := first
	if s.cfg.Fault == EmptyFirst {
		counted = begin
	}
	for i, word := range a.words {
		if !s.wait(ctx, first.Add(time.Duration(i)*a.gap)) {
			return
		}
		if a.cut && i >= len(a.words)/2 {
			a.count(counted, time.Now())
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler) // closes the connection without ending the response
		}
		key := "content"
		if i < a.thoughts {
			key = "reasoning_content"
		}
		a.chunk(w, `{"`+key+`":`+strconv.Quote(word)+`}`, "", "")
	}
	a.count(counted, time.Now())
	a.chunk(w, "{}", a.finish, "")
	if withUsage {
		a.chunk(w, "", "", a.usageJSON())
	}
	fmt.Fprint(w, "data: [DONE]\n\n")
}

func (s *Server) whole(ctx context.Context, w http.ResponseWriter, a *answer) {
	first := time.Now().Add(a.ttft)
	if !s.wait(ctx, first.Add(time.Duration(len(a.words)-1)*a.gap)) {
		return
	}
	a.count(first, time.Now())
	w.Header().Set("Content-Type", "application/json")
	text := strings.Join(a.words[a.thoughts:], "")
	body := fmt.Sprintf(`{"id":%q,"object":"chat.completion","created":0,"model":%q,"choices":[{"index":0,"message":{"role":"assistant","content":%s},"finish_reason":%q}],"usage":%s}`,
		a.id, ModelID, strconv.Quote(text), a.finish, a.usageJSON())
	if a.cut {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		fmt.Fprint(w, body[:len(body)/2])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	fmt.Fprint(w, body)
}

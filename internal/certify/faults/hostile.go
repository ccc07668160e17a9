package faults

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Hostile is a server that tries to prevent its verdict by sending more than a client can hold, or nothing at all.
// Unless its comment says "from the beginning", it answers the proof before the load as a healthy server does. Each
// must cost the certifier little memory and time, and must get a verdict.
type Hostile string

// Hostile servers.
const (
	FatError       Hostile = "fat-error"       // status 500 with a body of 20 MiB
	FatChunkError  Hostile = "fat-chunk-error" // an error of 1 MiB in a chunk
	FatAnswer      Hostile = "fat-answer"      // an answer of 18 MB of text
	FatFinish      Hostile = "fat-finish"      // a finish_reason of half a megabyte, a different one each time
	ManyChunks     Hostile = "many-chunks"     // an answer of four million chunks
	ManyKeys       Hostile = "many-keys"       // a chunk with a hundred thousand keys
	DeepChunk      Hostile = "deep-chunk"      // a chunk of half a million nested lists
	Pings          Hostile = "pings"           // endless comments
	Bomb           Hostile = "bomb"            // a gigabyte of empty lines, compressed with gzip
	EndlessHeader  Hostile = "endless-header"  // endless headers
	EndlessTrailer Hostile = "endless-trailer" // endless trailers
	EndlessInterim Hostile = "endless-interim" // endless interim responses
	FatMetrics     Hostile = "fat-metrics"     // 31 MB of metrics
	ManyBuckets    Hostile = "many-buckets"    // a histogram of 90,000 buckets
	ManyLabels     Hostile = "many-labels"     // 60,000 finish reasons
	BadMetrics     Hostile = "bad-metrics"     // a metric with a value of 7 MB
	SlowMetrics    Hostile = "slow-metrics"    // metrics sent one byte at a time, without end
	ManyModels     Hostile = "many-models"     // a list of 20,000 models, whose last is its own
	FatModels      Hostile = "fat-models"      // a list of ten million models, from the beginning
	FatModel       Hostile = "fat-model"       // a model with a name of one megabyte, from the beginning
	Redirects      Hostile = "redirects"       // redirects each request to itself, from the beginning
	Silent         Hostile = "silent"          // sends nothing for a minute
	Trickle        Hostile = "trickle"         // answers one byte at a time, without end
)

// HostileOnes lists all hostile servers.
func HostileOnes() []Hostile {
	return []Hostile{FatError, FatChunkError, FatAnswer, FatFinish, ManyChunks, ManyKeys, DeepChunk, Pings, Bomb,
		EndlessHeader, EndlessTrailer, EndlessInterim, FatMetrics, ManyBuckets, ManyLabels, BadMetrics, SlowMetrics,
		ManyModels, FatModels, FatModel, Redirects, Silent, Trickle}
}

// Handler makes the server inner hostile. Its answers are hostile after the first "after" requests for a completion;
// /metrics and /v1/models are hostile from the beginning.
func (h Hostile) Handler(inner http.Handler, after int) http.Handler {
	var asked atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case h == Redirects && path != "/health":
			http.Redirect(w, r, path, http.StatusFound)
		case path == "/v1/models" && h.models(w):
		case path == "/metrics" && h.metrics(w, r):
		case strings.HasSuffix(path, "/chat/completions") && h.completes() &&
			asked.Add(1) > int64(after) && h.answers(w, r):
		default:
			inner.ServeHTTP(w, r)
		}
	})
}

// completes says whether the answers to completions are hostile.
func (h Hostile) completes() bool {
	return slices.Contains(HostileOnes()[:slices.Index(HostileOnes(), FatMetrics)], h) || h == Silent || h == Trickle
}

// filler is what fill writes.
var filler = bytes.Repeat([]byte("x"), 64<<10)

// fill writes n bytes, or fewer if the client has gone.
func fill(w io.Writer, n int) {
	for n > 0 {
		k, err := w.Write(filler[:min(n, len(filler))])
		if err != nil {
			return
		}
		n -= k
	}
}

// each writes format n times, with the numbers from 0, or until the client has gone.
func each(w io.Writer, n int, format string) {
	b := bufio.NewWriterSize(w, 64<<10)
	for i := range n {
		if _, err := fmt.Fprintf(b, format, i); err != nil {
			return
		}
	}
	_ = b.Flush() // the client has gone
}

func (h Hostile) models(w http.ResponseWriter) bool {
	switch h {
	case ManyModels:
		io.WriteString(w, `{"data":[`)
		each(w, 20_000, `{"id":"model-%d"},`)
		io.WriteString(w, `{"id":"`+ModelID+`"}]}`)
	case FatModels:
		io.WriteString(w, `{"data":[{"id":"`+ModelID+`"}`)
		each(w, 10_000_000, `,{"id":"model-%d"}`)
	case FatModel:
		io.WriteString(w, `{"data":[{"id":"`)
		fill(w, 1<<20)
		io.WriteString(w, `"}]}`)
	default:
		return false
	}
	return true
}

func (h Hostile) metrics(w http.ResponseWriter, r *http.Request) bool {
	switch h {
	case FatMetrics:
		each(w, 31<<20/50, "vllm:prompt_tokens_total{key=\"%024d\"} 1\n")
	case ManyBuckets:
		each(w, 90_000, "vllm:time_to_first_token_seconds_bucket{le=\"%d\"} 1\n")
		io.WriteString(w, "vllm:time_to_first_token_seconds_count 1\nvllm:prompt_tokens_total 1\n")
	case ManyLabels:
		each(w, 60_000, "vllm:request_success_total{finished_reason=\"reason %d\"} 1\n")
	case BadMetrics:
		io.WriteString(w, "vllm:prompt_tokens_total ")
		fill(w, 7<<20)
	case SlowMetrics:
		trickle(w, r, "# nothing\n")
	default:
		return false
	}
	return true
}

// trickle writes a text one byte at a time, again and again, until the client has gone.
func trickle(w http.ResponseWriter, r *http.Request, text string) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		if _, err := io.WriteString(w, text[i%len(text):i%len(text)+1]); err != nil {
			return
		}
		w.(http.Flusher).Flush()
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

const token = `{"choices":[{"index":0,"delta":{"content":"x "},"finish_reason":null}]}`

// answers sends a completion in a hostile way.
func (h Hostile) answers(w http.ResponseWriter, r *http.Request) bool {
	_, _ = io.Copy(io.Discard, r.Body) // net/http notices that the client has gone only after the body has been read
	w.Header().Set("Content-Type", "text/event-stream")
	switch h {
	case FatError:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusInternalServerError)
		io.WriteString(w, `{"error":{"message":"`)
		fill(w, 20<<20)
		io.WriteString(w, `"}}`)
	case FatChunkError:
		io.WriteString(w, `data: {"error":{"message":"`)
		fill(w, 1<<20-100)
		io.WriteString(w, "\"}}\n\n")
	case FatAnswer:
		for range 20 {
			io.WriteString(w, `data: {"choices":[{"index":0,"delta":{"content":"`)
			fill(w, 900<<10)
			io.WriteString(w, "\"}}]}\n\n")
		}
		io.WriteString(w, finish("stop"))
	case FatFinish:
		io.WriteString(w, "data: "+token+"\n\n")
		io.WriteString(w, finish(fmt.Sprint(time.Now().UnixNano(), strings.Repeat("x", 500<<10))))
	case ManyChunks:
		each(w, 4_000_000, "data: "+token+"\n\n: %d\n")
	case ManyKeys:
		io.WriteString(w, `data: {"a":0`)
		each(w, 100_000, `,"k%d":0`)
		io.WriteString(w, "}\n\n")
	case DeepChunk:
		io.WriteString(w, "data: "+strings.Repeat("[", 500_000)+"\n\n")
	case Pings:
		each(w, 1<<62, ": ping %d\n\n")
	case Bomb:
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		lines := bytes.Repeat([]byte("\n"), 1<<20)
		for range 1024 {
			if _, err := z.Write(lines); err != nil {
				return true
			}
		}
		_ = z.Close() // the client has gone
	case EndlessHeader, EndlessTrailer, EndlessInterim:
		h.raw(w)
	case Silent:
		select {
		case <-r.Context().Done():
		case <-time.After(time.Minute):
		}
	case Trickle:
		trickle(w, r, "data: "+token+"\n\n")
	}
	return true
}

func finish(reason string) string {
	return `data: {"choices":[{"index":0,"delta":{},"finish_reason":"` + reason + "\"}]}\n\ndata: [DONE]\n\n"
}

// raw sends what net/http would refuse to send.
func (h Hostile) raw(w http.ResponseWriter) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err) // cannot happen: the bank speaks only HTTP/1.1
	}
	defer func() { _ = c.Close() }() // it may be closed already
	_ = c.SetWriteDeadline(time.Now().Add(time.Minute))
	switch h {
	case EndlessHeader:
		io.WriteString(c, "HTTP/1.1 200 OK\r\n")
		each(c, 1<<62, "X-%d: y\r\n")
	case EndlessInterim:
		each(c, 1<<62, "HTTP/1.1 102 Processing\r\nX: %d\r\n\r\n")
	case EndlessTrailer:
		body := "data: " + token + "\n\n" + finish("stop")
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"+
			"%x\r\n%s\r\n0\r\n", len(body), body)
		each(c, 1<<62, "X-%d: y\r\n")
	}
}

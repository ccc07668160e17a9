package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/serve/body"
)

// forecast estimates how long a request will take, from recent ones: each new one gets a tenth of the weight. It has
// no clock.
type forecast struct {
	run    float64 // mean seconds of computing a completion, without its wait; 0: none has ended yet
	tokens float64 // mean number of its tokens
}

// add adds a completion.
func (f *forecast) add(ran time.Duration, tokens int) {
	if f.run == 0 {
		f.run, f.tokens = ran.Seconds(), float64(tokens)
	}
	f.run += (ran.Seconds() - f.run) / 10
	f.tokens += (float64(tokens) - f.tokens) / 10
}

// need estimates the time until a request of at most maxTokens (0: not known, and not counted) would end, after all
// that run and wait. It is 0 if the request would start at once: its client must know how long it runs. If it were
// refused because earlier requests were long, an idle service could refuse for ever.
func (f *forecast) need(running, waiting, slots, maxTokens int) time.Duration {
	ahead := running + waiting - slots + 1 // that must end before it starts
	if ahead <= 0 || slots < 1 {
		return 0
	}
	seconds := f.run * float64(ahead) / float64(slots)
	if f.tokens > 0 {
		seconds += f.run * min(float64(maxTokens)/f.tokens, 1)
	}
	return time.Duration(seconds * float64(time.Second))
}

// lockedForecast is a forecast for many goroutines.
type lockedForecast struct {
	mu sync.Mutex
	f  forecast
}

func (l *lockedForecast) add(ran time.Duration, tokens int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.f.add(ran, tokens)
}

func (l *lockedForecast) need(running, waiting, slots, maxTokens int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.f.need(running, waiting, slots, maxTokens)
}

const (
	headerTimeout = "X-Request-Timeout"
	maxTimeout    = 24 * time.Hour
)

// headerLimit reads how long a request may take: seconds ("2.5"), or a number with a unit ("2500ms"). 0 means no
// limit.
func headerLimit(r *http.Request) (time.Duration, error) {
	v := strings.TrimSpace(r.Header.Get(headerTimeout))
	if v == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(v)
	if seconds, bare := strconv.ParseFloat(v, 64); bare == nil {
		d, err = time.Duration(min(seconds, 1e9)*float64(time.Second)), nil
	}
	if err != nil || d <= 0 || d > maxTimeout {
		return 0, body.Bad(headerTimeout,
			"must be seconds, or a number with a unit such as 1500ms, above 0 and at most %v", maxTimeout)
	}
	return d, nil
}

// fieldLimit returns the lower of the header's limit and that of the field "timeout", in seconds.
func fieldLimit(o *object, header time.Duration) time.Duration {
	seconds, ok := o.Number("timeout", llm.Range{Hi: maxTimeout.Seconds(), OpenLo: true})
	d := time.Duration(seconds * float64(time.Second))
	if !ok || header > 0 && header < d {
		return header
	}
	return d
}

// errTimeLimit is the cause of a context that ended with the client's own limit.
var errTimeLimit = errors.New("the request's time limit")

// within ends ctx when a request that arrived then has had its time.
func (s *Server) within(ctx context.Context, arrived time.Time, limit time.Duration) (context.Context,
	context.CancelFunc) {
	if limit == 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, limit-s.now().Sub(arrived), errTimeLimit)
}

// inTime refuses a request that would wait so long that it could not end in its time: its client would wait for
// nothing, and others for what is computed for it. A request that would start at once is not refused, even where its
// time has passed: the limit ends it. maxTokens is 0 as long as it is not known.
func (s *Server) inTime(arrived time.Time, limit time.Duration, maxTokens int) error {
	b := s.backend.Load()
	if limit == 0 || b == nil {
		return nil
	}
	st := b.Status()
	need := s.forecast.need(st.Running, st.Waiting, s.c.Slots, maxTokens)
	left := limit - s.now().Sub(arrived)
	if need == 0 || need <= left {
		return nil
	}
	const most = time.Minute
	later := min(need-left, most)
	return &httpError{status: http.StatusServiceUnavailable, typ: typeServer, code: "not_in_time",
		retryAfter: int((later + time.Second - 1) / time.Second),
		message: fmt.Sprintf("the request would end in about %v, and its time limit is %v: try again later",
			need.Round(100*time.Millisecond), limit)}
}

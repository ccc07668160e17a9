package access

import (
	"fmt"
	"math/bits"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/noun"
)

// Limits are the limits of one API key. A zero value means no limit.
type Limits struct {
	Requests   int // a minute
	Tokens     int // a minute, of prompts and answers together
	Concurrent int // requests under way
}

// bucket is a limit per minute, kept by the generic cell rate algorithm (ITU-T I.371): its whole state is the time at
// which it will be full again. A full bucket holds what may be used in a minute. It has no clock.
type bucket struct {
	limit int       // per minute; 0: none
	full  time.Time // when everything that was spent has come back; a time in the past means that it is full
}

// period is the unit of time of the limits.
const period = time.Minute

// cost is the time in which n come back, rounded down to nanoseconds.
func (b *bucket) cost(n int) time.Duration {
	return time.Duration(int64(min(n, maxSpend)) * int64(period) / int64(b.limit))
}

// maxSpend keeps products of a number and the period within 63 bits.
const maxSpend = 1 << 27

// reset returns the time until the bucket is full.
func (b *bucket) reset(now time.Time) time.Duration { return max(b.full.Sub(now), 0) }

// wait returns the time until n can be spent. More than the bucket ever holds can be spent when it is full.
func (b *bucket) wait(now time.Time, n int) time.Duration {
	if b.limit == 0 {
		return 0
	}
	return max(b.reset(now)+b.cost(min(n, b.limit))-period, 0)
}

// spend takes n, even if the bucket holds less: the rest is then owed.
func (b *bucket) spend(now time.Time, n int) {
	if b.limit == 0 {
		return
	}
	if b.full.Before(now) {
		b.full = now
	}
	b.full = b.full.Add(b.cost(n))
}

// giveBack returns n that were spent.
func (b *bucket) giveBack(n int) {
	if b.limit > 0 {
		b.full = b.full.Add(-b.cost(n))
	}
}

// remaining returns how many can be spent now.
func (b *bucket) remaining(now time.Time) int {
	// The most whose cost, cut to nanoseconds, is no more than what is left.
	left := max(period-b.reset(now), 0)
	hi, lo := bits.Mul64(uint64(left)+1, uint64(b.limit))
	lo, borrow := bits.Sub64(lo, 1, 0)
	n, _ := bits.Div64(hi-borrow, lo, uint64(period)) // at most limit: left is at most a period
	return int(n)
}

// quota is the state of one key. It is a state machine without locks or clocks; its events are enter, reserve, settle
// and leave.
type quota struct {
	limits   Limits
	requests bucket
	tokens   bucket
	running  int
}

// Kind names one of a key's limits.
type Kind string

// The limits of a key. Requests and tokens are counted per minute.
const (
	KindRequests   Kind = "requests"
	KindTokens     Kind = "tokens"
	KindConcurrent Kind = "concurrent"
)

// QuotaError says which limit of its key a request has reached.
type QuotaError struct {
	Kind  Kind
	Limit int
	Wait  time.Duration // until the request may be tried again; 0 for KindConcurrent: when another request has ended
}

// Error is written for the owner of the key.
func (e *QuotaError) Error() string {
	if e.Kind == KindConcurrent {
		return fmt.Sprintf("this key may have %s under way: try again when one has ended",
			noun.Of(e.Limit, "request", "requests"))
	}
	return fmt.Sprintf("this key may use %d %s a minute: try again in %v", e.Limit, e.Kind,
		max(e.Wait.Round(time.Millisecond), time.Millisecond))
}

// adopt takes over limits that may have changed. What was spent stays spent, as a share of the new limit.
func (q *quota) adopt(l Limits) {
	q.limits, q.requests.limit, q.tokens.limit = l, l.Requests, l.Tokens
}

// enter admits a request, or returns the limit that it has reached, and then nothing is spent. The number of its
// tokens is not known yet, but a key that owes tokens has to wait.
func (q *quota) enter(now time.Time) *QuotaError {
	if q.limits.Concurrent > 0 && q.running >= q.limits.Concurrent {
		return &QuotaError{Kind: KindConcurrent, Limit: q.limits.Concurrent}
	}
	if w := q.requests.wait(now, 1); w > 0 {
		return &QuotaError{KindRequests, q.limits.Requests, w}
	}
	if w := q.tokens.wait(now, 1); w > 0 {
		return &QuotaError{KindTokens, q.limits.Tokens, w}
	}
	q.requests.spend(now, 1)
	q.running++
	return nil
}

// reserve spends the tokens that a request may need.
func (q *quota) reserve(now time.Time, n int) *QuotaError {
	if w := q.tokens.wait(now, n); w > 0 {
		return &QuotaError{KindTokens, q.limits.Tokens, w}
	}
	q.tokens.spend(now, n)
	return nil
}

// leave ends a request. Tokens that it reserved and did not use come back; tokens that it used beyond that are owed.
func (q *quota) leave(now time.Time, reserved, used int) {
	q.running--
	if used >= reserved {
		q.tokens.spend(now, used-reserved)
	} else {
		q.tokens.giveBack(reserved - used)
	}
}

// quotas holds the state of all keys by name, so it survives a reload of the key file.
type quotas struct {
	mu   sync.Mutex
	keys map[string]*quota
}

// enter admits a request of a key. The grant must be closed.
func (q *quotas) enter(now time.Time, name string, l Limits) (*Grant, error) {
	if l == (Limits{}) {
		return nil, nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	state := q.keys[name]
	if state == nil {
		if q.keys == nil {
			q.keys = map[string]*quota{}
		}
		state = &quota{}
		q.keys[name] = state
	}
	state.adopt(l)
	g := &Grant{all: q, quota: state, at: now}
	if e := state.enter(now); e != nil {
		g.over = true
		return g, e
	}
	return g, nil
}

// keep forgets keys that are no longer in the file.
func (q *quotas) keep(k *Keys) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for name := range q.keys {
		if !k.has(name) {
			delete(q.keys, name)
		}
	}
}

// Grant is what one request took of its key's quota. A nil Grant belongs to a request without limits.
type Grant struct {
	all   *quotas
	quota *quota

	at       time.Time // of the last change, for the headers
	reserved int
	prompt   int // tokens used, as far as known
	answer   int
	known    bool // prompt is not an estimate
	begun    bool // something was computed
	over     bool
}

// Reserve takes tokens for a request: an estimate of those of its prompt, and the maximum of its answer.
func (g *Grant) Reserve(now time.Time, promptTokens, answerTokens int) error {
	if g == nil {
		return nil
	}
	g.all.mu.Lock()
	defer g.all.mu.Unlock()
	g.at = now
	n := promptTokens + answerTokens
	if e := g.quota.reserve(now, n); e != nil {
		return e
	}
	g.reserved, g.prompt = n, promptTokens
	return nil
}

// Use counts the tokens of an answer as they come, and those of the prompt once they are known. Until then the
// estimate counts.
func (g *Grant) Use(answer, prompt int) {
	if g == nil {
		return
	}
	g.all.mu.Lock()
	defer g.all.mu.Unlock()
	g.answer += answer
	if prompt > 0 && !g.known {
		g.known, g.prompt = true, 0
	}
	g.prompt += prompt
	g.begun = true
}

// Close ends the request. Tokens that were never computed cost nothing.
func (g *Grant) Close(now time.Time) {
	if g == nil || g.over {
		return
	}
	g.all.mu.Lock()
	defer g.all.mu.Unlock()
	g.over = true
	used := 0
	if g.begun {
		used = g.prompt + g.answer
	}
	g.quota.leave(now, g.reserved, used)
}

// Header sets the headers that say what is left, with OpenAI's names.
func (g *Grant) Header(h http.Header) {
	if g == nil {
		return
	}
	g.all.mu.Lock()
	defer g.all.mu.Unlock()
	for _, b := range []struct {
		what string
		*bucket
	}{{"Requests", &g.quota.requests}, {"Tokens", &g.quota.tokens}} {
		if b.limit > 0 {
			h.Set("X-Ratelimit-Limit-"+b.what, strconv.Itoa(b.limit))
			h.Set("X-Ratelimit-Remaining-"+b.what, strconv.Itoa(b.remaining(g.at)))
			h.Set("X-Ratelimit-Reset-"+b.what, b.reset(g.at).Round(time.Millisecond).String())
		}
	}
}

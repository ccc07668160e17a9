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

// Limits is what one API key may ask for. Zero values mean no limit.
type Limits struct {
	Requests   int // a minute
	Tokens     int // a minute, of prompts and answers together
	Concurrent int // requests under way
}

// bucket is a limit of so many a minute, as the generic cell rate algorithm keeps it (ITU-T I.371): all its state is
// the time at which it will be full again. A full bucket holds a minute's worth. It has no clock.
type bucket struct {
	limit int       // a minute; 0: none
	full  time.Time // when all that was spent has come back; the past means now
}

// period is what the limits count by.
const period = time.Minute

// cost is the time in which n come back, cut to nanoseconds.
func (b *bucket) cost(n int) time.Duration {
	return time.Duration(int64(min(n, maxSpend)) * int64(period) / int64(b.limit))
}

// maxSpend keeps products of a number and the period within 63 bits.
const maxSpend = 1 << 27

// reset is how long until the bucket is full.
func (b *bucket) reset(now time.Time) time.Duration { return max(b.full.Sub(now), 0) }

// wait is how long until n can be spent. What is more than the bucket ever holds can be spent when it is full.
func (b *bucket) wait(now time.Time, n int) time.Duration {
	if b.limit == 0 {
		return 0
	}
	return max(b.reset(now)+b.cost(min(n, b.limit))-period, 0)
}

// spend takes n, also where there are not so many: then those are owed.
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

// remaining is how many can be spent now.
func (b *bucket) remaining(now time.Time) int {
	// The most whose cost, cut to nanoseconds, is no more than what is left.
	left := max(period-b.reset(now), 0)
	hi, lo := bits.Mul64(uint64(left)+1, uint64(b.limit))
	lo, borrow := bits.Sub64(lo, 1, 0)
	n, _ := bits.Div64(hi-borrow, lo, uint64(period)) // at most limit: left is at most a period
	return int(n)
}

// quota is one key's state. It is a state machine without locks or clocks: enter, reserve, settle and leave are its
// events.
type quota struct {
	limits   Limits
	requests bucket
	tokens   bucket
	running  int
}

// Kind names one of a key's limits.
type Kind string

// The limits of a key. Requests and tokens are counted by the minute.
const (
	KindRequests   Kind = "requests"
	KindTokens     Kind = "tokens"
	KindConcurrent Kind = "concurrent"
)

// QuotaError says which of its key's limits a request has reached.
type QuotaError struct {
	Kind  Kind
	Limit int
	Wait  time.Duration // until it may be tried again; 0 for KindConcurrent: when another request has ended
}

// Error is for the key's owner.
func (e *QuotaError) Error() string {
	if e.Kind == KindConcurrent {
		return fmt.Sprintf("this key may have %s under way: try again when one has ended",
			noun.Of(e.Limit, "request", "requests"))
	}
	return fmt.Sprintf("this key may use %d %s a minute: try again in %v", e.Limit, e.Kind,
		max(e.Wait.Round(time.Millisecond), time.Millisecond))
}

// adopt takes over limits that may have changed. What was spent stays spent, as a share of the limit.
func (q *quota) adopt(l Limits) {
	q.limits, q.requests.limit, q.tokens.limit = l, l.Requests, l.Tokens
}

// enter lets a request in, or says what stands against it: then nothing is spent. Its tokens are not known yet, but a
// key that owes some has to wait.
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

// leave ends a request: what it reserved and did not use comes back, what it used beyond is owed.
func (q *quota) leave(now time.Time, reserved, used int) {
	q.running--
	if used >= reserved {
		q.tokens.spend(now, used-reserved)
	} else {
		q.tokens.giveBack(reserved - used)
	}
}

// quotas holds the state of all keys by name, so that it outlives a reload of the key file.
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

// Grant is what one request took of its key's quota. A nil Grant is that of a request without limits.
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

// Reserve takes tokens: promptTokens, an estimate, and answerTokens at most.
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

// Use counts tokens of an answer as they come, and those of prompts when they are known: until then the estimate
// stands for them.
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

// Close ends the request. What was never computed costs no tokens.
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

// Header says what is left, in OpenAI's words.
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

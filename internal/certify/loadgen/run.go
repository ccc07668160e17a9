package loadgen

import (
	"context"
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// lead is between the call of Run and an open phase's start: the first arrival must not be late for lack of a thread.
const lead = 5 * time.Millisecond

// Run brings a plan to its end and returns its record; each request's goes to the plan's Sink. Times count from epoch.
// If ctx ends, requests in flight are broken off and recorded as evidence.FailCanceled, and the phase says
// "interrupted"; that is not an error of Run. An error means that nothing was sent. GOMAXPROCS is two higher while
// Run is under way.
func Run(ctx context.Context, c *Client, epoch time.Time, p Plan) (evidence.Phase, error) {
	if err := p.validate(); err != nil {
		return evidence.Phase{}, err
	}
	defer raiseProcs()()
	r := &runner{ctx: ctx, client: c, epoch: epoch, plan: &p, wake: make(chan struct{}, 1),
		records: make(chan ended, 1024)}
	start := time.Duration(c.since(epoch))
	switch {
	case p.Start > 0:
		start = p.Start // a time that is past makes arrivals late, and the record shows it
	case p.Kind == testcases.KindOpen:
		start += lead
	}
	r.pacer = newPacer(&p, start)
	sunk := make(chan struct{})
	go r.sink(sunk)
	looped := make(chan struct{})
	go func() {
		defer close(looped)
		r.loop()
	}()
	<-looped
	r.requests.Wait()
	end := time.Duration(c.since(epoch))
	close(r.records)
	<-sunk
	r.resting.Wait()
	return r.pacer.phase(end), nil
}

// runner is the thin loop around a pacer.
type runner struct {
	ctx    context.Context
	client *Client
	epoch  time.Time
	plan   *Plan

	pacer    *pacer // of the loop alone
	ended    stack[ending]
	wake     chan struct{} // there is something new in ended
	requests sync.WaitGroup
	resting  sync.WaitGroup // connections
	records  chan ended
}

// ended is a request that has ended, with what its record holds of the client's memory.
type ended struct {
	record *evidence.Request
	share  *share
}

// ending is what the pacer learns of a request that has ended.
type ending struct {
	at    time.Duration
	class evidence.Failure
	next  *follow
}

// sink hands records on, one at a time.
func (r *runner) sink(done chan<- struct{}) {
	defer close(done)
	for x := range r.records {
		if r.plan.Sink != nil {
			r.plan.Sink(*x.record)
		}
		x.share.back()
	}
}

// loop asks the pacer and does as it says. A schedule has a thread of its own, to sleep exactly; in a closed loop
// that would only make each hand-over slower. The thread is never unlocked: it is not fit for anything else
// afterwards, and ends with this goroutine.
func (r *runner) loop() {
	if r.plan.Kind == testcases.KindOpen {
		r.client.takeThread(sendFirst)
	}
	requests := makeAhead(r.client, r.plan.Make, r.plan.Kind == testcases.KindOpen)
	defer requests.end()
	next := requests.next()
	for {
		for _, e := range r.ended.takeAll() {
			r.pacer.done(e.at, e.class, e.next)
		}
		now := r.now()
		if r.ctx.Err() != nil {
			r.pacer.interrupt(now)
		}
		d := r.pacer.next(now)
		switch d.do {
		case issue:
			if d.follow != nil {
				r.issue(d, &d.follow.job, d.follow.request)
				continue
			}
			r.issue(d, &next.job, next.request)
			next = requests.next()
		case wait:
			if r.plan.Then != nil && !r.nap(d.due) {
				continue
			}
			r.client.clock.SleepUntil(r.ctx, r.epoch.Add(d.due))
		case hold:
			select {
			case <-r.wake:
			case <-r.ctx.Done():
			}
		case stop:
			return
		}
	}
}

// issue sends a request, and starts the goroutine that reads its response.
func (r *runner) issue(d decision, job *Job, q *request) {
	if r.plan.InFlight != nil {
		r.plan.InFlight.Add(1)
	}
	rec := &evidence.Request{Phase: r.plan.ID, N: d.n, Prompt: job.Prompt, Scheduled: int64(d.due),
		MaxTokens: job.MaxTokens, Session: job.Session, Turn: job.Turn}
	forget := job.Forget
	cn, err := r.client.send(r.ctx, r.epoch, q, rec)
	r.requests.Add(1)
	r.resting.Go(func() {
		if rest := r.receive(q, rec, cn, err, forget); rest != nil {
			r.client.rest(rest)
		}
	})
}

// receive brings a request to its end and tells of it.
func (r *runner) receive(q *request, rec *evidence.Request, cn *conn, err error, forget bool) (rest *conn) {
	defer r.requests.Done()
	rest = r.client.finish(r.ctx, r.epoch, q, rec, cn, err)
	if r.plan.InFlight != nil {
		r.plan.InFlight.Add(-1)
	}
	next := r.follow(rec)
	if forget {
		rec.Text, rec.Thought = "", ""
	}
	r.ended.push(ending{r.now(), rec.Fail, next})
	select {
	case r.wake <- struct{}{}:
	default: // the loop has not looked since the last one
	}
	r.records <- ended{rec, &q.share}
	return rest
}

func (r *runner) now() time.Duration { return time.Duration(r.client.since(r.epoch)) }

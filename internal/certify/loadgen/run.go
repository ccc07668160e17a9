package loadgen

import (
	"context"
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// lead is the time between the call of Run and the start of an open phase, so that the first arrival is not late
// because a thread must start first.
const lead = 5 * time.Millisecond

// Run carries out a plan and returns the record of its phase. The record of each request is passed to the plan's Sink.
// Times count from epoch. If ctx ends, requests in flight are canceled and recorded as evidence.FailCanceled, and the
// phase is recorded as interrupted; Run returns no error then. An error matches ErrPlan and means that nothing was
// sent. While Run is under way, GOMAXPROCS is higher by two.
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
		start = p.Start // if it is past, arrivals are late, which the record shows
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

	pacer    *pacer // used by the loop only
	ended    stack[ending]
	wake     chan struct{} // signals that ended has new entries
	requests sync.WaitGroup
	resting  sync.WaitGroup // connections that rest after an answer
	records  chan ended
}

// ended is a request that has ended, with its share of the client's memory.
type ended struct {
	record *evidence.Request
	share  *share
}

// ending tells the pacer that a request has ended.
type ending struct {
	at    time.Duration
	class evidence.Failure
	next  *follow
}

// sink passes records to the plan's Sink, one at a time.
func (r *runner) sink(done chan<- struct{}) {
	defer close(done)
	for x := range r.records {
		if r.plan.Sink != nil {
			r.plan.Sink(*x.record)
		}
		x.share.back()
	}
}

// loop asks the pacer what to do, and does it. A schedule has a thread of its own, so that sleeps are exact; in a
// closed loop that would only make each handover slower. The thread is never unlocked, because its changed settings
// make it unfit for other goroutines. It ends with this goroutine.
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

// receive completes a request and reports its end. It returns the connection if it can be used again.
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
	default: // the loop has not read the last signal yet
	}
	r.records <- ended{rec, &q.share}
	return rest
}

func (r *runner) now() time.Duration { return time.Duration(r.client.since(r.epoch)) }

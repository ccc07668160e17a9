package loadgen

import (
	"container/heap"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// follow is the next turn of a conversation whose previous turn has been answered.
type follow struct {
	due     time.Duration
	job     Job
	request *request // the job as a request that is ready to be sent
}

// follow makes the turn after an answered request; nil if there is none.
func (r *runner) follow(rec *evidence.Request) *follow {
	if r.plan.Then == nil || !rec.OK() {
		return nil
	}
	job, after, more := r.plan.Then(rec)
	if !more {
		return nil
	}
	return &follow{due: time.Duration(rec.End()) + after, job: job, request: r.client.prepare(job)}
}

// napBefore is how long before a request is due the loop stops waiting for conversations to continue, and sleeps
// exactly. A turn that is due at once may be late by this time.
const napBefore = time.Millisecond

// nap waits until shortly before due. It returns false if a request has ended meanwhile, because another turn may be
// due first, or if ctx has ended.
func (r *runner) nap(due time.Duration) bool {
	left := due - r.now() - napBefore
	if left <= 0 {
		return true
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-r.wake:
		return false
	case <-r.ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// later is a heap of turns, sorted by the time at which they are due.
type later []*follow

// Len, Less, Swap, Push and Pop make it a heap.Interface.
func (l later) Len() int           { return len(l) }
func (l later) Less(i, k int) bool { return l[i].due < l[k].due }
func (l later) Swap(i, k int)      { l[i], l[k] = l[k], l[i] }
func (l *later) Push(x any)        { *l = append(*l, x.(*follow)) }
func (l *later) Pop() any {
	last := (*l)[len(*l)-1]
	*l = (*l)[:len(*l)-1]
	return last
}

func (l *later) push(f *follow) { heap.Push(l, f) }

// first is the turn that is due first; nil if there is none.
func (l later) first() *follow {
	if len(l) == 0 {
		return nil
	}
	return l[0]
}

// talking says whether a conversation may still continue.
func (m *pacer) talking() bool {
	return m.plan.Then != nil && (len(m.later) > 0 || m.inFlight > 0)
}

// fresh is when the next request is due that is not a later turn of a conversation. ok is false if all of these have
// been sent.
func (m *pacer) fresh() (due time.Duration, ok bool) {
	n := m.issued - m.followed
	if m.plan.Kind == testcases.KindBatch {
		return m.start, n < m.plan.Requests
	}
	if n >= len(m.plan.Offsets) {
		return 0, false
	}
	return m.start + m.plan.Offsets[n], true
}

// goOn sends the turn that is due first.
func (m *pacer) goOn() decision {
	f := heap.Pop(&m.later).(*follow)
	m.followed++
	d := m.issue(f.due)
	d.follow = f
	return d
}

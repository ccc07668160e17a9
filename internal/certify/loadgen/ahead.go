package loadgen

import (
	"runtime"
	"sync/atomic"
)

// Requests are made before they are due, and not by the goroutine that keeps the schedule: writing a prompt of 32 kB
// as JSON takes longer than the gap between two arrivals of a thousand a second, and whoever allocates is made to
// help the garbage collector. A burst of as many requests as are ready meets no work but sending.
const (
	readyRequests = 64
	readyBytes    = 8 << 20 // beyond it one at a time is made ahead
)

// Priorities of the threads of a schedule, where the process may have real-time ones. On a machine that others keep
// busy a thread without one falls behind by more than is ready.
const (
	makeFirst = 1
	sendFirst = 2
)

// takeThread fits the calling goroutine's thread for a schedule; it ends with the goroutine.
func (c *Client) takeThread(priority uint32) {
	runtime.LockOSThread()
	if k, ok := c.clock.(interface{ takeThread(uint32) }); ok {
		k.takeThread(priority)
	}
}

// made is a request that is ready to be sent.
type made struct {
	job     Job
	request *request
}

// ahead makes a plan's requests in order.
type ahead struct {
	ready chan made
	taken chan struct{} // some were, so that there may be room again
	stop  chan struct{}
	ended chan struct{}
	bytes atomic.Int64 // of those that are ready
}

// makeAhead begins with the first request. scheduled: a schedule waits for them.
func makeAhead(c *Client, job func(n int) Job, scheduled bool) *ahead {
	a := &ahead{ready: make(chan made, readyRequests), taken: make(chan struct{}, 1), stop: make(chan struct{}),
		ended: make(chan struct{})}
	go func() {
		defer close(a.ended)
		if scheduled {
			c.takeThread(makeFirst)
		}
		a.run(c, job)
	}()
	return a
}

func (a *ahead) run(c *Client, job func(n int) Job) {
	for n := 0; ; n++ {
		j := job(n)
		x := made{j, c.prepare(j)}
		a.bytes.Add(int64(len(x.request.wire)))
		select {
		case a.ready <- x:
		case <-a.stop:
			return
		}
		for a.bytes.Load() > readyBytes {
			select {
			case <-a.taken:
			case <-a.stop:
				return
			}
		}
	}
}

// next gives the next request; it waits only for one that is not made yet.
func (a *ahead) next() made {
	x := <-a.ready
	a.bytes.Add(-int64(len(x.request.wire)))
	select {
	case a.taken <- struct{}{}:
	default:
	}
	return x
}

// end returns when no more are made.
func (a *ahead) end() {
	close(a.stop)
	<-a.ended
}

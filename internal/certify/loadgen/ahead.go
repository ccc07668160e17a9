package loadgen

import (
	"runtime"
	"sync/atomic"
)

// Requests are made before they are due, and by another goroutine than the one that follows the schedule. Encoding a
// prompt of 32 kB as JSON takes longer than the gap between two arrivals at 1,000 requests/s, and a goroutine that
// allocates may have to help the garbage collector. A burst of up to readyRequests then only needs sending.
const (
	readyRequests = 64
	readyBytes    = 8 << 20 // beyond it, only one request at a time is made ahead
)

// Priorities of a schedule's threads, if the process may have real-time threads. On a busy machine, a thread of normal
// priority falls behind by more requests than are ready.
const (
	makeFirst = 1
	sendFirst = 2
)

// takeThread locks the calling goroutine to its thread, and gives the thread a real-time priority if the clock can.
// The thread ends with the goroutine.
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
	taken chan struct{} // signals that some were taken, so there may be room again
	stop  chan struct{}
	ended chan struct{}
	bytes atomic.Int64 // size of those that are ready
}

// makeAhead starts with the first request. scheduled says whether the requests follow a schedule.
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

// next returns the next request. It waits only if that is not made yet.
func (a *ahead) next() made {
	x := <-a.ready
	a.bytes.Add(-int64(len(x.request.wire)))
	select {
	case a.taken <- struct{}{}:
	default:
	}
	return x
}

// end stops making requests, and returns when that has stopped.
func (a *ahead) end() {
	close(a.stop)
	<-a.ended
}

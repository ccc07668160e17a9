package store

// queue is the bounded buffer of a log: when it is full, the oldest requests are dropped. It is bounded in requests
// and in bytes, since a request may contain its prompt. It has no clock and no goroutine.
type queue struct {
	limit    int
	maxBytes int64
	items    []Request // those before head were removed
	head     int
	bytes    int64
}

func (q *queue) len() int { return len(q.items) - q.head }

// pop removes the oldest request.
func (q *queue) pop() Request {
	r := q.items[q.head]
	q.items[q.head] = Request{} // so that its strings can be freed
	q.head++
	q.bytes -= r.size()
	return r
}

// squeeze drops the oldest requests until the bounds are met, and returns their number. The newest stays, however
// large it is.
func (q *queue) squeeze() (dropped int) {
	for q.len() > q.limit || q.bytes > q.maxBytes && q.len() > 1 {
		q.pop()
		dropped++
	}
	return dropped
}

// add appends a request, and returns how many were dropped to make room.
func (q *queue) add(r Request) (dropped int) {
	if q.head > 0 && q.head >= len(q.items)/2 { // moves no more than were removed: constant time on average
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, r)
	q.bytes += r.size()
	return q.squeeze()
}

// roomy is the capacity, in requests, beyond which a queue that is empty gives its memory back: after an outage of the
// database it would keep 2.5 MB for good.
const roomy = 1024

// take removes up to n of the oldest requests.
func (q *queue) take(n int) []Request {
	batch := make([]Request, min(n, q.len()))
	for i := range batch {
		batch[i] = q.pop()
	}
	if q.len() == 0 && cap(q.items) > roomy {
		q.items, q.head = nil, 0
	}
	return batch
}

// giveBack puts requests that could not be written before the others; the oldest for which there is no room are
// dropped.
func (q *queue) giveBack(batch []Request) (dropped int) {
	q.items, q.head = append(append(make([]Request, 0, len(batch)+q.len()), batch...), q.items[q.head:]...), 0
	for i := range batch {
		q.bytes += batch[i].size()
	}
	return q.squeeze()
}

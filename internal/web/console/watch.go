package console

import (
	"context"
	"errors"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/base/store"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/judge"
	"github.com/hxp-enterprise/mixtral/internal/certify/live"
)

const (
	drawEvery = time.Second

	// headStart is how long a record is read before it is drawn for the first time.
	headStart = 250 * time.Millisecond

	// judgeShare bounds the time for judging a run that goes on: at most one part in this many.
	judgeShare = 8

	// apartShare is the same for judging a record from its file, which takes longer: the larger the record, the less
	// often.
	apartShare = 16

	// unwatched is how long a record is followed after its last viewer has left, so that a reload does not start
	// again.
	unwatched = 20 * time.Second

	mostWatched = 8  // records at a time
	mostViewers = 64 // of all records together
)

var errTooMany = errors.New("too many pages watch runs already; close one of them")

// regions are parts of a page by the ids of their elements, as HTML.
type regions map[string]string

// picture is the content of the page of a run at one moment.
type picture struct {
	Regions regions `json:"regions"`
	Final   bool    `json:"final"` // no more events will come
}

// hub follows the records that are being watched.
type hub struct {
	draw    func(live.View, outcome) picture
	ctx     context.Context
	cancel  context.CancelFunc
	all     sync.WaitGroup
	mu      sync.Mutex
	watched map[string]*watch // by path
	viewers int
	apart   chan struct{} // held by the one record that is being judged from its file
}

// outcome is what is known about a run besides its events.
type outcome struct {
	run     string // the id of the run's report, once it exists
	problem string // why the record cannot be read
}

func newHub(draw func(live.View, outcome) picture) *hub {
	h := &hub{draw: draw, watched: map[string]*watch{}, apart: make(chan struct{}, 1)}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h
}

func (h *hub) close() {
	h.cancel()
	h.all.Wait()
}

// watch is a record that is followed.
type watch struct {
	path string

	mu      sync.Mutex
	run     *live.Run
	out     outcome
	over    bool // the record was read to its end
	picture picture
	version int
	next    chan struct{} // closed when there is a new picture
	viewers int
	left    time.Time // when the last viewer left
	apart   struct {  // for judging the record from its file
		now  bool
		last time.Time
		took time.Duration
	}
}

// join starts to watch a record; leave ends it.
func (h *hub) join(path string) (*watch, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := h.watched[path]
	if h.viewers >= mostViewers || w == nil && len(h.watched) >= mostWatched || h.ctx.Err() != nil {
		return nil, errTooMany
	}
	if w == nil {
		w = &watch{path: path, run: live.New(), next: make(chan struct{})}
		h.watched[path] = w
		h.all.Go(func() { h.follow(w) })
	}
	h.viewers++
	w.mu.Lock()
	w.viewers++
	w.mu.Unlock()
	return w, nil
}

func (h *hub) leave(w *watch) {
	h.mu.Lock()
	h.viewers--
	h.mu.Unlock()
	w.mu.Lock()
	w.viewers--
	w.left = time.Now()
	w.mu.Unlock()
}

// follow reads a record and draws it repeatedly, until nobody has watched it for a while.
func (h *hub) follow(w *watch) {
	ctx, cancel := context.WithCancel(h.ctx)
	var beside sync.WaitGroup
	read := make(chan struct{})
	beside.Go(func() { defer close(read); w.read(ctx) })
	defer beside.Wait()
	defer cancel()
	select { // the first picture contains what the record has already
	case <-read:
	case <-time.After(headStart):
	}
	tick := time.NewTicker(drawEvery)
	defer tick.Stop()
	var judged time.Time
	var judging time.Duration
	for done := read; ; {
		if took := time.Since(judged); took >= judgeShare*judging || done == nil {
			judged = time.Now()
			w.judge()
			judging = time.Since(judged)
		}
		if added, ok := w.judgeApart(); ok {
			beside.Go(func() { h.standOf(ctx, w, added) })
		}
		w.publish(h.draw)
		select {
		case <-h.ctx.Done():
			return
		case <-done:
			done = nil
		case <-tick.C:
		}
		if h.forget(w) {
			return
		}
	}
}

// forget drops a record that nobody watches.
func (h *hub) forget(w *watch) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.viewers > 0 || time.Since(w.left) < unwatched {
		return false
	}
	delete(h.watched, w.path)
	return true
}

// read passes the record's events to the state machine.
func (w *watch) read(ctx context.Context) {
	info, err := evidence.Follow(ctx, w.path, func(e *evidence.Event) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.run.Add(e)
		return ctx.Err()
	})
	if ctx.Err() != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	switch {
	case errors.Is(err, os.ErrNotExist):
		w.out.problem = "There is no record of this name."
	case err != nil:
		w.out.problem = err.Error()
	}
	w.run.Over(err == nil && info.Ended && !info.Cut)
	w.out.run = store.RunID(info.SHA256)
}

// judge judges what was read. The verdict of a record that is too large to be judged while it grows comes from its
// report, once that is written.
func (w *watch) judge() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.run.Judge()
	if w.over && !w.run.Final() {
		if r, _, err := report.ReadFile(reportOf(w.path)); err == nil {
			w.run.Settle(r)
		}
	}
}

// judgeApart says whether it is time to judge the record from its file, and records that this is being done.
func (w *watch) judgeApart() (added int, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if added, ok = w.run.Apart(); !ok || w.apart.now ||
		!w.over && time.Since(w.apart.last) < apartShare*w.apart.took {
		return 0, false
	}
	w.apart.now = true
	return added, true
}

// standOf judges a record from its file, after other records that already wait for this.
func (h *hub) standOf(ctx context.Context, w *watch, added int) {
	select {
	case h.apart <- struct{}{}:
		defer func() { <-h.apart }()
	case <-ctx.Done():
		return
	}
	begun := time.Now()
	stand, err := judge.Stand(ctx, w.path, live.MaxJudged)
	debug.FreeOSMemory() // the memory of the record, which would be kept for the next time
	if ctx.Err() != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.apart.now, w.apart.last, w.apart.took = false, time.Now(), time.Since(begun)
	switch {
	case err == nil:
		w.run.Took(stand, added)
	case !errors.Is(err, os.ErrNotExist) || w.over: // it gets another name when it is complete
		w.run.CannotJudge(err)
	}
}

// publish draws the picture and wakes those who watch.
func (w *watch) publish(draw func(live.View, outcome) picture) {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.out
	if !w.over {
		out.run = ""
	} else if _, err := os.Stat(reportOf(w.path)); err != nil {
		out.run = ""
	}
	v := w.run.View()
	w.picture = draw(v, out)
	_, open := w.run.Apart()
	w.picture.Final = w.over && !open &&
		(v.Stage == live.Killed || v.Stage == live.Ended && out.run != "" || out.problem != "")
	w.version++
	close(w.next)
	w.next = make(chan struct{})
}

// look returns the newest picture, and a channel that is closed when there is another one.
func (w *watch) look() (p picture, version int, next <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.picture, w.version, w.next
}

// settle waits until every record that is being watched is drawn to its end, and a moment longer until that has been
// sent.
func (h *hub) settle(ctx context.Context) {
	const moment = 100 * time.Millisecond
	for quiet := 0; quiet < 3; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(moment):
		}
		if quiet++; h.busy() {
			quiet = 0
		}
	}
}

func (h *hub) busy() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.watched {
		w.mu.Lock()
		busy := w.viewers > 0 && !w.picture.Final
		w.mu.Unlock()
		if busy {
			return true
		}
	}
	return false
}

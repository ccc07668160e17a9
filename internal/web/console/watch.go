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

	// headStart is what a record is read for before it is drawn for the first time.
	headStart = 250 * time.Millisecond

	// judgeShare is how much of the time may go into judging a run that goes on: at most one part of so many.
	judgeShare = 8

	// apartShare is that of judging a record from its file, which takes longer: the more it has, the more seldom.
	apartShare = 16

	// unwatched is how long a record is followed after its last viewer has left: a reload must not begin anew.
	unwatched = 20 * time.Second

	mostWatched = 8  // records at a time
	mostViewers = 64 // of all records
)

var errTooMany = errors.New("too many pages watch runs already; close one of them")

// regions are parts of a page by the ids of their elements, as HTML.
type regions map[string]string

// picture is what the page of a run shows at one moment.
type picture struct {
	Regions regions `json:"regions"`
	Final   bool    `json:"final"` // nothing more will come
}

// hub follows the records that somebody watches.
type hub struct {
	draw    func(live.View, outcome) picture
	ctx     context.Context
	cancel  context.CancelFunc
	all     sync.WaitGroup
	mu      sync.Mutex
	watched map[string]*watch // by path
	viewers int
	apart   chan struct{} // held by the one record that is judged from its file
}

// outcome is what is known of a run beside its events.
type outcome struct {
	run     string // the id of the run's report, once it is there
	problem string // the record cannot be read
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
	over    bool // the record has been read to its end
	picture picture
	version int
	next    chan struct{} // closed when there is a new picture
	viewers int
	left    time.Time // when the last viewer left
	apart   struct {  // judging the record from its file
		now  bool
		last time.Time
		took time.Duration
	}
}

// join begins to watch a record; leave ends it.
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

// follow reads a record and draws it again and again, until nobody has watched it for a while.
func (h *hub) follow(w *watch) {
	ctx, cancel := context.WithCancel(h.ctx)
	var beside sync.WaitGroup
	read := make(chan struct{})
	beside.Go(func() { defer close(read); w.read(ctx) })
	defer beside.Wait()
	defer cancel()
	select { // what the record has already belongs into the first picture
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

// read hands the record's events to the state machine.
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

// judgeApart says whether it is time to judge the record from its file, and notes that this is being done.
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

// standOf judges a record from its file, after those that wait already.
func (h *hub) standOf(ctx context.Context, w *watch, added int) {
	select {
	case h.apart <- struct{}{}:
		defer func() { <-h.apart }()
	case <-ctx.Done():
		return
	}
	begun := time.Now()
	stand, err := judge.Stand(ctx, w.path, live.MaxJudged)
	debug.FreeOSMemory() // the record's, which would be kept for the next time
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

// publish draws what there is to see and wakes those who watch.
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

// look gives the newest picture, and a channel that is closed when there is another one.
func (w *watch) look() (p picture, version int, next <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.picture, w.version, w.next
}

// settle waits until every record that somebody watches is drawn to its end, and a moment longer, in which it is sent.
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

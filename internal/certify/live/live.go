package live

import (
	"time"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/judge"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// Stage is the state of a run.
type Stage string

// Stages of a run.
const (
	Preparing Stage = "preparing" // no phase has begun
	Running   Stage = "running"
	Judging   Stage = "judging" // the load is over, but there is no verdict yet
	Ended     Stage = "ended"   // the run has ended with a verdict
	Killed    Stage = "killed"  // the record is incomplete, so there is no verdict
)

// PhaseState is the state of a phase.
type PhaseState string

// States of a phase.
const (
	Planned  PhaseState = "planned"
	UnderWay PhaseState = "running"
	Done     PhaseState = "done"
	Cut      PhaseState = "cut short"
	Skipped  PhaseState = "not run"
)

// Phase is one phase of the run's profile.
type Phase struct {
	ID     string
	Kind   testcases.Kind
	State  PhaseState
	Ended  int     // requests that have ended
	Failed int     //
	Share  float64 // how much of the phase is done, from 0 to 1
	Took   time.Duration
	Least  time.Duration // the least time that the phase takes
	Why    string        // why it was cut short
	Steps  int           // steps of a sweep that have ended
	start  int64
}

// View is the state of a run at one moment.
type View struct {
	Stage      Stage
	Header     *evidence.Header // nil until it was read
	Elapsed    time.Duration
	Least      time.Duration // the least time that the whole profile takes
	Conditions []evidence.Condition
	Phases     []Phase
	Load       *Load // the newest phase with requests; nil if there is none yet
	Resources  Resources
	Checks     []Check
	Tally      Tally
	Status     report.Verdict // the verdict, once the run has ended
	Judged     *report.Report
	JudgedAt   time.Duration
	Series     report.Series // memory and CPU over the run
	End        *evidence.End
	Note       string // why checks cannot be judged while the run goes on; "" if they can
}

// Resources is the memory and CPU that the server uses, in GB and cores, with the case's limits. Known is false if
// there is no sample.
type Resources struct {
	Known                           bool
	MemoryGB, PeakGB, MemoryLimitGB float64
	Cores, PeakCores, CoresLimit    float64
	Error                           string // error of the newest sample
}

const (
	// MaxKept is how many events are kept in memory to be judged repeatedly. With about half a kilobyte each they are
	// two megabytes. A record with more events is judged from its file, see Apart, so that memory does not grow with
	// the length of a run.
	MaxKept = 4096

	// MaxJudged is how many events a record may have for its checks to be judged while the run goes on, because all
	// events are in memory while they are judged.
	MaxJudged = 500_000
)

// Run is the state of one run. It is not safe for concurrent use.
type Run struct {
	header     *evidence.Header
	now        int64 // time of the newest event
	conditions []evidence.Condition
	phases     []Phase
	current    int // index of the newest phase that has begun; -1 if there is none
	load       *load
	resources  resources
	end        *evidence.End
	gone       bool // the record is incomplete
	final      bool // judged has the final verdict

	judge    *judge.Live // nil if there are too many events to keep
	apart    bool        // the caller must judge the record from its file
	added    int         // number of events
	judged   *report.Report
	judgedAt int64
	fresh    bool // no event was added since it was judged
	note     string
}

// New returns a Run without events.
func New() *Run { return &Run{current: -1, judge: judge.NewLive()} }

// Add adds the next event of the record. The caller must not change it afterwards.
func (r *Run) Add(e *evidence.Event) {
	r.now = max(r.now, e.At)
	r.fresh = false
	r.added++
	switch {
	case e.Header != nil:
		r.begin(e.Header)
	case e.Condition != nil:
		r.conditions = append(r.conditions, *e.Condition)
	case e.Scrape != nil:
		r.scraped(e.Scrape.Label, e.At)
	case e.Request != nil:
		r.request(e.Request)
	case e.Sample != nil:
		r.resources.add(e.At, e.Sample)
		if r.load != nil {
			r.load.flying(e.At, e.Sample.Load)
		}
	case e.Phase != nil:
		r.phaseEnded(e.Phase)
	case e.End != nil:
		r.end = e.End
	}
	r.keep(e)
}

// keep passes the event to the judge, as long as there are few enough to keep.
func (r *Run) keep(e *evidence.Event) {
	if r.judge == nil {
		return
	}
	if err := r.judge.Add(e); err != nil {
		r.judge, r.note = nil, err.Error()
	} else if r.judge.Kept() > MaxKept {
		r.judge, r.apart = nil, true
	}
}

func (r *Run) begin(h *evidence.Header) {
	r.header = h
	if h.Case == nil {
		return
	}
	for _, p := range h.Case.Profiles[h.Profile] {
		ph := Phase{ID: p.ID, Kind: p.Kind, State: Planned}
		if p.Kind != testcases.KindSweep { // the number of its steps is not known
			ph.Least = time.Duration(h.Case.Least(p) * float64(time.Second))
		}
		r.phases = append(r.phases, ph)
	}
}

// scraped notes that a phase has begun, if the label of a scrape says so.
func (r *Run) scraped(label evidence.ScrapeLabel, at int64) {
	for _, place := range []evidence.ScrapePlace{evidence.ScrapeBefore, evidence.ScrapeDuring, evidence.ScrapeIdle} {
		if id, ok := label.At(place); ok {
			r.entered(id, at)
		}
	}
}

// index finds the index of a phase; -1 if there is none. A step of a sweep belongs to the sweep's phase.
func (r *Run) index(id string) int {
	for i := range r.phases {
		if r.phases[i].ID == id {
			return i
		}
	}
	for i := range r.phases {
		if p := &r.phases[i]; p.Kind == testcases.KindSweep && evidence.IsStep(id, p.ID) {
			return i
		}
	}
	return -1
}

// entered notes that a phase has begun. Phases that the run skipped stay planned until its end.
func (r *Run) entered(id string, at int64) {
	i := r.index(id)
	if i < 0 || r.phases[i].State != Planned && r.phases[i].State != UnderWay {
		return
	}
	if r.phases[i].State == Planned {
		r.phases[i].State, r.phases[i].start = UnderWay, at
		r.current = i
	}
	if sends(r.phases[i].Kind) && (r.load == nil || r.load.id != id) {
		r.load = newLoad(r.header, id, r.plan(i), at)
	}
}

// plan is the case's plan of a phase.
func (r *Run) plan(i int) testcases.Phase {
	p, _ := r.header.Case.Profiles[r.header.Profile].ByID(r.phases[i].ID)
	return p
}

// sends says whether the requests of phases of this kind are shown as load.
func sends(k testcases.Kind) bool { return k != testcases.KindIdle && k != testcases.KindAudit }

func (r *Run) request(q *evidence.Request) {
	r.now = max(r.now, q.Done)
	r.entered(q.Phase, q.Scheduled)
	i := r.index(q.Phase)
	if i < 0 {
		return
	}
	p := &r.phases[i]
	if q.Fail != evidence.FailCanceled {
		p.Ended++
		if !q.OK() {
			p.Failed++
		}
	}
	if r.load != nil && r.load.id == q.Phase {
		r.load.add(q)
	}
}

func (r *Run) phaseEnded(rec *evidence.Phase) {
	r.now = max(r.now, rec.End)
	i := r.index(rec.ID)
	if i < 0 {
		return
	}
	if r.load != nil && r.load.id == rec.ID {
		r.load.ended(rec)
	}
	p := &r.phases[i]
	if rec.Step != nil {
		p.Steps++
		return
	}
	p.State, p.Took, p.Share = Done, time.Duration(rec.End-rec.Start), 1
	if rec.CutShort != "" {
		p.State, p.Why = Cut, string(rec.CutShort)
	}
	p.start = rec.Start
	r.current = max(r.current, i)
}

// Over must be called when there will be no more events. complete is false if the record is incomplete because its run
// was killed.
func (r *Run) Over(complete bool) {
	r.gone = !complete || r.end == nil
}

// Judge judges the events added so far. It does nothing if there are none, or too many to keep. It may take a second.
func (r *Run) Judge() {
	if r.judge == nil || r.header == nil || r.fresh {
		return
	}
	rep, _, err := r.judge.Now()
	if err != nil {
		r.judge, r.note = nil, err.Error()
		return
	}
	r.judged, r.judgedAt, r.fresh, r.final = rep, r.now, true, r.end != nil
}

// Apart says whether the caller must judge the record from its file, because it has more events than are kept, and has
// changed since it was judged. added must be passed to Took.
func (r *Run) Apart() (added int, ok bool) {
	return r.added, r.apart && r.header != nil && !r.fresh && !r.final
}

// Took sets the result of judging the record from its file. added is what Apart returned before that began.
func (r *Run) Took(s judge.Standing, added int) {
	if r.final { // the final report came first
		return
	}
	r.judged, r.judgedAt, r.fresh, r.final = s.Report, s.At, added == r.added, s.Ended && r.end != nil
}

// CannotJudge says why the record cannot be judged from its file.
func (r *Run) CannotJudge(why error) { r.apart, r.note = false, why.Error() }

// Settle sets the report of a run that has ended and was judged elsewhere.
func (r *Run) Settle(rep *report.Report) {
	r.judged, r.judgedAt, r.note, r.final = rep, r.now, "", r.end != nil
}

// Final says whether there is a final verdict.
func (r *Run) Final() bool { return r.final }

// stage is the state of the run.
func (r *Run) stage() Stage {
	switch {
	case r.gone:
		return Killed
	case r.final:
		return Ended
	case r.end != nil:
		return Judging
	case r.current < 0:
		return Preparing
	}
	return Running
}

// View returns the state of the run now.
func (r *Run) View() View {
	v := View{Stage: r.stage(), Header: r.header, Elapsed: time.Duration(r.now), Conditions: r.conditions,
		Resources: r.resources.view(r.header), Series: r.resources.series(r.now), End: r.end, Note: r.note,
		Judged: r.judged, JudgedAt: time.Duration(r.judgedAt)}
	over := v.Stage == Ended || v.Stage == Killed || r.end != nil
	for i := range r.phases {
		p := r.phases[i]
		v.Least += p.Least
		switch {
		case p.State == UnderWay && v.Stage == Killed:
			p.State, p.Why = Cut, "the run was killed"
		case p.State == Planned && over:
			p.State = Skipped
		}
		if p.start > 0 && p.Took == 0 {
			p.Took = time.Duration(r.now - p.start)
		}
		if p.State == UnderWay {
			p.Share = r.share(i, p)
		}
		v.Phases = append(v.Phases, p)
		if p.State != Planned && p.State != Skipped && p.Took > 0 {
			v.Series.Spans = append(v.Series.Spans, report.Marker{Name: p.ID,
				From: time.Duration(p.start).Seconds(), To: (time.Duration(p.start) + p.Took).Seconds()})
		}
	}
	if r.load != nil {
		v.Load = r.load.view(r.now)
	}
	if r.judged != nil {
		v.Checks = checksOf(r.judged, v.Stage)
		v.Tally = tally(v.Checks)
		if v.Stage == Ended {
			v.Status = r.judged.Status
		}
	}
	return v
}

// share is how much of a phase is done, from 0 to 1. A phase ends when it has both sent its requests and lasted its
// time. A sweep ends after its largest number of steps or earlier.
func (r *Run) share(i int, p Phase) float64 {
	s, plan := 0.99, r.plan(i) // never 1 before the phase has ended
	if plan.Kind == testcases.KindSweep {
		sweep, _ := r.header.Case.SweepOf(plan)
		return min(s, float64(p.Steps)/float64(max(sweep.Steps, 1)))
	}
	if n := plan.Requests; n > 0 {
		s = min(s, float64(p.Ended)/float64(n))
	}
	if p.Least > 0 {
		s = min(s, p.Took.Seconds()/p.Least.Seconds())
	}
	if plan.Requests == 0 && p.Least == 0 {
		return 0
	}
	return s
}

package live

import (
	"fmt"
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/judge"
	"github.com/hxp-enterprise/mixtral/testcases"
)

const ms, sec = int64(time.Millisecond), int64(time.Second)

// story adds events to a run and checks its state.
type story struct {
	*testing.T
	r *Run
	c *testcases.Case
	n int
}

func newStory(t *testing.T) *story {
	c := testcases.Defaults()
	c.SchemaVersion, c.ID, c.Name = testcases.SchemaVersion, "TC", "a case"
	c.Targets = testcases.Targets{LatencyMS: 500, ThroughputRPS: 20, MemoryGB: 16, CPUCores: 8, Concurrency: 4}
	c.Profiles = map[string]testcases.Phases{"quick": {
		{ID: "warmup", Kind: testcases.KindWarmup, Requests: 10, Concurrency: 2},
		{ID: "single", Kind: testcases.KindClosed, Requests: 100, Concurrency: 1},
		{ID: "sustained", Kind: testcases.KindOpen, DurationS: 60, RampS: 5},
		{ID: "idle", Kind: testcases.KindIdle, DurationS: 5},
	}}
	c.Checks = []testcases.Check{
		{ID: "errors", Clause: "few errors", Rule: testcases.RuleErrorBudget},
		{ID: "latency", Clause: "fast", Rule: testcases.RuleMeanLatency, Phase: "sustained"},
		{ID: "steps", Clause: "complete", Rule: testcases.RuleStepsComplete},
	}
	return &story{T: t, r: New(), c: &c}
}

func (t *story) add(e evidence.Event) { t.r.Add(&e) }

func (t *story) head() {
	t.add(evidence.Event{Header: &evidence.Header{SchemaVersion: 1, Start: time.Unix(1e9, 0), Case: t.c,
		Profile: "quick", Target: evidence.Target{URL: "http://x", Model: "m"}, Rules: evidence.Rules}})
	t.add(evidence.Event{Client: &evidence.Client{Streams: 1, RPS: 1}})
}

// request adds a request that was scheduled at a time and took a given time; its first token came after half of it.
func (t *story) request(phase string, at, took int64, fail evidence.Failure) {
	q := &evidence.Request{Phase: phase, N: t.n, Prompt: "a/b", Scheduled: at, Issued: at, First: at + took/2,
		Last: at + took, Done: at + took, Chunks: 5, Status: 200, Fail: fail, HasUsage: true, PromptTokens: 3,
		OutputTokens: 11}
	t.n++
	t.add(evidence.Event{At: q.Done, Request: q})
}

func (t *story) sample(at int64, load int, rss int64, cpu float64) {
	t.add(evidence.Event{At: at, Sample: &evidence.Sample{Source: "pid 1", RSS: rss, CPUSeconds: cpu, Load: load}})
}

func (t *story) phase(id string, kind testcases.Kind, from, to int64, cut testcases.CutReason) {
	t.add(evidence.Event{At: to, Phase: &evidence.Phase{ID: id, Kind: kind, Start: from, SteadyFrom: from,
		SteadyTo: to, End: to, CutShort: cut}})
}

func (t *story) states(want ...PhaseState) {
	t.Helper()
	v := t.r.View()
	if len(v.Phases) != len(want) {
		t.Fatalf("%d phases, want %d", len(v.Phases), len(want))
	}
	for i, p := range v.Phases {
		if p.State != want[i] {
			t.Errorf("phase %s is %s, want %s", p.ID, p.State, want[i])
		}
	}
}

func (t *story) stage(want Stage) View {
	t.Helper()
	v := t.r.View()
	if v.Stage != want {
		t.Errorf("the stage is %s, want %s", v.Stage, want)
	}
	return v
}

// TestARunToItsVerdict follows a run: preparations, phases one after the other, checks as they would be judged, and
// the verdict.
func TestARunToItsVerdict(tt *testing.T) {
	t := newStory(tt)
	t.stage(Preparing)
	t.r.Judge() // there is nothing to judge yet
	t.head()
	v := t.stage(Preparing)
	if v.Least != 65*time.Second || len(v.Checks) != 0 || v.Load != nil {
		t.Errorf("least %s, %d checks, load %v", v.Least, len(v.Checks), v.Load)
	}
	t.add(evidence.Event{At: 10, Condition: &evidence.Condition{ID: evidence.ConditionReady, OK: true}})
	t.add(evidence.Event{At: sec, Scrape: &evidence.Scrape{Label: evidence.ScrapeBefore.Of("warmup")}})
	t.stage(Running)
	t.states(UnderWay, Planned, Planned, Planned)
	for i := range int64(10) {
		t.request("warmup", sec+i*100*ms, 100*ms, "")
	}
	t.phase("warmup", testcases.KindWarmup, sec, 2*sec, "")
	t.states(Done, Planned, Planned, Planned)

	for i := range int64(50) { // a closed loop of one: 100 ms each
		t.request("single", 2*sec+i*100*ms, 100*ms, "")
	}
	t.sample(7*sec, 1, 4<<30, 10)
	v = t.r.View()
	if p := v.Phases[1]; p.State != UnderWay || p.Ended != 50 || math.Abs(p.Share-0.5) > 0.01 {
		t.Errorf("half of the closed loop is %+v", p)
	}
	if l := v.Load; l == nil || l.Phase != "single" || math.Abs(l.Completed-10) > 0.5 || l.InFlight != 1 ||
		l.Concurrency != 1 || l.Offered != 0 || math.Abs(l.Tokens-110) > 2 {
		t.Errorf("the closed loop's load is %+v", v.Load)
	}
	t.r.Judge()
	v = t.r.View()
	if v.Checks[0].State != WouldPass || v.Checks[1].State != Open || v.Checks[2].State != Open ||
		v.Tally != (Tally{1, 0, 2}) || v.Status != "" {
		t.Errorf("the checks stand at %+v, %+v, status %q", v.Checks, v.Tally, v.Status)
	}
	t.phase("single", testcases.KindClosed, 2*sec, 8*sec, "")

	for i := range int64(20 * 30) { // half of the open loop; three of a hundred fail
		fail := evidence.Failure("")
		if i%33 == 0 {
			fail = evidence.FailStatus
		}
		t.request("sustained", 10*sec+i*50*ms, 200*ms, fail)
		if i%20 == 0 {
			t.sample(10*sec+i*50*ms, 4, (4<<30)+i<<20, 10+float64(i)*0.05*3)
		}
	}
	v = t.r.View()
	l := v.Load
	if l.Phase != "sustained" || l.Offered != 20 || math.Abs(l.Completed-19.4) > 0.5 || l.InFlight != 4 ||
		l.Failed != 19 {
		t.Errorf("the open loop's load is %+v", l)
	}
	if n := len(l.Series.Offered); n < 28 || l.Series.Offered[3].Y != 20 || l.Series.InFlight[5].Y != 4 ||
		math.Abs(l.Series.Completed[10].Y-19) > 1.1 || math.Abs(l.Series.Issued[10].Y-20) > 1.1 {
		t.Errorf("%d points, offered %v, completed %v, issued %v", n, l.Series.Offered[3], l.Series.Completed[10],
			l.Series.Issued[10])
	}
	if v.Resources.MemoryGB < 4 || v.Resources.PeakGB < v.Resources.MemoryGB || math.Abs(v.Resources.Cores-3) > 0.1 ||
		v.Resources.CoresLimit != 8 || len(v.Series.Memory) < 20 || len(v.Series.CPU) < 20 {
		t.Errorf("resources %+v, %d and %d points", v.Resources, len(v.Series.Memory), len(v.Series.CPU))
	}
	t.r.Judge()
	if v = t.r.View(); v.Checks[1].State != WouldPass || *v.Checks[1].Measured < 200 {
		t.Errorf("with half of its phase, latency stands at %+v", v.Checks[1])
	}
	if v.Checks[0].State != WouldFail {
		t.Errorf("with 3 %% of failures, errors stands at %+v", v.Checks[0])
	}
	t.phase("sustained", testcases.KindOpen, 10*sec, 41*sec, testcases.CutInterrupted)
	t.states(Done, Done, Cut, Planned)
	t.add(evidence.Event{At: 41 * sec, End: &evidence.End{Interrupted: true, Reason: "stopped on request"}})
	t.stage(Judging)
	t.states(Done, Done, Cut, Skipped)
	t.r.Judge()
	t.r.Over(true)
	v = t.stage(Ended)
	if v.Status != report.Fail || v.Checks[0].State != Failed || v.Checks[2].State != Unjudged || !t.r.Final() {
		t.Errorf("status %s, %+v", v.Status, v.Checks)
	}
}

// TestTheLastPhase: while the last phase runs, the check that every step ran stays open.
func TestTheLastPhase(tt *testing.T) {
	t := newStory(tt)
	t.c.Profiles["quick"] = t.c.Profiles["quick"][1:2]
	t.head()
	for i := range int64(100) {
		t.request("single", i*100*ms, 90*ms, "")
	}
	t.r.Judge()
	if c := t.r.View().Checks[2]; c.State != Open {
		t.Errorf("with all of its requests, steps stands at %s: %s", c.State, c.Reason)
	}
}

// TestAKilledRun: an incomplete record has no verdict, whatever its checks look like.
func TestAKilledRun(tt *testing.T) {
	t := newStory(tt)
	t.head()
	for i := range int64(30) {
		t.request("single", i*100*ms, 90*ms, "")
	}
	t.r.Over(false)
	t.r.Judge()
	v := t.stage(Killed)
	if v.Status != "" || v.Checks[0].State != WouldPass || v.Phases[1].State != Cut || v.Phases[2].State != Skipped {
		t.Errorf("status %q, %+v, %+v", v.Status, v.Checks[0], v.Phases)
	}
	// a run whose file is complete but has no end was killed too
	t = newStory(tt)
	t.head()
	t.r.Over(true)
	t.stage(Killed)
	// and so is a file that is not a record
	r := New()
	r.Over(false)
	if v := r.View(); v.Stage != Killed || v.Header != nil {
		t.Errorf("of nothing: %+v", v)
	}
}

// TestTimesAreTheJudges: the page of a running certification shows the same times as the verdict, also if the model
// reasons and the server bills tokens that it does not send.
func TestTimesAreTheJudges(tt *testing.T) {
	t := newStory(tt)
	t.head()
	for i := range int64(200) {
		at := i * 50 * ms
		t.add(evidence.Event{At: at + 400*ms, Request: &evidence.Request{Phase: "sustained", N: int(i), Prompt: "a/b",
			Scheduled: at, Issued: at + ms, First: at + (100+i)*ms, Last: at + (300+2*i)*ms, Done: at + (350+2*i)*ms,
			Chunks: 6, Status: 200, HasUsage: true, PromptTokens: 3, OutputTokens: 40, ReasoningTokens: 30}})
	}
	t.phase("sustained", testcases.KindOpen, 0, 11*sec, "")
	t.r.Judge()
	d := t.r.judged.Phases[0]
	for i, judged := range []*report.Dist{latency: d.Latency, ttft: d.TTFT, tpot: d.TPOT} {
		shown := t.r.View().Load.Times[i]
		if shown.N != judged.N || math.Abs(shown.Quantiles[0].Value-*judged.P50) > 1e-5 { // the report is rounded
			t.Errorf("%s: the median of %d is shown as %v ms; the verdict has %v ms of %d", shown.Name, shown.N,
				shown.Quantiles[0].Value, *judged.P50, judged.N)
		}
	}
}

// TestStepsOfASweep: the steps of a sweep belong to its phase, and the load shown is that of the step.
func TestStepsOfASweep(tt *testing.T) {
	t := newStory(tt)
	t.c.Profiles["quick"] = testcases.Phases{{ID: "sweep", Kind: testcases.KindSweep, DurationS: 5,
		Sweep: &testcases.Sweep{Over: testcases.OverRate, From: 1, To: 8}}}
	t.head()
	for i := range int64(10) {
		t.request("sweep-01", i*sec, 50*ms, "")
	}
	if v := t.r.View(); v.Load == nil || v.Load.Phase != "sweep-01" || v.Phases[0].State != UnderWay ||
		v.Phases[0].Ended != 10 {
		t.Fatalf("%+v, %+v", v.Load, v.Phases)
	}
	t.add(evidence.Event{At: 10 * sec, Phase: &evidence.Phase{ID: "sweep-01", Kind: testcases.KindOpen, End: 10 * sec,
		SteadyTo: 10 * sec, Step: &evidence.Step{Of: "sweep", Load: 1, Times: 1}}})
	t.request("sweep-02", 11*sec, 50*ms, "")
	if v := t.r.View(); v.Phases[0].Share <= 0 || v.Phases[0].Share > 0.5 || v.Least != 0 {
		t.Errorf("after one step of many the sweep is done to %v, of at least %s", v.Phases[0].Share, v.Least)
	}
	if v := t.r.View(); v.Phases[0].Steps != 1 || v.Phases[0].State != UnderWay || v.Load.Phase != "sweep-02" {
		t.Errorf("%+v, %+v", v.Load, v.Phases)
	}
}

// TestStrangeEvents: events that no run writes must not cause a panic.
func TestStrangeEvents(tt *testing.T) {
	t := newStory(tt)
	t.request("early", 0, 5, "") // before any header
	t.sample(0, 1, 0, 0)
	t.phase("none", "", 0, 0, "")
	t.r.View()
	t.head()
	t.head() // a second one
	t.request("unknown", 0, 5, "")
	t.request("sustained", 50*sec, -9*sec, "")
	t.request("sustained", math.MaxInt64/2, 1, "")
	t.request("sustained", -5, 1, "")
	t.sample(math.MaxInt64/2, -3, -1, math.NaN())
	t.sample(-9, 1<<30, 1, -1)
	t.r.Judge()
	v := t.r.View()
	for _, p := range v.Phases {
		if math.IsNaN(p.Share) || p.Share < 0 || p.Share > 1 {
			t.Errorf("%+v", p)
		}
	}
	r := New()
	r.Add(&evidence.Event{Header: &evidence.Header{SchemaVersion: 1, Profile: "quick"}}) // without a case
	r.Add(&evidence.Event{Request: &evidence.Request{Phase: "a"}})
	r.Judge()
	if v := r.View(); v.Note == "" {
		t.Error("nobody says that there is nothing to judge by")
	}
}

// TestLongPhases: the memory for a phase does not grow with its length, and its figures stay correct.
func TestLongPhases(tt *testing.T) {
	t := newStory(tt)
	t.head()
	play := func(from, to int64) {
		for i := from; i < to; i++ {
			t.request("sustained", i*10*ms, 100*ms+i%100*ms, "")
			t.sample(i*10*ms, 10, 1<<30, float64(i)*0.02)
		}
	}
	play(0, 100_000)
	before := heap()
	play(100_000, 300_000)
	if grown := heap() - before; grown > 1<<20 {
		t.Errorf("200,000 more requests took %d bytes", grown)
	}
	l := t.r.View().Load
	if len(l.Series.Completed) > mostBins || math.Abs(l.Completed-100) > 5 || l.Ended != 300_000 ||
		math.Abs(l.Series.Completed[100].Y-100) > 1 {
		t.Errorf("%d bins, %v completed a second, %v in bin 100", len(l.Series.Completed), l.Completed,
			l.Series.Completed[100])
	}
	for _, q := range l.Times[latency].Quantiles {
		if want := 100 + 100*q.P; math.Abs(q.Value-want) > 3 || q.Low > q.Value || q.High < q.Value || !q.Known {
			t.Errorf("p%v is %+v, want %v", 100*q.P, q, want)
		}
	}
	if s := t.r.View().Series; len(s.Memory) > mostPoints || len(s.CPU) > mostPoints {
		t.Errorf("%d and %d points", len(s.Memory), len(s.CPU))
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestALargeRecord: the caller judges a record with more events than are kept, and judges it again when events were
// added. The verdict is final when it comes from the whole record.
func TestALargeRecord(tt *testing.T) {
	t := newStory(tt)
	t.head()
	for i := range int64(MaxKept) {
		if _, ok := t.r.Apart(); ok && i < MaxKept/2 {
			t.Fatalf("after %d events it is to be judged apart", i)
		}
		t.request("sustained", i*10*ms, 100*ms, "")
	}
	t.r.Judge() // has no events left to judge
	added, ok := t.r.Apart()
	if !ok || len(t.r.View().Checks) != 0 {
		t.Fatalf("judged apart: %v, %d checks", ok, len(t.r.View().Checks))
	}
	rep := &report.Report{Status: report.Invalid, Checks: []report.Check{{ID: "errors", Gate: true,
		Verdict: report.Pass}}}
	t.r.Took(judge.Standing{Report: rep, At: 5 * sec}, added)
	v := t.stage(Running)
	if _, ok := t.r.Apart(); ok || v.Checks[0].State != WouldPass || v.JudgedAt != 5*time.Second {
		t.Errorf("again: %v, %+v at %s", ok, v.Checks, v.JudgedAt)
	}
	t.phase("sustained", testcases.KindOpen, 0, 50*sec, "")
	added, ok = t.r.Apart()
	t.add(evidence.Event{At: 51 * sec, End: &evidence.End{}})
	t.r.Took(judge.Standing{Report: rep, At: 50 * sec}, added) // from a record that had no end yet
	t.r.Over(true)
	if v := t.stage(Judging); !ok || t.r.Final() || v.Status != "" {
		t.Errorf("due: %v, final %v, %q", ok, t.r.Final(), v.Status)
	}
	if added, ok = t.r.Apart(); !ok {
		t.Fatal("the end of the record is not judged")
	}
	t.r.Took(judge.Standing{Report: rep, At: 51 * sec, Ended: true}, added)
	if v := t.stage(Ended); v.Status != report.Invalid || v.Checks[0].State != Passed {
		t.Errorf("%q, %+v", v.Status, v.Checks)
	}
	if _, ok = t.r.Apart(); ok {
		t.Error("it is judged again after its verdict")
	}
}

// TestARecordThatCannotBeJudged: if judging it from its file fails, the page says why, until its report exists.
func TestARecordThatCannotBeJudged(tt *testing.T) {
	t := newStory(tt)
	t.head()
	for i := range int64(MaxKept) {
		t.request("sustained", i*10*ms, 100*ms, "")
	}
	t.r.CannotJudge(judge.ErrTooLarge)
	if _, ok := t.r.Apart(); ok || t.r.View().Note != judge.ErrTooLarge.Error() {
		t.Errorf("again: %v, the note is %q", ok, t.r.View().Note)
	}
	t.add(evidence.Event{At: 51 * sec, End: &evidence.End{}})
	t.r.Settle(&report.Report{Status: report.Fail})
	t.r.Over(true)
	if v := t.stage(Ended); v.Status != report.Fail || v.Note != "" {
		t.Errorf("%q, note %q", v.Status, v.Note)
	}
}

// TestQuantile: a percentile has an interval, and is not known for too few values.
func TestQuantile(t *testing.T) {
	var x []float64
	for i := range 1000 {
		x = append(x, float64(i))
	}
	for n, want := range map[int]string{5: "false 0", 50: "true 44", 1000: "true 899"} {
		q := quantile(x[:n], 0.9, 0.99)
		if got := fmt.Sprintf("%v %v", q.Known, q.Value); got != want {
			t.Errorf("p90 of %d is %s, want %s", n, got, want)
		}
		if q.Known && (q.Low >= q.Value || q.High <= q.Value) {
			t.Errorf("p90 of %d is %+v", n, q)
		}
	}
	if q := quantile(x, 0.5, 0.99); q.Low > 460 || q.Low < 440 || q.High < 540 || q.High > 560 {
		t.Errorf("the median of a thousand is %+v", q)
	}
}

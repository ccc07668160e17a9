package certify

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/target"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/loadgen"
	"github.com/hxp-enterprise/mixtral/internal/certify/remote"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// errGeneratorLost ends a run that has lost a generator, because its load is no longer the planned one.
var errGeneratorLost = errors.New("part of the load was lost")

// generators are the machines that make the load of a run together. The methods of a nil value do nothing; then this
// process makes the load.
type generators struct {
	r     *runner
	hub   *remote.Hub
	run   string // the run's random name
	phase *phaseRun
}

// checkGenerators checks that several machines can make the load of the profile.
func (o *Options) checkGenerators(phases testcases.Phases) error {
	if len(o.Generators) == 0 {
		return nil
	}
	if o.Target == "" {
		return fmt.Errorf("%w: generators need a target: other machines cannot reach a server that is started for "+
			"the "+
			"run", ErrOptions)
	}
	if len(o.Generators) > evidence.MaxGenerators {
		return fmt.Errorf("%w: there are %d generators, at most %d are allowed",
			ErrOptions, len(o.Generators), evidence.MaxGenerators)
	}
	seen := map[string]bool{}
	for _, address := range o.Generators {
		host, port, err := net.SplitHostPort(address)
		if err != nil || host == "" || port == "" {
			return fmt.Errorf("%w: generator %q: must be HOST:PORT", ErrOptions, address)
		}
		if seen[address] {
			return fmt.Errorf("%w: generator %s is named twice", ErrOptions, address)
		}
		seen[address] = true
	}
	var why []string
	for _, ph := range phases {
		err := loadgen.Divisible(ph.Kind)
		if err == nil || ph.Kind == testcases.KindSweep {
			return nil
		}
		why = append(why, ph.ID+": "+err.Error())
	}
	return fmt.Errorf("%w: generators have no work in profile %s: %s", ErrOptions, o.Profile,
		strings.Join(why, "; "))
}

// join connects to the generators and sends each of them the plan.
func (r *runner) join(ctx context.Context) (*generators, error) {
	o := r.plan.o
	if len(o.Generators) == 0 {
		return nil, nil
	}
	g := &generators{r: r, run: drawRun()}
	defer r.progress.noteSlow(slowStart, "generators have not answered yet")()
	var err error
	g.hub, err = remote.Join(ctx, remote.HubOptions{Addresses: o.Generators, Key: o.GeneratorsKey,
		Roots: o.GeneratorsRoots, Version: release(o.Version), Wait: o.GeneratorsWait, Lost: g.lost})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", target.ErrSetup, err)
	}
	plan, err := r.remotePlan(g.run)
	if err == nil {
		err = g.hub.Plan(ctx, plan, planDigest(r.plan))
	}
	if err != nil {
		g.close()
		return nil, fmt.Errorf("%w: %w", target.ErrSetup, err)
	}
	return g, nil
}

// release is the part of a program's version that must be the same on all generators. The compiler and the platform
// may differ: if machines round differently, the digests of their parts of the schedule show it.
func release(version string) string {
	return strings.Join(slices.DeleteFunc(strings.Fields(version), func(word string) bool {
		return strings.HasPrefix(word, "go1") || strings.Contains(word, "/")
	}), " ")
}

// drawRun returns a random name for a run. The records of its generators have it too.
func drawRun() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // cannot fail
	return hex.EncodeToString(b[:])
}

// remotePlan returns what the generators need to know about a run.
func (r *runner) remotePlan(run string) (remote.Plan, error) {
	p, s := r.plan, r.server
	data, err := p.c.Marshal()
	if err != nil {
		return remote.Plan{}, err
	}
	return remote.Plan{Protocol: remote.Protocol, Version: release(p.o.Version), Run: run, Case: data,
		Prompts: p.loaded.PromptBytes, Files: p.loaded.Files, Profile: p.o.Profile, Seed: p.o.Seed,
		Target: remote.Target{URL: s.URL, Model: s.model, Key: s.key, Header: s.extra.Header, Query: s.extra.Query,
			Route: s.route, HTTP2: s.http2, LeftOut: r.requests.form.leftOut,
			PerWord: r.tokens.perWord}, Tracing: p.o.TracingURL}, nil
}

// planDigest is the SHA-256 of everything that determines what a run sends.
func planDigest(p *plan) string {
	sum := sha256.New()
	data, err := json.Marshal(p.c)
	if err != nil {
		panic("certify: " + err.Error()) // cannot happen: the case was read from JSON or YAML
	}
	for _, part := range [][]byte{data, p.loaded.PromptBytes, []byte(p.o.Profile),
		binary.BigEndian.AppendUint64(nil, uint64(p.o.Seed))} {
		fmt.Fprintf(sum, "%d\n", len(part))
		sum.Write(part)
	}
	for _, name := range slices.Sorted(maps.Keys(p.loaded.Files)) {
		fmt.Fprintf(sum, "%q %s\n", name, digest(p.loaded.Files[name]))
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// partDigest is the SHA-256 of a generator's part of a phase: its arrivals, its limits, and its first two requests.
// some is false if the part is empty.
func partDigest(full loadgen.Plan, i, n int) (digest string, part loadgen.Plan, some bool, err error) {
	part, some, err = full.Part(i, n)
	if err != nil {
		return "", part, false, err
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%s %v %d %d %d %d %d\n", part.Kind, some, part.Requests, part.Concurrency, part.Cap,
		part.MinDuration, part.MaxDuration)
	if !some {
		return hex.EncodeToString(sum.Sum(nil)), part, false, nil
	}
	var b []byte
	for _, at := range part.Offsets {
		b = binary.BigEndian.AppendUint64(b[:0], uint64(at))
		sum.Write(b)
	}
	for k := range 2 {
		sum.Write(part.Make(k).Body)
	}
	return hex.EncodeToString(sum.Sum(nil)), part, true, nil
}

// describe adds the generators to the record's header.
func (g *generators) describe(h *evidence.Header) {
	if g != nil {
		h.Generators, h.Run = g.hub.Generators(), g.run
	}
}

// begin starts the clock of the generators' events, which take then receives.
func (g *generators) begin() {
	if g != nil {
		g.hub.Begin(g.r.record.epoch, g.take)
	}
}

// end waits for the last events of the generators.
func (g *generators) end() {
	if g != nil {
		g.hub.End()
	}
}

// take records an event from a generator. It is called for one event at a time.
func (g *generators) take(e evidence.Event) {
	switch {
	case e.Request != nil && g.phase != nil:
		g.phase.take(*e.Request)
		return
	case e.Condition != nil:
		g.r.progress.tell(Event{Kind: EventCondition, OK: e.Condition.OK, Text: fmt.Sprintf("%s of generator %d: %s",
			e.Condition.ID, e.Condition.Generator, e.Condition.Detail)})
	}
	g.r.record.addAt(e)
}

// lost ends the run because a generator was lost.
func (g *generators) lost(name, why string) {
	if cancel := g.r.record.cancel; cancel != nil {
		cancel(fmt.Errorf("%w: %s was lost: %s", errGeneratorLost, name, why))
	}
}

// check lets each generator check its machine and its connection to the server.
func (g *generators) check(ctx context.Context) {
	if g == nil || ctx.Err() != nil {
		return
	}
	if err := g.hub.Check(ctx); err != nil && ctx.Err() == nil {
		g.r.record.cancel(fmt.Errorf("%w: %w", errGeneratorLost, err))
	}
}

func (g *generators) close() {
	if g != nil && g.hub != nil {
		g.hub.Close("the run is over")
		g.hub = nil
	}
}

// load runs a phase, or a round or step of one, on all generators. The record that it returns looks like that of a
// single generator.
func (g *generators) load(ctx context.Context, p *phaseRun, plan loadgen.Plan) evidence.Phase {
	r := g.r
	begin := r.record.since()
	p.planned = max(plan.Requests, len(plan.Offsets))
	n := len(r.plan.o.Generators)
	digests := make([]string, n)
	var err error
	for i := range digests {
		if digests[i], _, _, err = partDigest(plan, i, n); err != nil {
			break
		}
	}
	x := remote.Prepare{Index: p.index, Phase: p.ph, From: p.from, Requests: plan.Requests,
		MinDuration: plan.MinDuration, MaxDuration: plan.MaxDuration}
	g.phase = p
	if err == nil {
		err = g.hub.Prepare(ctx, x, digests)
	}
	if err != nil {
		if ctx.Err() == nil {
			r.record.cancel(fmt.Errorf("%w: %w", errGeneratorLost, err))
		}
		now := r.record.since()
		return evidence.Phase{ID: p.ph.ID, Kind: p.ph.Kind, Start: begin, SteadyFrom: begin, SteadyTo: now, End: now,
			Planned: plan.Requests, CutShort: testcases.CutReason(err.Error())}
	}
	stop := g.followInFlight()
	at := g.hub.Start()
	ended := g.hub.Wait(ctx)
	stop()
	for i := range ended {
		part := ended[i].Part
		part.Phase = p.ph.ID
		r.record.add(evidence.Event{Part: &part})
	}
	return joined(plan, at, r.record.since(), ended, r.plan.o.Generators)
}

// followInFlight copies the number of requests in flight to progress until stop is called.
func (g *generators) followInFlight() (stop func()) {
	done, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		tick := time.NewTicker(tellEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				g.r.progress.inFlight.Store(0)
				return
			case <-tick.C:
				g.r.progress.inFlight.Store(int64(g.hub.InFlight()))
			}
		}
	}()
	return func() { close(done); <-over }
}

// joined merges the records of a phase's parts. Its steady window is the time in which all generators made their load.
func joined(plan loadgen.Plan, at, now int64, ended []remote.Ended, names []string) evidence.Phase {
	out := evidence.Phase{ID: plan.ID, Kind: plan.Kind, Start: at, End: at, SteadyTo: -1}
	var cut, lost []string
	parts := 0
	for i, e := range ended {
		out.Planned, out.Issued = out.Planned+e.Part.Planned, out.Issued+e.Part.Issued
		out.MaxInFlight, out.CapHit = out.MaxInFlight+e.Part.MaxInFlight, out.CapHit || e.Part.CapHit
		if e.Part.Lost != "" {
			lost = append(lost, fmt.Sprintf("generator %d (%s) was lost: %s", i+1, names[i], e.Part.Lost))
		}
		if e.Phase == nil {
			continue
		}
		parts++
		out.End = max(out.End, e.Phase.End)
		if out.SteadyTo < 0 || e.Phase.SteadyTo < out.SteadyTo {
			out.SteadyTo = e.Phase.SteadyTo
		}
		if c := e.Part.CutShort; c != "" && !slices.Contains(cut, string(c)) {
			cut = append(cut, string(c))
		}
	}
	if len(lost) > 0 || parts == 0 {
		out.End = max(out.End, now)
	}
	switch last := len(plan.Offsets) - 1; {
	case plan.Kind == testcases.KindOpen:
		if len(cut)+len(lost) == 0 || out.SteadyTo < 0 {
			out.SteadyTo = at + int64(plan.Offsets[last])
		}
		if span := max(plan.Offsets[last], plan.MinDuration).Seconds(); span > 0 {
			out.OfferedRPS = float64(len(plan.Offsets)) / span
		}
	case plan.Kind == testcases.KindBatch:
		out.SteadyTo = out.End
	}
	out.SteadyTo = max(out.SteadyTo, at)
	out.SteadyFrom = min(at+int64(plan.Ramp), out.SteadyTo)
	out.CutShort = testcases.CutReason(strings.Join(lost, "; "))
	if len(lost) == 0 && len(cut) > 0 {
		out.CutShort = cutOf(cut, ended)
	}
	return out
}

// cutOf merges the reasons why the parts of a phase were cut short. If only some of the generators lost the server,
// the server has not gone away.
func cutOf(cut []string, ended []remote.Ended) testcases.CutReason {
	var gone []string
	parts := 0
	for i, e := range ended {
		if e.Phase != nil {
			parts++
			if e.Part.CutShort == testcases.CutTargetLost {
				gone = append(gone, fmt.Sprint(i+1))
			}
		}
	}
	if len(gone) > 0 && len(gone) < parts {
		return testcases.CutReason("the way to the server was lost by generator " + strings.Join(gone, ", "))
	}
	for _, first := range []testcases.CutReason{testcases.CutTargetLost, testcases.CutInterrupted} {
		if slices.Contains(cut, string(first)) {
			return first
		}
	}
	return testcases.CutReason(strings.Join(cut, ", "))
}

package certify

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/target"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/probe"
	"github.com/hxp-enterprise/mixtral/testcases"
)

const (
	clockEvery = time.Second

	// A server counts as lost when so many connections in a row were refused and it does not list its models either.
	refusedInARow = 20
	lookEvery     = 200 * time.Millisecond
	lookTimeout   = 5 * time.Second
)

// observer watches what goes on beside the load, and records it.
type observer struct {
	source   probe.Source // of memory and CPU
	gpus     *probe.GPUs  // nil: nobody named any
	host     *probe.Host  // nil: this system does not tell who uses it
	server   *server
	metrics  *metrics
	record   *record
	progress *progress
}

func newObserver(ctx context.Context, o Options, s *server, m *metrics, r *record, p *progress) (*observer, error) {
	w := &observer{server: s, metrics: m, record: r, progress: p}
	var err error
	if w.source, err = resourcesOf(s.Server, o.PID, o.Cgroup, m.scraper); err != nil {
		return nil, fmt.Errorf("%w: resources: %w", target.ErrSetup, err)
	}
	if w.host, err = probe.NewHost(ctx, w.source, s.URL); err != nil {
		w.host = nil
	}
	return w, nil
}

// resourcesOf chooses where a server's resources are read from: a process or cgroup that the caller names, the process
// that was started, this one, or the server's own metrics.
func resourcesOf(s *target.Server, pid int, cgroup string, metrics *probe.Scraper) (probe.Source, error) {
	switch {
	case cgroup != "":
		return probe.Cgroup(cgroup)
	case pid != 0:
		return probe.PID(pid)
	case s.PID != 0:
		return probe.PID(s.PID)
	case s.InProcess:
		return probe.Self()
	}
	return probe.Remote(metrics), nil
}

// start starts all watchers; the function that it returns stops them and waits for their end.
func (o *observer) start(ctx context.Context, cancel context.CancelCauseFunc) (stop func()) {
	watching, end := context.WithCancel(ctx)
	var all sync.WaitGroup
	for _, watch := range []func(context.Context){o.watchResources, o.watchMetrics, o.watchClock, o.watchHost,
		o.watchGPUs,
		func(ctx context.Context) { o.watchTarget(ctx, cancel) }} {
		all.Go(func() { watch(watching) })
	}
	return func() { end(); all.Wait() }
}

// watchResources records memory and CPU.
func (o *observer) watchResources(ctx context.Context) {
	var last evidence.Sample
	var at time.Time
	probe.Watch(ctx, o.source, func() int { return int(o.progress.inFlight.Load()) }, func(s evidence.Sample) {
		o.record.add(evidence.Event{Sample: &s})
		if s.Err != "" {
			return
		}
		o.progress.monitor.RecordResourceUsage(ResourceMemory, float64(s.RSS))
		if now := time.Now(); at.IsZero() {
			last, at = s, now
		} else if dt := now.Sub(at).Seconds(); dt >= 1 { // over a second: process accounting counts in ticks of 10 ms
			o.progress.monitor.RecordResourceUsage(ResourceCPU, (s.CPUSeconds-last.CPUSeconds)/dt)
			last, at = s, now
		}
	})
}

// watchMetrics records the server's metrics while there is load, when its gauges say how many requests it believes to
// have, and while there is none, when no cache of it may grow.
func (o *observer) watchMetrics(ctx context.Context) {
	tick := time.NewTicker(scrapeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		ph := o.progress.current.Load()
		if ph == nil {
			continue
		}
		switch ph.Kind {
		case testcases.KindClosed, testcases.KindOpen:
			o.metrics.during(ctx, evidence.ScrapeDuring.Of(ph.ID))
		case testcases.KindIdle:
			o.metrics.during(ctx, evidence.ScrapeIdle.Of(ph.ID))
		}
	}
}

// watchClock records how far the wall clock has moved relative to the monotonic one.
func (o *observer) watchClock(ctx context.Context) {
	tick := time.NewTicker(clockEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			wall := now.Round(0).Sub(o.record.epoch.Round(0))
			o.record.add(evidence.Event{Clock: &evidence.Clock{DriftNS: int64(wall - now.Sub(o.record.epoch))}})
		}
	}
}

// watchHost records what else uses this machine, so that neither server nor client is blamed for it.
func (o *observer) watchHost(ctx context.Context) {
	if o.host == nil {
		return
	}
	tick := time.NewTicker(probe.HostInterval)
	defer tick.Stop()
	for {
		if h, err := o.host.Read(); err == nil { // it could be read before the run
			o.record.add(evidence.Event{Host: h})
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// watchTarget ends the run when the server has gone. It knows that of a started server from its process; any other has
// gone when it refuses connections and does not answer a simple question either.
func (o *observer) watchTarget(ctx context.Context, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.server.Gone: // nil, and never ready, where nobody knows
			cancel(errTargetLost)
			return
		case <-tick.C:
		}
		if o.server.lost(ctx) {
			cancel(errTargetLost)
			return
		}
	}
}

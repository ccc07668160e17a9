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

	// A server is lost after refusedInARow refused connections in a row, if it does not list its models either.
	refusedInARow = 20
	lookEvery     = 200 * time.Millisecond
	lookTimeout   = 5 * time.Second
)

// observer measures and records, during the load, what the load generator does not see.
type observer struct {
	source   probe.Source // of memory and CPU
	gpus     *probe.GPUs  // nil: there are none to watch
	host     *probe.Host  // nil: this system does not say what uses it
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

// resourcesOf chooses the source of a server's memory and CPU: the process or cgroup that the caller names, the
// process that was started, this process, or the server's own metrics.
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

// start starts all watchers. stop stops them and waits for their end.
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
			// over a second, because CPU time is counted in ticks of 10 ms
		} else if dt := now.Sub(at).Seconds(); dt >= 1 {
			o.progress.monitor.RecordResourceUsage(ResourceCPU, (s.CPUSeconds-last.CPUSeconds)/dt)
			last, at = s, now
		}
	})
}

// watchMetrics records the server's metrics. During load the gauges say how many requests the server believes to have.
// Without load none of its caches may grow.
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

// watchHost records what else uses this machine, so that neither the server nor the client is blamed for it.
func (o *observer) watchHost(ctx context.Context) {
	if o.host == nil {
		return
	}
	tick := time.NewTicker(probe.HostInterval)
	defer tick.Stop()
	for {
		if h, err := o.host.Read(); err == nil { // an error is not recorded: the host could be read before the run
			o.record.add(evidence.Event{Host: h})
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// watchTarget ends the run when the server is lost. For a started server that is the end of its process. Any other
// server is lost if it refuses connections and does not list its models.
func (o *observer) watchTarget(ctx context.Context, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.server.Gone: // nil, which is never ready, if the server was not started here
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

package certify

import (
	"context"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/probe"
	"github.com/hxp-enterprise/mixtral/testcases"
)

const (
	clockEvery  = time.Second
	scrapeEvery = 500 * time.Millisecond // during load, for the gauges

	// A server is lost when so many connections in a row were refused and it does not list its models either.
	refusedInARow = 20
	lookEvery     = 200 * time.Millisecond
	lookTimeout   = 5 * time.Second
)

// watchResources records memory and CPU.
func (r *runner) watchResources(ctx context.Context) {
	var last evidence.Sample
	var at time.Time
	probe.Watch(ctx, r.source, func() int { return int(r.inFlight.Load()) }, func(s evidence.Sample) {
		r.add(evidence.Event{Sample: &s})
		if s.Err != "" {
			return
		}
		r.o.Monitor.RecordResourceUsage(ResourceMemory, float64(s.RSS))
		if now := time.Now(); at.IsZero() {
			last, at = s, now
		} else if dt := now.Sub(at).Seconds(); dt >= 1 { // over a second: process accounting counts in ticks of 10 ms
			r.o.Monitor.RecordResourceUsage(ResourceCPU, (s.CPUSeconds-last.CPUSeconds)/dt)
			last, at = s, now
		}
	})
}

// watchMetrics records the server's metrics while there is load, when its gauges say how many requests it believes to
// have, and while there is none, when no cache of it may grow.
func (r *runner) watchMetrics(ctx context.Context) {
	tick := time.NewTicker(scrapeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		ph := r.current.Load()
		label := ""
		switch {
		case ph == nil:
			continue
		case ph.Kind == testcases.KindClosed || ph.Kind == testcases.KindOpen:
			label = "during " + ph.ID
		case ph.Kind == testcases.KindIdle:
			label = "idle " + ph.ID
		default:
			continue
		}
		r.scraping.Lock()
		if s := r.scraper.Scrape(ctx, label); s.Err == "" { // failures are recorded before and after the phase
			r.add(evidence.Event{Scrape: &s})
		}
		r.scraping.Unlock()
	}
}

// watchClock records how far the wall clock has moved against the monotonic one.
func (r *runner) watchClock(ctx context.Context) {
	tick := time.NewTicker(clockEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			wall := now.Round(0).Sub(r.epoch.Round(0))
			r.add(evidence.Event{Clock: &evidence.Clock{DriftNS: int64(wall - now.Sub(r.epoch))}})
		}
	}
}

// watchHost records who uses this machine: what others took from the server or the client is nobody's fault.
func (r *runner) watchHost(ctx context.Context) {
	if r.host == nil {
		return
	}
	tick := time.NewTicker(probe.HostInterval)
	defer tick.Stop()
	for {
		if h, err := r.host.Read(); err == nil { // it could be read before the run
			r.add(evidence.Event{Host: h})
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// watchTarget ends the run when the server has gone: a started one by its process, any other when it refuses
// connections and does not answer a simple question either.
func (r *runner) watchTarget(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.server.Gone: // nil, and never ready, where nobody knows
			r.cancel(errTargetLost)
			return
		case <-tick.C:
		}
		if r.refused.Load() < refusedInARow {
			continue
		}
		look, stop := context.WithTimeout(ctx, lookTimeout)
		_, err := r.client.Models(look)
		stop()
		if err != nil && ctx.Err() == nil {
			r.cancel(errTargetLost)
			return
		}
		r.refused.Store(0)
	}
}

package probe

import (
	"context"
	"errors"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// ErrUnavailable is matched where this machine or server does not offer what a probe needs.
var ErrUnavailable = errors.New("not offered")

// Source reads the resources of one server. Sample fills everything but Load, and is safe for concurrent use.
type Source interface {
	Name() string // as in evidence.Target.Resources: "self", "pid 42", "cgroup /x", "metrics"
	Sample(ctx context.Context) (evidence.Sample, error)
}

// Intervals of sampling. A local reading costs tens of microseconds; a remote one is a request that the server has to
// answer beside its work, so it is asked less often.
const (
	LocalInterval  = 100 * time.Millisecond
	RemoteInterval = 500 * time.Millisecond
)

// Interval is how often a source is to be read.
func Interval(s Source) time.Duration {
	if _, remote := s.(*remoteSource); remote {
		return RemoteInterval
	}
	return LocalInterval
}

// Pause is how long a remote source rests after a reading that took so long: what it and this client spend on readings
// is not part of the load, and must stay a sixth of their time. A machine that is busy makes readings longer that cost
// no more, so that two seconds are the most.
func Pause(took time.Duration) time.Duration { return min(5*took, 2*time.Second) }

// errorEvery bounds how often a failing source is recorded.
const errorEvery = time.Second

// Watch reads source until ctx ends and hands every sample to sink; load gives the requests in flight at that moment.
// A source that fails is recorded once a second, and read on: it may come back.
func Watch(ctx context.Context, source Source, load func() int, sink func(evidence.Sample)) {
	tick := time.NewTicker(Interval(source))
	defer tick.Stop()
	var failed time.Time
	for {
		asked := time.Now()
		s, err := source.Sample(ctx)
		if ctx.Err() != nil {
			return
		}
		s.Source, s.Load = source.Name(), load()
		switch now := time.Now(); {
		case err == nil:
			s.Took = int64(now.Sub(asked))
			sink(s)
		case now.Sub(failed) >= errorEvery:
			failed = now
			s.Err = bounded.Short(err.Error(), evidence.MaxMessage)
			sink(s)
		}
		if _, remote := source.(*remoteSource); remote {
			rest := time.NewTimer(Pause(time.Since(asked)))
			select {
			case <-ctx.Done():
			case <-rest.C:
			}
			rest.Stop()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

package probe

import (
	"context"
	"errors"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// ErrUnavailable matches errors that say that this machine or server does not offer what a probe needs.
var ErrUnavailable = errors.New("not offered")

// Source reads the memory and CPU time of one server. Sample fills everything except Source, Took and Load. It is safe
// for concurrent use.
type Source interface {
	Name() string // for evidence.Target.Resources: "self", "pid 42", "cgroup /x", "metrics"
	Sample(ctx context.Context) (evidence.Sample, error)
}

// Intervals between samples. A local reading takes tens of microseconds. A remote one is a request that the server
// must answer besides its work, so it is made less often.
const (
	LocalInterval  = 100 * time.Millisecond
	RemoteInterval = 500 * time.Millisecond
)

// Interval is the time between two readings of a source.
func Interval(s Source) time.Duration {
	if _, remote := s.(*remoteSource); remote {
		return RemoteInterval
	}
	return LocalInterval
}

// Pause is the wait after a reading of a remote source that took the given time. Readings are not part of the load, so
// the server and this client may spend at most a sixth of the time on them. On a busy machine readings take longer
// without costing more, so the wait is never longer than two seconds.
func Pause(took time.Duration) time.Duration { return min(5*took, 2*time.Second) }

// errorEvery is the least time between two recorded errors of a source.
const errorEvery = time.Second

// Watch reads source until ctx ends and passes every sample to sink. load returns the number of requests in flight. A
// source that fails is recorded at most once per second, and is still read, because it may recover.
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

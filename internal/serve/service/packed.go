package service

import (
	"context"
	"errors"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/wait"
	"github.com/hxp-enterprise/mixtral/internal/model/catalog"
)

// packAfter is how long a service serves before it makes a packed copy of its model. Commands that answer one
// question, and services that are started for a test, have ended by then.
var packAfter = time.Minute

// packFrom is catalog.Options.PackFrom, for tests.
var packFrom int64

// packPause makes the pause after each piece of the copy this many times as long as the writing of the piece. Requests
// then lose little: a fifth of one core, and a fifth of the disk's write speed.
const packPause = 4

// keepPacked makes the packed copy of an ordinary model in the background, for later starts. The service never needs
// it: if it cannot be made, one line in the log says why.
func (s *Service) keepPacked(model *catalog.Opened) {
	ctx, cancel := context.WithCancel(context.Background())
	s.stopPacking = cancel
	s.packing.Go(func() {
		defer cancel()
		if wait.For(ctx, packAfter) != nil {
			return
		}
		start := time.Now()
		options := s.opening()
		options.Workers = 1
		begin := func(path string, size int64) {
			s.log.Info("writing a packed copy of the model, from which later starts need no copy in memory; "+
				"packed_copy: false turns this off", "path", path, "bytes", size)
		}
		last := start
		pace := func(int64) {
			_ = wait.For(ctx, packPause*time.Since(last)) // the writer sees that ctx has ended
			last = time.Now()
		}
		switch err := model.Pack(ctx, options, begin, pace); {
		case err == nil:
			s.log.Info("packed copy written", "took", time.Since(start))
		case ctx.Err() != nil:
		case errors.Is(err, catalog.ErrNotPacked):
			s.log.Debug("no packed copy", "reason", err)
		default:
			s.log.Warn("no packed copy of the model; the service goes on without", "error", err)
		}
	})
}

// endPacking stops keepPacked and waits for its end.
func (s *Service) endPacking() {
	if s.stopPacking != nil {
		s.stopPacking()
	}
	s.packing.Wait()
}

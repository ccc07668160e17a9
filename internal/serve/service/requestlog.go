package service

import (
	"context"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/store"
	"github.com/hxp-enterprise/mixtral/internal/base/store/open"
	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/serve/api"
)

// logTimeout bounds each connection and write of the request log, and what its Close writes; 0: the log's default.
// Tests have more patience.
var logTimeout time.Duration

// openLog starts the request log. The database need not be available yet, and may become unavailable: see store.Log.
func (s *Service) openLog() {
	if s.o.DatabaseURL == "" {
		return
	}
	s.requests = store.NewLog(store.LogOptions{
		Connect: func(ctx context.Context) (*store.DB, error) { return open.DB(ctx, s.o.DatabaseURL) },
		Keep:    s.o.RequestLogKeep, Timeout: logTimeout, Logger: s.log,
	})
	s.metrics.SetRequestLog(func() telemetry.RequestLog {
		return telemetry.RequestLog{Written: s.requests.Written(), Dropped: s.requests.Dropped(),
			Failures: s.requests.Failures(), Pending: s.requests.Pending()}
	})
}

// closeLog writes what is still in the log's queue, within a few seconds. Requests that are cut off at the service's
// end finish a moment later, and are logged too.
func (s *Service) closeLog() {
	if s.requests == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s.api.Drain(ctx)
	s.requests.Close()
}

// observer returns a function that the API calls after each request, or nil if requests are not logged.
func (s *Service) observer() func(api.Served) {
	if s.o.DatabaseURL == "" {
		return nil
	}
	return func(v api.Served) { s.requests.Add(logged(v)) }
}

// logged returns a request in the form of the log.
func logged(v api.Served) store.Request {
	r := store.Request{
		ID: v.ID, Completion: v.Completion, Received: v.Received, Endpoint: v.Route, Model: v.Model, Key: v.Key,
		Status: v.Status,
		Finish: string(v.Finish), Streamed: v.Streamed, Gone: v.Gone,
		PromptTokens: v.Usage.PromptTokens, OutputTokens: v.Usage.CompletionTokens, CachedTokens: v.Usage.CachedTokens,
		Queue: v.Usage.Queued, First: v.First, Total: v.Total,
	}
	if v.Prompt != "" {
		r.Prompt = &v.Prompt
	}
	return r
}

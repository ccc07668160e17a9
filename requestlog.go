package mixtral

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/store"
	"github.com/hxp-enterprise/mixtral/internal/base/store/open"
	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/serve/api"
)

// logsRequests tells whether there is to be a request log.
func (c *Config) logsRequests() bool { return c.DatabaseURL != "" && c.DatabaseURL != open.None }

// validateDatabase checks what the request log is told. A password is not shown.
func (c *Config) validateDatabase(v *validator) {
	v.number("request_log_days", float64(c.RequestLogDays), 0, 100*365)
	if !c.logsRequests() || open.Check(c.DatabaseURL) == nil {
		return
	}
	shown := "what is no URL" // a parser's message would show it
	if u, err := url.Parse(c.DatabaseURL); err == nil {
		shown = strconv.Quote(open.Redact(*u))
	}
	v.add("database_url", shown, "must be postgres://user:password@host:port/database, sqlite:PATH or none")
}

// openLog starts the request log. The database need not be there yet, and may go away: see store.Log.
func (s *Service) openLog() {
	if !s.config.logsRequests() {
		return
	}
	s.requests = store.NewLog(store.LogOptions{
		Connect: func(ctx context.Context) (*store.DB, error) { return open.DB(ctx, s.config.DatabaseURL) },
		Keep:    time.Duration(s.config.RequestLogDays) * 24 * time.Hour, Logger: s.log,
	})
	s.metrics.SetRequestLog(func() telemetry.RequestLog {
		return telemetry.RequestLog{Written: s.requests.Written(), Dropped: s.requests.Dropped(),
			Failures: s.requests.Failures(), Pending: s.requests.Pending()}
	})
}

// closeLog writes what the log still holds, for at most some seconds. Requests that the service's end cuts off have
// ended a moment later, and are logged too.
func (s *Service) closeLog() {
	if s.requests == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s.api.Drain(ctx)
	s.requests.Close()
}

// observer gives what the API tells of each request, or nil where nobody wants to know.
func (s *Service) observer() func(api.Served) {
	if !s.config.logsRequests() {
		return nil
	}
	return func(v api.Served) { s.requests.Add(logged(v)) }
}

// logged is a request as the log keeps it.
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

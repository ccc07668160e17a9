package upstream

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/hxp-enterprise/mixtral/internal/base/wait"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/serve/route"
)

const (
	// modelsPath is a path that every OpenAI-compatible server has.
	modelsPath = "/v1/models"
	// downEvery is the time between checks of a server that is down: short, so that it is used again soon.
	downEvery = time.Second
	// checksApart is the least time between two checks, however many requests ask for a check.
	checksApart = 100 * time.Millisecond
	// Bounds of the content of a list of models.
	maxModels  = 1000
	maxName    = 512
	maxCreated = 1 << 40 // seconds: year 36812
)

// checkLimit is the least time that a check may take before it is late. Tests raise it, so that no server is late
// because their machine was busy.
var checkLimit = time.Second

// watch checks a server's health and asks for its models until ctx ends.
func (u *Upstream) watch(ctx context.Context, s *server) {
	for {
		models, err := u.check(ctx, s)
		if ctx.Err() != nil {
			return
		}
		h, every := route.Healthy, u.c.HealthEvery
		if err != nil {
			h, every = route.Unhealthy, min(every, downEvery)
			if isLate(err) {
				h = route.Late
			}
		}
		u.mu.Lock()
		if u.servers[s.URL] == s {
			if models != nil {
				s.models = models
				u.hear(s)
			}
			r := u.pool.Find(s.URL)
			u.changing(s, r, err, func(now time.Time) { u.pool.Check(now, r, h) })
		}
		u.mu.Unlock()
		next := time.NewTimer(every)
		if wait.For(ctx, min(every, checksApart)) == nil {
			select {
			case <-next.C:
			case <-s.kick:
			case <-ctx.Done():
			}
		}
		next.Stop()
	}
}

// changing logs how an event changes the state of a replica. The caller holds the lock.
func (u *Upstream) changing(s *server, r *route.Replica, err error, event func(now time.Time)) {
	now := u.now()
	before := u.pool.Info(now, r).State
	event(now)
	after := u.pool.Info(now, r).State
	if before == after {
		return
	}
	level, attrs := slog.LevelInfo, []any{"replica", s.label, "before", string(before)}
	if after == route.Down || after == route.Ejected {
		level = slog.LevelWarn
	}
	if err != nil {
		attrs = append(attrs, "err", err)
	}
	u.log.Log(context.Background(), level, "upstream "+string(after), attrs...)
}

// check asks whether a server is healthy, and for its models. They are nil if it was not asked for them.
func (u *Upstream) check(ctx context.Context, s *server) ([]llm.Model, error) {
	ctx, cancel := context.WithTimeout(ctx, max(u.c.HealthEvery, checkLimit))
	defer cancel()
	if u.c.HealthPath != modelsPath {
		if _, err := u.get(ctx, s, u.c.HealthPath); err != nil {
			return nil, err
		}
	}
	data, err := u.get(ctx, s, modelsPath)
	if err != nil {
		if u.c.HealthPath != modelsPath && s.Models != nil {
			return nil, nil // it is healthy, and need not list models that the configuration names
		}
		return nil, err
	}
	return readModels(data)
}

func (u *Upstream) get(ctx context.Context, s *server, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base.JoinPath(path).String(), nil)
	if err != nil {
		return nil, err
	}
	u.authorize(s, req.Header)
	resp, err := u.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < http.StatusOK || resp.StatusCode >= http.StatusMultipleChoices {
		return nil, fmt.Errorf("%s answers %d", path, resp.StatusCode)
	}
	return data, nil
}

// readModels reads a list of models. Without an error it is not nil.
func readModels(data []byte) ([]llm.Model, error) {
	var list struct {
		Data []struct {
			ID      string `json:"id"`
			Created int64  `json:"created"`
			Length  int    `json:"max_model_len"` // vLLM sends it
		} `json:"data"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", modelsPath, err)
	}
	models := []llm.Model{}
	for _, m := range list.Data[:min(len(list.Data), maxModels)] {
		if m.ID == "" || len(m.ID) > maxName || strings.ContainsFunc(m.ID, unicode.IsControl) {
			continue // no client could ask for it
		}
		if m.Length < 0 || m.Length > maxTokens<<10 {
			m.Length = 0 // not known
		}
		if m.Created < 0 || m.Created > maxCreated {
			m.Created = 0
		}
		models = append(models, llm.Model{ID: m.ID, Created: time.Unix(m.Created, 0), ContextLength: m.Length})
	}
	return models, nil
}

// hurry asks for a health check now.
func (s *server) hurry() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

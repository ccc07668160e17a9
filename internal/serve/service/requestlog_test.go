package service

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/hxp-enterprise/mixtral/internal/base/store/open"
	"github.com/hxp-enterprise/mixtral/internal/base/store/postgres/pgtest"
	"github.com/hxp-enterprise/mixtral/internal/base/store/storetest"
	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// logFixture is a service with a request log, over HTTP.
type logFixture struct {
	t       *testing.T
	service *Service
	http    *httptest.Server
}

func startLogged(t *testing.T, database string, change ...func(*Options)) *logFixture {
	t.Helper()
	f := &logFixture{t: t, service: openTiny(t, append([]func(*Options){func(c *Options) { c.DatabaseURL = database }},
		change...)...)}
	f.http = httptest.NewServer(f.service.Handler())
	t.Cleanup(func() {
		f.http.Client().CloseIdleConnections()
		f.http.Close()
	})
	return f
}

// ask requests three tokens and returns the status.
func (f *logFixture) ask(id string) int {
	r, err := http.NewRequestWithContext(f.t.Context(), "POST", f.http.URL+"/v1/completions",
		strings.NewReader(`{"prompt":"marker of the prompt","max_tokens":3,"temperature":0,"ignore_eos":true}`))
	if err != nil {
		f.t.Error(err)
		return 0
	}
	r.Header.Set("X-Request-Id", id)
	resp, err := f.http.Client().Do(r)
	if err != nil {
		f.t.Error(err)
		return 0
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func (f *logFixture) metric(name string) float64 {
	f.t.Helper()
	return metricOf(f.t, f.service, name)
}

// metricOf reads a metric as a Prometheus server would.
func metricOf(t *testing.T, s *Service, name string) float64 {
	t.Helper()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(w.Body.Bytes()))
	if err != nil || families[name] == nil {
		t.Fatalf("%s: %v", name, err)
	}
	m := families[name].Metric[0]
	return m.GetCounter().GetValue() + m.GetGauge().GetValue()
}

// until waits for the log, which works in the background.
func (f *logFixture) until(what string, ok func() bool) {
	f.t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			f.t.Fatalf("never: %s: %v written, %v pending, %v dropped", what, f.metric(telemetry.LogWritten),
				f.metric(telemetry.LogPending), f.metric(telemetry.LogDropped))
		}
	}
}

// TestRequestLog: the database holds all requests, those over HTTP and those of this program, once the service is
// closed. It holds prompts only if they were asked for.
func TestRequestLog(t *testing.T) {
	logTimeout = llmtest.Limit
	defer func() { logTimeout = 0 }()
	for _, prompts := range []bool{false, true} {
		database := "sqlite:" + filepath.Join(t.TempDir(), "requests.db")
		f := startLogged(t, database, func(c *Options) { c.LogPrompts, c.RequestLogKeep = prompts, 30*24*time.Hour })
		before := time.Now()
		if f.ask("one") != 200 {
			t.Fatal("no answer")
		}
		if _, _, err := generate(t.Context(), f.service, &llm.Request{ID: "go", Prompt: "marker",
			MaxTokens: 2}); err != nil {
			t.Fatal(err)
		}
		if resp, err := f.http.Client().Post(f.http.URL+"/v1/completions", "application/json",
			strings.NewReader(`{"prompt":7}`)); err != nil || resp.Body.Close() != nil || resp.StatusCode != 400 {
			t.Fatal(resp, err)
		}
		f.http.CloseClientConnections()
		f.http.Close() // its handlers have ended
		if err := f.service.Close(); err != nil {
			t.Fatal(err)
		}
		list := storetest.Logged(t, open.DB, database)
		if len(list) != 3 {
			t.Fatalf("%d requests: %+v", len(list), list)
		}
		refused, program, one := list[0], list[1], list[2]
		if one.ID != "one" || !strings.HasPrefix(one.Completion, "cmpl-") || one.Endpoint != "/v1/completions" ||
			one.Status != 200 || one.Finish != "length" || one.Gone || one.Streamed ||
			one.PromptTokens == 0 || one.OutputTokens != 3 || one.First <= 0 || one.First > one.Total ||
			one.Queue > one.First || one.Received.Before(before.Add(-time.Second)) ||
			one.Model != f.service.Model().ID && one.Model == "" {
			t.Errorf("%+v", one)
		}
		if program.Endpoint != "go" || program.Status != 200 || program.OutputTokens == 0 || program.Prompt != nil {
			t.Errorf("%+v", program)
		}
		if refused.Status != 400 || refused.Finish != "" || refused.Completion != "" || refused.First != 0 {
			t.Errorf("%+v", refused)
		}
		if prompts != (one.Prompt != nil) || prompts && *one.Prompt != `"marker of the prompt"` {
			t.Errorf("the prompt is %v", one.Prompt)
		}
	}
}

// TestRequestLogOutlivesPostgreSQL: the service starts without its database, answers all the time, and logs everything
// later, even if the database crashes in the middle of the load.
func TestRequestLogOutlivesPostgreSQL(t *testing.T) {
	cluster := pgtest.New(t)
	url := cluster.URL("postgres")
	f := startLogged(t, url)
	for i := range 5 {
		if f.ask(fmt.Sprintf("down-%d", i)) != 200 {
			t.Error("refused without the database")
		}
	}
	if f.metric(telemetry.LogPending) == 0 || f.metric(telemetry.LogWritten) != 0 {
		t.Error("nothing waits for a database that is down")
	}
	if err := cluster.Start(); err != nil {
		t.Fatal(err)
	}
	f.until("the log catches up", func() bool { return f.metric(telemetry.LogWritten) >= 5 })
	ctx, stop := context.WithCancel(t.Context())
	var asked atomic.Int64
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for ctx.Err() == nil {
				if status := f.ask(fmt.Sprintf("load-%d", asked.Add(1))); status != 200 {
					t.Errorf("status %d under load", status)
				}
				time.Sleep(5 * time.Millisecond) // so that the log's queue has room for what comes while it waits
			}
		})
	}
	more := func(n float64) {
		t.Helper()
		from := f.metric(telemetry.LogWritten)
		f.until("requests are written", func() bool { return f.metric(telemetry.LogWritten) >= from+n })
	}
	for range 2 {
		more(20)
		cluster.Stop()
		from := asked.Load()
		f.until("requests are answered meanwhile", func() bool { return asked.Load() > from+30 })
		if err := cluster.Start(); err != nil {
			t.Fatal(err)
		}
		more(20)
	}
	stop()
	load.Wait()
	want := 5 + asked.Load()
	f.until("everything is written", func() bool {
		return f.metric(telemetry.LogPending) == 0 && f.metric(telemetry.LogWritten) >= float64(want)
	})
	ids := map[string]bool{}
	for _, r := range storetest.Logged(t, open.DB, url) {
		ids[r.ID] = true
	}
	if int64(len(ids)) != want || f.metric(telemetry.LogDropped) != 0 {
		t.Errorf("%d of %d requests are in the database, %v dropped", len(ids), want, f.metric(telemetry.LogDropped))
	}
	f.http.Close()
	f.service.Close()
}

// TestRequestLogOnADatabaseThatHangs: the database accepts connections and never answers. Neither requests nor the
// shutdown wait for it.
func TestRequestLogOnADatabaseThatHangs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				io.Copy(io.Discard, conn)
				conn.Close()
			})
		}
	})
	f := startLogged(t, "postgres://u:s3cret@"+l.Addr().String()+"/d?sslmode=disable")
	for i := range 20 {
		if f.ask(fmt.Sprint(i)) != 200 {
			t.Error("a request noticed")
		}
	}
	if f.metric(telemetry.LogWritten) != 0 || f.metric(telemetry.LogPending) == 0 {
		t.Error("written to nobody")
	}
	f.http.CloseClientConnections()
	f.http.Close()
	if err := f.service.Close(); err != nil {
		t.Error(err)
	}
	if f.metric(telemetry.LogDropped) != 20 {
		t.Errorf("%v dropped, want 20", f.metric(telemetry.LogDropped))
	}
	l.Close()
	conns.Wait()
}

// TestNoRequestLog: without a setting for it, no database is opened.
func TestNoRequestLog(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	f := startLogged(t, "")
	if f.ask("x") != 200 ||
		f.metric(telemetry.LogWritten)+f.metric(telemetry.LogPending)+f.metric(telemetry.LogDropped) != 0 {
		t.Error("it logs")
	}
}

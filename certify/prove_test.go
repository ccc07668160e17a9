package certify_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/certify/target"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/faults"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// refusing is a server that lists its models but refuses all other requests.
func refusing(status int, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/models":
			fmt.Fprint(w, `{"data":[{"id":"m"}]}`)
		case "/v1/chat/completions":
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	})
}

// TestAServerThatCannotAnswerIsNotJudged checks that a wrong key or a model that does not load is an error of the
// set-up, before the load. A verdict would blame a server that was not measured.
func TestAServerThatCannotAnswerIsNotJudged(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		h          http.Handler
		says, hint string
	}{
		"a wrong key": {refusing(401, `{"error":{"message":"invalid key"}}`), "model m: ", "--api-key-file"},
		"out of order": {refusing(500, `{"error":{"message":"out of memory"}}`),
			"answers 500 Internal Server Error: out of memory", ""},
		"a page":     {refusing(200, "<html>"), "with what this client cannot read", "one JSON object"},
		"no choices": {refusing(200, "{}"), "a whole answer where a stream was asked for", "one JSON object"},
	} {
		dir := t.TempDir()
		rep, err := certify.Run(t.Context(), certify.Options{Case: short, Launch: target.Handler(tt.h),
			ReportDir: dir})
		if rep != nil || !errors.Is(err, target.ErrSetup) || !strings.Contains(err.Error(), tt.says) ||
			!strings.Contains(target.Hint(err), tt.hint) {
			t.Errorf("%s: %v, hint %q", name, err, target.Hint(err))
		}
		if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
			t.Errorf("%s: it left %v (%v)", name, files, err)
		}
	}
}

// TestMonitoringThatIsNotThereIsNotTheServersFault checks that missing metrics at an address that the caller named are
// an error of the set-up.
func TestMonitoringThatIsNotThereIsNotTheServersFault(t *testing.T) {
	t.Parallel()
	empty := httptest.NewServer(http.NotFoundHandler())
	defer empty.Close()
	gone := "http://127.0.0.1:" + llmtest.Port(t)
	for name, o := range map[string]certify.Options{
		"no Prometheus there": {PrometheusURL: gone},
		"no metrics there":    {MetricsURL: empty.URL + "/metrics"},
		"nothing there":       {MetricsURL: gone + "/metrics"},
	} {
		o.Case, o.Launch, o.ReportDir = short, target.Handler(server(t, faults.Healthy)), t.TempDir()
		if rep, err := certify.Run(t.Context(), o); rep != nil || !errors.Is(err, target.ErrSetup) ||
			!strings.Contains(err.Error(), "metrics of ") {
			t.Errorf("%s: report %v, %v", name, rep, err)
		}
	}
}

// TestAServerThatListsNoModels checks that such a server can be certified if the caller names the model.
func TestAServerThatListsNoModels(t *testing.T) {
	t.Parallel()
	s := server(t, faults.Healthy)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/models" {
			http.NotFound(w, r)
			return
		}
		s.ServeHTTP(w, r)
	})
	o := certify.Options{Case: short, Launch: target.Handler(h), ReportDir: t.TempDir()}
	if _, err := certify.Run(t.Context(), o); !strings.Contains(target.Hint(err), "--target-model") {
		t.Errorf("without a name: %v, hint %q", err, target.Hint(err))
	}
	o.TargetModel = "simulated-mixtral"
	rep, err := certify.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	want(t, rep, "preconditions", certify.Pass, "")
	want(t, rep, "errors", certify.Pass, "")
}

// TestEveryFailureOfAnAuditHasItsClass checks that the failures of audits are classified as those of the load are,
// although audits have their own client.
func TestEveryFailureOfAnAuditHasItsClass(t *testing.T) {
	t.Parallel()
	s := server(t, faults.Healthy)
	var broken atomic.Bool
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if broken.Load() && r.Method == http.MethodPost {
			http.Error(w, "no", http.StatusTeapot)
			return
		}
		s.ServeHTTP(w, r)
	})
	dir := t.TempDir()
	rep, err := certify.Run(t.Context(), certify.Options{Case: short, Launch: target.Handler(h), ReportDir: dir,
		Progress: func(e certify.Event) {
			broken.Store(e.Phase.Kind == "audit")
		}})
	if err != nil {
		t.Fatal(err)
	}
	want(t, rep, "audits", certify.Invalid, "a request failed: status")
	rec, err := evidence.ReadFile(report.PathsFor(dir, rep).Events)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range rec.Events {
		if q := e.Request; q != nil && q.Phase == "audits" {
			if n++; q.Fail != evidence.FailStatus || q.Status != http.StatusTeapot {
				t.Errorf("request %d: fail %q, status %d, %s", q.N, q.Fail, q.Status, q.Detail)
			}
		}
	}
	if n == 0 {
		t.Error("no request of the audits is on record")
	}
}

// TestARunThatIsStoppedEarlyBlamesNobody checks that a stopped run does not report the server as lost or its metrics
// as missing.
func TestARunThatIsStoppedEarlyBlamesNobody(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"", "ready", "prompts", "metrics", "client"} {
		ctx, cancel := context.WithCancel(t.Context())
		rep, err := certify.Run(ctx, certify.Options{Case: short, Launch: target.Handler(server(t, faults.Healthy)),
			ReportDir: t.TempDir(), Progress: func(e certify.Event) {
				if when == "" && e.Kind == certify.EventPlan || when != "" && e.Kind == certify.EventCondition &&
					strings.HasPrefix(e.Text, when+":") {
					cancel()
				}
			}})
		cancel()
		if !errors.Is(err, certify.ErrInterrupted) || rep == nil {
			t.Fatalf("at %q: report %v, error %v", when, rep, err)
		}
		if rep.Status != certify.Invalid {
			t.Errorf("at %q: %s", when, rep.Status)
		}
		for _, c := range rep.Checks {
			if c.Verdict == certify.Fail {
				t.Errorf("at %q: %s FAIL: %s", when, c.ID, c.Reason)
			}
		}
		for _, p := range rep.Preconditions {
			if !p.OK {
				t.Errorf("at %q: precondition %s is lost: %s", when, p.ID, p.Detail)
			}
		}
	}
}

package certify_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/certify/prompts"
	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/certify/target"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/faults"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
	"github.com/hxp-enterprise/mixtral/testcases"
)

func TestBadOptionsNeverReachAServer(t *testing.T) {
	launched := false
	launch := func(context.Context, target.Need) (*target.Server, error) {
		launched = true
		return nil, errors.New("launched")
	}
	for name, tt := range map[string]struct {
		o    certify.Options
		want error
		says string
	}{
		"no target":    {certify.Options{}, certify.ErrOptions, "give either Target or Launch"},
		"no such case": {certify.Options{Case: "TC-none"}, testcases.ErrNotFound, "TC-L1-COMP-MIXTRAL-003"},
		"profile":      {certify.Options{Profile: "slow"}, certify.ErrOptions, "full, quick"},
		"set":          {certify.Options{Set: []string{"targets.speed=1"}}, testcases.ErrInvalid, "throughput_rps"},
		"bad set": {certify.Options{Set: []string{"targets.quality=7"}}, testcases.ErrInvalid,
			"targets.quality: must be between 0 and 1, got 7"},
		"prompt file": {certify.Options{Set: []string{"prompts=/none.json"}}, testcases.ErrInvalid, "/none.json"},
		"two metrics": {certify.Options{MetricsURL: "http://a", PrometheusURL: "http://b"}, certify.ErrOptions,
			"not both"},
		"two processes": {certify.Options{PID: 3, Cgroup: "x"}, certify.ErrOptions, "not both"},
		"metrics URL":   {certify.Options{MetricsURL: "localhost:9090"}, certify.ErrOptions, "metrics URL"},
		"tracing URL":   {certify.Options{TracingURL: "localhost:4318"}, certify.ErrOptions, "tracing URL"},
		"two cases": {certify.Options{Case: "x", Loaded: &testcases.Loaded{}}, certify.ErrOptions,
			"not both"},
		"pid": {certify.Options{PID: -3}, certify.ErrOptions, "-3"},
	} {
		if name != "no target" {
			tt.o.Launch = launch
		}
		tt.o.ReportDir = t.TempDir()
		if _, err := certify.Run(t.Context(), tt.o); !errors.Is(err, tt.want) ||
			!strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %q", name, err, tt.says)
		}
	}
	if launched {
		t.Error("a server was launched for bad options")
	}
}

func TestSecretsStayOutOfTheReport(t *testing.T) {
	t.Parallel()
	s := server(t, faults.Healthy)
	var leaked atomic.Int64
	metrics := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			leaked.Add(1)
		}
		s.ServeHTTP(w, r)
	}))
	defer metrics.Close()
	guarded := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer top-secret-key" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		s.ServeHTTP(w, r)
	}))
	defer guarded.Close()
	dir := t.TempDir()
	rep, err := certify.Run(t.Context(), certify.Options{Case: "testdata/audits.yaml", Target: guarded.URL,
		APIKey: "top-secret-key", MetricsURL: metrics.URL + "/metrics", ReportDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	want(t, rep, "audits", certify.Pass, "")
	if leaked.Load() > 0 {
		t.Error("another host was shown the server's key")
	}
	paths := report.PathsFor(dir, rep)
	rec, err := evidence.ReadFile(paths.Events)
	if err != nil {
		t.Fatal(err)
	}
	saved, err := os.ReadFile(paths.JSON)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range rec.Events {
		line, _ := evidence.Encode(&e)
		saved = append(saved, line...)
	}
	if bytes.Contains(saved, []byte("top-secret")) {
		t.Error("the key is in the report or the record")
	}
}

func TestAModelThatTheServerDoesNotList(t *testing.T) {
	o := certify.Options{Launch: target.Handler(server(t, faults.Healthy)), TargetModel: "mixtral",
		ReportDir: t.TempDir()}
	if _, err := certify.Run(t.Context(), o); !errors.Is(err, target.ErrSetup) ||
		!strings.Contains(err.Error(), `no model "mixtral"; it lists simulated-mixtral`) {
		t.Errorf("got %v", err)
	}
}

func TestUnreachableTargets(t *testing.T) {
	t.Parallel()
	closed := "http://127.0.0.1:" + llmtest.Port(t)
	page := httptest.NewServer(http.NotFoundHandler())
	defer page.Close()
	locked := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter,
		_ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer locked.Close()
	for url, hint := range map[string]string{closed: "nothing listens there",
		page.URL: "the address must be the root", locked.URL: "--api-key-file", "ftp://x": ""} {
		_, err := certify.Run(t.Context(), certify.Options{Target: url, ReportDir: t.TempDir()})
		if !errors.Is(err, target.ErrSetup) || !strings.Contains(target.Hint(err), hint) {
			t.Errorf("%s: %v, hint %q, want %q", url, err, target.Hint(err), hint)
		}
	}
}

func TestAReviewerGivesASecondOpinion(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	reviewer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer reviewer-key":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/v1/models":
			_, _ = w.Write([]byte(`{"data":[{"id":"wise"}]}`))
		case asked.Add(1) == 1:
			_, _ = w.Write([]byte(`{"choices":[{"message":{"content":"I like it."}}]}`))
		default:
			_, _ = w.Write([]byte(`{"choices":[{"message":{"content":"{\"relevance\":5,\"coherence\":3,\"completeness\":5,\"reason\":\"fine\"}"}}]}`))
		}
	}))
	defer reviewer.Close()
	o := certify.Options{Case: short, Launch: target.Handler(server(t, faults.Healthy)), ReportDir: t.TempDir(),
		ReviewerURL: reviewer.URL, ReviewerKey: "reviewer-key"}
	rep, err := certify.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := evidence.ReadFile(report.PathsFor(o.ReportDir, rep).Events)
	if err != nil {
		t.Fatal(err)
	}
	opinions, failures := 0, 0
	for _, e := range rec.Events {
		switch {
		case e.Score == nil:
		case e.Score.Review != nil && *e.Score.Review > 0.8 && *e.Score.Review < 0.9:
			opinions++
		case strings.Contains(e.Score.ReviewErr, "reviewer failed"):
			failures++
		}
	}
	if opinions != 8 || failures != 1 {
		t.Errorf("%d opinions and %d failures of 9 answers", opinions, failures)
	}
	o.ReviewerKey = "wrong"
	o.Launch = target.Handler(server(t, faults.Healthy))
	if _, err := certify.Run(t.Context(), o); !errors.Is(err, target.ErrSetup) ||
		!strings.Contains(err.Error(), "reviewer: ") {
		t.Errorf("a reviewer that refuses: %v", err)
	}
}

// TestACaseFromMemoryIsCertified tries a case that is declared in Go, with its own prompts. The run's overrides must
// not change it.
func TestACaseFromMemoryIsCertified(t *testing.T) {
	t.Parallel()
	c := testcases.New("TC-MEMORY", "A case without a file")
	c.Targets.LatencyMS = 60_000
	c.Limits.IssueDelayMS = 10_000 // a busy machine may send late
	c.Profiles = map[string]testcases.Phases{"quick": {{ID: "single", Kind: testcases.KindClosed, Concurrency: 1,
		Requests: 4}}}
	c.Checks = []testcases.Check{{ID: "errors", Clause: "No request fails", Rule: testcases.RuleErrorBudget}}
	loaded, err := c.With(&prompts.Set{Prompts: []prompts.Prompt{{Category: "sums", Level: "easy",
		Text: "What is 2 + 2?"}}})
	if err != nil {
		t.Fatal(err)
	}
	rep, err := certify.Run(t.Context(), certify.Options{Loaded: loaded, ReportDir: t.TempDir(),
		Launch: target.Handler(server(t, faults.Healthy)), Set: []string{"profiles.quick.single.requests=3"}})
	if err != nil {
		t.Fatal(err)
	}
	if rep.TestCase != "TC-MEMORY" || len(rep.Phases) != 1 || rep.Phases[0].Issued != 3 {
		t.Errorf("case %s, phases %+v", rep.TestCase, rep.Phases)
	}
	want(t, rep, "errors", certify.Pass, "")
	if got := loaded.Case.Profiles["quick"][0].Requests; got != 4 {
		t.Errorf("the run changed the caller's case: %d requests", got)
	}
}

package certify_test

import (
	"errors"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/certify/target"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/faults"
	"github.com/hxp-enterprise/mixtral/internal/certify/judge"
)

// odd is how a run of a strange server must end.
type odd struct {
	refused string   // an error of the set-up that says this; empty: there is a report
	checks  []string // that pass
	notice  string   // the report's
	unclear string   // a check that is INVALID
	why     string   // and what its reason says
	with    func(*certify.Options)
}

var odds = map[faults.Strange]odd{
	faults.NDJSON:        {refused: "application/x-ndjson"},
	faults.Unstreamed:    {refused: "a whole answer where a stream was asked for"},
	faults.LongLine:      {refused: "longer than 1 MiB"},
	faults.Brotli:        {refused: `encoded as "br"`},
	faults.Zipped:        {checks: []string{"errors", "metrics", "valid-responses"}},
	faults.RoleNull:      {checks: []string{"errors", "metrics", "audits"}},
	faults.Unlabelled:    {checks: []string{"errors", "metrics"}},
	faults.EmptyEvents:   {checks: []string{"errors", "metrics"}},
	faults.NoSeed:        {checks: []string{"errors", "metrics", "audits"}, notice: `refuses "seed"`},
	faults.NoUsage:       {checks: []string{"errors", "audits"}, notice: "token counts of streams are not known"},
	faults.NewMaxTokens:  {checks: []string{"errors", "metrics", "audits"}, notice: `"max_completion_tokens" was sent`},
	faults.NoTemperature: {checks: []string{"errors", "metrics"}, notice: `refuses "temperature"`},
	faults.Bare:          {checks: []string{"errors"}, notice: `refuses "seed"`},
	faults.KeyHeader: {checks: []string{"errors", "audits"}, with: func(o *certify.Options) {
		o.Headers, o.Query = []string{"api-key: " + faults.Key}, []string{"api-version=2024-10-21"}
	}},
	faults.Gateway: {checks: []string{"errors"}, with: func(o *certify.Options) {
		o.Target += "/models/m/chat/completions"
		o.TargetModel = faults.ModelID
	}},
	faults.Forgetful:      {notice: "unknown field seed"},
	faults.StrangeMetrics: {checks: []string{"errors"}},
	faults.JSONMetrics:    {checks: []string{"errors"}},
	faults.Underscores:    {checks: []string{"errors", "metrics"}},
	faults.RankGauges:     {checks: []string{"errors", "metrics"}},
	faults.Foreign:        {checks: []string{"errors"}, unclear: "metrics", why: "somebody else"},
	faults.Thinking:       {unclear: "valid", why: "reasoned"},
	faults.HastyClose:     {checks: []string{"errors", "valid"}},
}

// TestNoStrangeServerIsBlamed: what this client cannot read is told before the load, what it can learn is learnt, and
// none of it fails a server.
func TestNoStrangeServerIsBlamed(t *testing.T) {
	t.Parallel()
	for _, s := range faults.StrangeOnes() {
		t.Run(string(s), func(t *testing.T) {
			t.Parallel()
			want, ok := odds[s]
			if !ok {
				t.Fatal("nothing is said of how its run must end")
			}
			inner := faults.New(faults.Config{Seed: 1})
			defer inner.Close()
			h := httptest.NewUnstartedServer(s.Handler(inner))
			if s == faults.HastyClose {
				h.Config.IdleTimeout = faults.IdleTimeout
			}
			h.Start()
			defer h.Close()
			dir := t.TempDir()
			o := certify.Options{Case: short, Target: h.URL, ReportDir: dir, Seed: 3}
			if want.with != nil {
				want.with(&o)
			}
			rep, err := certify.Run(t.Context(), o)
			if want.refused != "" {
				if rep != nil || !errors.Is(err, target.ErrSetup) || !strings.Contains(err.Error(), want.refused) {
					t.Fatalf("report %v, %v", rep != nil, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range rep.Checks {
				if c.Verdict == certify.Fail {
					t.Errorf("%s is blamed: %s", c.ID, c.Reason)
				}
				if c.ID == want.unclear && (c.Verdict != certify.Invalid || !strings.Contains(c.Reason, want.why)) {
					t.Errorf("%s is %s: %s", c.ID, c.Verdict, c.Reason)
				}
				for _, id := range want.checks {
					if c.ID == id && c.Verdict != certify.Pass {
						t.Errorf("%s is %s: %s", c.ID, c.Verdict, c.Reason)
					}
				}
			}
			if !strings.Contains(strings.Join(rep.Notices, "\n"), want.notice) {
				t.Errorf("notices %q", rep.Notices)
			}
			noSecret(t, report.PathsFor(dir, rep))
		})
	}
}

// noSecret: a header's value is in no file of a run, and the verdict can be derived again without it.
func noSecret(t *testing.T, paths report.Paths) {
	t.Helper()
	rec, err := evidence.ReadFile(paths.Events)
	if err != nil {
		t.Fatal(err)
	}
	again, err := judge.Judge(rec.Events)
	if err != nil {
		t.Fatal(err)
	}
	data, err := report.JSON(again)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile(paths.JSON)
	if err != nil {
		t.Fatal(err)
	}
	if d, err := report.Differences(kept, data); err != nil || len(d) > 0 {
		t.Errorf("derived again: %q, %v", d, err)
	}
	for _, e := range rec.Events {
		if e.Header != nil {
			for name, v := range e.Header.Case.Request.Headers {
				if strings.Contains(v, faults.Key) {
					t.Errorf("header %s is on record", name)
				}
			}
		}
	}
}

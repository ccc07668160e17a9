package certify_test

import (
	"errors"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/certify/target"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/faults"
	"github.com/hxp-enterprise/mixtral/internal/certify/judge"
)

// odd says how a run against a strange server must end.
type odd struct {
	refused string   // a part of the error of the set-up; empty: there is a report
	checks  []string // checks that must pass
	notice  string   // a part of a notice in the report
	unclear string   // a check that must be INVALID
	why     string   // a part of the reason of unclear
	with    func(*certify.Options)
	gap     time.Duration // between tokens; 0: the bank's
	blamed  string        // the only check that must fail, because the server breaks a documented rule
	said    string        // a part of the reason of blamed
	// never caused a wrong verdict: it is tried only with the bank, and in the load generator's tests
	bank bool
}

// bankStrange is the variable that makes the test try all strange servers, and not only those that were once blamed
// wrongly.
const bankStrange = "MIXTRAL_BANK_STRANGE"

func set(values ...string) func(*certify.Options) {
	return func(o *certify.Options) { o.Set = values }
}

var judgedAsUsual = odd{checks: []string{"errors", "metrics", "valid", "audits"}}

// neverTrouble is also for servers whose answers were once hard to read, because the load generator's tests try these.
var neverTrouble = odd{checks: judgedAsUsual.checks, bank: true}

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

	faults.CRLF: neverTrouble, faults.CR: neverTrouble, faults.NamedEvents: neverTrouble,
	faults.ManyLines: neverTrouble, faults.Comments: neverTrouble, faults.ByteByByte: neverTrouble,
	faults.NoDone: neverTrouble, faults.FinishAlong: neverTrouble, faults.UsageAlong: neverTrouble,
	faults.UsageAlways: neverTrouble, faults.Logprobs: neverTrouble, faults.AzureFilters: neverTrouble,
	faults.NullFields: neverTrouble, faults.HTTP10: neverTrouble, faults.Trailers: neverTrouble,
	faults.BareStatus: neverTrouble, faults.Closes: neverTrouble, faults.Resets: neverTrouble,
	faults.Unterminated: neverTrouble, faults.ExtraLine: neverTrouble, faults.EarlyHeader: neverTrouble,
	faults.Zstd:         {refused: `encoded as "zstd"`, bank: true},
	faults.Redirected:   {refused: "to https://elsewhere.example/v1/chat/completions", bank: true},
	faults.UsageNull:    {checks: []string{"errors", "valid"}, unclear: "metrics", why: "without usage", bank: true},
	faults.Fat:          {checks: judgedAsUsual.checks, notice: "tokens a chunk on average", bank: true},
	faults.PingEvents:   neverTrouble,
	faults.UsageFloats:  neverTrouble,
	faults.ContentParts: neverTrouble,
	faults.Letters:      judgedAsUsual,
	faults.Created201:   neverTrouble,
	faults.LabelledJSON: neverTrouble,
	faults.Refuses:      {checks: []string{"errors", "metrics", "valid"}, bank: true},
	faults.RawDeflate:   neverTrouble,
	faults.BareList:     neverTrouble,
	faults.Starting:     judgedAsUsual,
	faults.StartingChat: neverTrouble,
	faults.LimitedFirst: judgedAsUsual,
	faults.Timeout408:   {checks: []string{"errors", "valid"}},
	faults.OwnFinish:    {checks: judgedAsUsual.checks, notice: `says finish_reason "eos_token"`},
	faults.OtherName:    {checks: judgedAsUsual.checks, notice: `they are of "another-model-2025-01-01"`, bank: true},
	faults.NoFinish:     {checks: []string{"errors", "metrics"}, blamed: "valid", said: "no finish_reason"},
	faults.LateError:    {blamed: "errors", said: "engine ran out of blocks", bank: true},
	faults.ObjectError:  {blamed: "errors", said: "engine ran out of blocks", bank: true},
	faults.EventError:   {blamed: "errors", said: "engine ran out of blocks"},
	faults.Cumulative:   {refused: "repeats the text so far"},
	faults.LabelledSSE:  {refused: "a whole answer where a stream was asked for", bank: true},
	faults.Moderated:    {refused: "content filter held the answer back"},
	faults.ToolCalls:    {unclear: "valid", why: "calls a tool, and none was offered"},
	faults.HiddenThought: {checks: []string{"errors", "metrics", "valid", "audits"}, with: set("request.max_tokens=40",
		"profiles.quick.warmup.max_tokens=40", "profiles.quick.sustained.max_tokens=40")},
	faults.Buffered: {unclear: "metrics", why: "came at once", notice: "holds streams back",
		gap: 30 * time.Millisecond, with: set("limits.metrics_gap_ms=200", "profiles.quick.sustained.max_tokens=24")},
	faults.Blocks: {notice: "holds streams back", bank: true},
}

// TestNoStrangeServerIsBlamed checks that no strange server fails. If the client cannot read a server's answers, an
// error says so before the load.
func TestNoStrangeServerIsBlamed(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("TestARunFromEndToEnd has the same goroutines")
	}
	for _, s := range faults.StrangeOnes() {
		t.Run(string(s), func(t *testing.T) {
			t.Parallel()
			want, ok := odds[s]
			if !ok {
				t.Fatal("nothing is said of how its run must end")
			}
			if want.bank && os.Getenv(bankStrange) == "" {
				t.Skip("takes long: set " + bankStrange + " to try all strange servers")
			}
			inner := faults.New(faults.Config{Seed: 1, Fault: s.Inner(), Gap: want.gap})
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
				if c.Verdict == certify.Fail && want.blamed == "" {
					t.Errorf("%s is blamed: %s", c.ID, c.Reason)
				}
				if c.ID == want.blamed && (c.Verdict != certify.Fail || !strings.Contains(c.Reason, want.said)) {
					t.Errorf("%s is %s: %s", c.ID, c.Verdict, c.Reason)
				}
				// If other programs use the machine, that reason comes first.
				if c.ID == want.unclear && (c.Verdict != certify.Invalid || !strings.Contains(c.Reason, want.why) &&
					!strings.Contains(c.Reason, "other work took the machine")) {
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

// noSecret checks that no file of a run has a header's value, and that the verdict can be derived again without it.
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

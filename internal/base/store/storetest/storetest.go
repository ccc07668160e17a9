package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hxp-enterprise/mixtral/internal/base/store"
)

// Run tests a driver. Within one test, open returns the same database each time; it is empty at first.
func Run(t *testing.T, fresh func(t *testing.T) (open func(context.Context) (*store.DB, error))) {
	for name, test := range map[string]func(*testing.T, func(context.Context) (*store.DB, error)){
		"a run comes back as it was saved":       runRoundTrip,
		"saving twice replaces":                  saveTwice,
		"runs are listed newest first":           listing,
		"a missing run is ErrNotFound":           missing,
		"a failed save leaves nothing":           atomicSave,
		"requests come back as they were logged": requestRoundTrip,
		"a line that is sent twice is one":       sentTwice,
		"old requests are forgotten":             forgetting,
		"responses are their owners'":            responses,
		"many writers at once":                   writers,
		"opening twice keeps what is there":      reopening,
		"a new database is opened by many":       opening,
		"an id may be abbreviated":               abbreviated,
		"hostile texts are taken":                hostile,
		"the log forgets what is old":            logForgets,
		"the log writes in the background":       logWrites,
	} {
		t.Run(name, func(t *testing.T) { test(t, fresh(t)) })
	}
}

func mustOpen(t *testing.T, open func(context.Context) (*store.DB, error)) *store.DB {
	t.Helper()
	db, err := open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(db.Close(), db.Close()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return db
}

// Logged returns the request log of the database at url, which open opens.
func Logged(t *testing.T, open func(context.Context, string) (*store.DB, error), url string) []store.Request {
	t.Helper()
	db, err := open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	list, err := db.Requests(t.Context(), time.Time{}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// BenchmarkAddRequests writes full batches, as the request log of a busy service does.
func BenchmarkAddRequests(b *testing.B, db *store.DB) {
	list, n := requests(500, time.Now()), 0
	for b.Loop() {
		for i := range list {
			n++
			list[i].Line = fmt.Sprintf("log-%012d", n)
		}
		if err := db.AddRequests(b.Context(), list); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*len(list))/b.Elapsed().Seconds(), "requests/s")
}

func number(v float64) *float64 { return &v }

// sample returns a run with all fields set, some of them to hostile values.
func sample(id string, at time.Time) *store.Run {
	return &store.Run{
		ID: id, TestCase: "TC-L1-COMP-MIXTRAL-003", Profile: "quick", Status: "FAIL",
		Started: at.UTC().Truncate(time.Microsecond),
		Target:  "http://127.0.0.1:1/v1", Model: "it's; DROP TABLE runs;--", Version: "v1", LatencyMS: number(1234.5),
		RPS: nil, Quality: number(0), CPUCores: number(1e-300),
		Checks: []store.Check{
			{ID: "latency", Phase: "single", Verdict: "PASS", Gate: true, Measured: number(12), Target: number(2000),
				Unit: "ms", Reason: "fast"},
			{ID: "quality", Verdict: "INVALID", Reason: "日本語 \"quoted\" \\ 😀"},
		},
		Phases: []store.Phase{{ID: "single", Kind: "closed", DurationS: 1.5, Scheduled: 10, Completed: 9, Failed: 1,
			RPS: 6, LatencyMS: number(3)}, {ID: "idle", Kind: "idle"}},
		Report: []byte("{\n  \"status\": \"FAIL\"\n}\n" + strings.Repeat("x", 1<<16)),
	}
}

func runRoundTrip(t *testing.T, open func(context.Context) (*store.DB, error)) {
	db := mustOpen(t, open)
	want := sample("a", time.Now())
	if err := db.SaveRun(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	got, err := db.Run(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func saveTwice(t *testing.T, open func(context.Context) (*store.DB, error)) {
	db := mustOpen(t, open)
	r := sample("a", time.Now())
	for _, status := range []string{"FAIL", "PASS"} {
		r.Status, r.Checks = status, r.Checks[:1]
		if err := db.SaveRun(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	got, err := db.Run(t.Context(), "a")
	if err != nil || got.Status != "PASS" || len(got.Checks) != 1 || len(got.Phases) != 2 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func listing(t *testing.T, open func(context.Context) (*store.DB, error)) {
	db := mustOpen(t, open)
	base := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i, id := range []string{"b", "a", "c"} {
		r := sample(id, base.Add(time.Duration(i)*time.Minute))
		if id == "c" {
			r.TestCase, r.Status, r.Target = "other", "PASS", "http://50%_off/v1"
		}
		if err := db.SaveRun(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		filter store.Filter
		want   string
	}{
		{store.Filter{Limit: 9}, "c a b"},
		{store.Filter{Limit: 2}, "c a"},
		{store.Filter{TestCase: "TC-L1-COMP-MIXTRAL-003", Limit: 9}, "a b"},
		{store.Filter{TestCase: "none", Limit: 9}, ""},
		{store.Filter{Status: "PASS", Limit: 9}, "c"},
		{store.Filter{Status: "FAIL", TestCase: "other", Limit: 9}, ""},
		{store.Filter{Target: "127.0.0.1", Limit: 9}, "a b"},
		{store.Filter{Target: "50%_off", Limit: 9}, "c"},
		{store.Filter{Target: "5%o", Limit: 9}, ""},
		{store.Filter{Target: "50%!off", Limit: 9}, ""},
		{store.Filter{Profile: "quick", Limit: 9}, "c a b"},
		{store.Filter{Profile: "full", Limit: 9}, ""},
		{store.Filter{Text: "OTHER", Limit: 9}, "c"},
		{store.Filter{Text: "drop table", Limit: 9}, "c a b"},
		{store.Filter{Text: "50%_OFF", Limit: 9}, "c"},
		{store.Filter{Text: "5%off", Limit: 9}, ""},
		{store.Filter{Text: "\x00", TestCase: "\x00other", Limit: 9}, "c"},
		{store.Filter{Since: base.Add(time.Minute), Limit: 9}, "c a"},
		{store.Filter{Until: base.Add(2 * time.Minute), Limit: 9}, "a b"},
		{store.Filter{Since: base.Add(time.Minute), Until: base.Add(2 * time.Minute), Text: "quick", Limit: 1}, "a"},
	} {
		list, err := db.Runs(t.Context(), c.filter)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, r := range list {
			ids = append(ids, r.ID)
		}
		if got := strings.Join(ids, " "); got != c.want {
			t.Errorf("%+v: got %q", c, got)
		}
	}
	if cases, err := db.Cases(t.Context()); err != nil || strings.Join(cases, " ") != "TC-L1-COMP-MIXTRAL-003 other" {
		t.Errorf("the cases are %q, %v", cases, err)
	}
}

func missing(t *testing.T, open func(context.Context) (*store.DB, error)) {
	if _, err := mustOpen(t, open).Run(t.Context(), "nobody"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func atomicSave(t *testing.T, open func(context.Context) (*store.DB, error)) {
	db := mustOpen(t, open)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.SaveRun(ctx, sample("a", time.Now())); err == nil {
		t.Error("a cancelled save succeeded")
	}
	if list, err := db.Runs(t.Context(), store.Filter{Limit: 9}); err != nil || len(list) != 0 {
		t.Errorf("%d runs, %v", len(list), err)
	}
}

func requests(n int, at time.Time) []store.Request {
	list := make([]store.Request, n)
	for i := range list {
		list[i] = store.Request{ID: fmt.Sprintf("r%05d", i),
			Received: at.Add(time.Duration(i) * time.Millisecond).UTC().Truncate(time.Microsecond),
			Endpoint: "/v1/chat/completions",
			Model:    "m", Key: "team-a", Status: 200, Finish: "stop", Streamed: i%2 == 0, Gone: i%3 == 0,
			Completion: fmt.Sprintf("chatcmpl-%d", i), CachedTokens: i / 2, PromptTokens: 10 + i, OutputTokens: i,
			Queue: time.Millisecond, First: 20 * time.Millisecond, Total: time.Second}
	}
	return list
}

func requestRoundTrip(t *testing.T, open func(context.Context) (*store.DB, error)) {
	db := mustOpen(t, open)
	base := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	want := requests(50, base)
	text := "what?\n\"'"
	want[49].Prompt = &text
	if err := errors.Join(db.AddRequests(t.Context(), want), db.AddRequests(t.Context(), nil)); err != nil {
		t.Fatal(err)
	}
	got, err := db.Requests(t.Context(), base.Add(40*time.Millisecond), 99)
	if err != nil || len(got) != 10 {
		t.Fatalf("%d requests, %v", len(got), err)
	}
	for i := range got {
		if d := cmp.Diff(want[49-i], got[i]); d != "" {
			t.Fatal(d)
		}
	}
}

// sentTwice: if a connection breaks while a batch is stored, the client does not know whether it was stored. It is
// sent again, perhaps with other lines added.
func sentTwice(t *testing.T, open func(context.Context) (*store.DB, error)) {
	db := mustOpen(t, open)
	list := requests(20, time.Now())
	for i := range list {
		list[i].Line = fmt.Sprintf("log-%d", i)
	}
	nameless := requests(2, time.Now())
	for _, batch := range [][]store.Request{list[:10], list[:10], list[5:], list, nameless, nameless} {
		if err := db.AddRequests(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	got, err := db.Requests(t.Context(), time.Time{}, 99)
	if err != nil || len(got) != len(list)+2*len(nameless) {
		t.Fatalf("%d requests, %v; want each of 20 lines once, and 4 without a name", len(got), err)
	}
	seen := map[string]int{}
	for _, r := range got {
		seen[r.Line]++
	}
	for _, r := range list {
		if seen[r.Line] != 1 {
			t.Errorf("line %s is there %d times", r.Line, seen[r.Line])
		}
	}
}

func forgetting(t *testing.T, open func(context.Context) (*store.DB, error)) {
	db := mustOpen(t, open)
	base := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := db.AddRequests(t.Context(), requests(10, base)); err != nil {
		t.Fatal(err)
	}
	if n, err := db.Forget(t.Context(), base.Add(4*time.Millisecond)); err != nil || n != 4 {
		t.Errorf("forgot %d, %v", n, err)
	}
	if left, err := db.Requests(t.Context(), time.Time{}, 99); err != nil || len(left) != 6 {
		t.Errorf("%d left, %v", len(left), err)
	}
}

func responses(t *testing.T, open func(context.Context) (*store.DB, error)) {
	db := mustOpen(t, open)
	base := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	const body = `{"text":"it's \"ünïcode\" \\u0000\n"}`
	for i, key := range [][2]string{{"a", "resp_1"}, {"b", "resp_1"}, {"", "resp_1"}, {"a", "resp_2"}} {
		if err := db.PutResponse(t.Context(), key[0], key[1], base.Add(time.Duration(i)*time.Hour),
			[]byte(body+key[0]+key[1])); err != nil {
			t.Fatal(err)
		}
	}
	want := func(owner, id string, there bool) {
		t.Helper()
		got, err := db.Response(t.Context(), owner, id)
		if there && (err != nil || string(got) != body+owner+id) || !there && !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s of %q: %s, %v", id, owner, got, err)
		}
	}
	want("a", "resp_1", true)
	want("", "resp_1", true)
	want("c", "resp_1", false)
	want("b", "resp_2", false)
	if err := db.PutResponse(t.Context(), "a", "resp_1", base, nil); err == nil {
		t.Error("a response was kept twice")
	}
	if err := db.DeleteResponse(t.Context(), "b", "resp_2"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("delete another's: %v", err)
	}
	if err := db.DeleteResponse(t.Context(), "b", "resp_1"); err != nil {
		t.Error(err)
	}
	want("b", "resp_1", false)
	if _, err := db.Forget(t.Context(), base.Add(time.Minute)); err != nil {
		t.Error(err)
	}
	want("a", "resp_1", false)
	want("a", "resp_2", true)
}

func writers(t *testing.T, open func(context.Context) (*store.DB, error)) {
	db := mustOpen(t, open)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 5 {
				if err := db.SaveRun(t.Context(), sample(fmt.Sprintf("%d-%d", w, i), time.Now())); err != nil {
					t.Error(err)
				}
				if err := db.AddRequests(t.Context(), requests(20, time.Now())); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	runs, err := db.Runs(t.Context(), store.Filter{Limit: 99})
	if err != nil || len(runs) != 20 {
		t.Errorf("%d runs, %v", len(runs), err)
	}
	if list, err := db.Requests(t.Context(), time.Time{}, 999); err != nil || len(list) != 400 {
		t.Errorf("%d requests, %v", len(list), err)
	}
}

func reopening(t *testing.T, open func(context.Context) (*store.DB, error)) {
	first, second := mustOpen(t, open), mustOpen(t, open)
	if err := first.SaveRun(t.Context(), sample("a", time.Now())); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Run(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	if _, err := mustOpen(t, open).Run(t.Context(), "a"); err != nil {
		t.Error(err)
	}
}

// opening: several programs may open an empty database at the same moment, like the pods of a new deployment.
func opening(t *testing.T, open func(context.Context) (*store.DB, error)) {
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			db, err := open(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			db.Close()
		})
	}
	wg.Wait()
}

func abbreviated(t *testing.T, open func(context.Context) (*store.DB, error)) {
	db := mustOpen(t, open)
	for _, id := range []string{"3fa90001", "3fa9ffff", "b0000000", "%"} {
		if err := db.SaveRun(t.Context(), sample(id, time.Now())); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		prefix, want string
		err          error
	}{{"3fa9f", "3fa9ffff", nil}, {"b0000000", "b0000000", nil}, {"%", "%", nil}, {"3fa9", "", store.ErrAmbiguous},
		{"", "", store.ErrAmbiguous}, {"c", "", store.ErrNotFound}, {"_fa90001", "", store.ErrNotFound}} {
		got, err := db.Find(t.Context(), c.prefix)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%q: %q, %v", c.prefix, got, err)
		}
	}
}

// hostile: names come from clients and numbers from other servers.
func hostile(t *testing.T, open func(context.Context) (*store.DB, error)) {
	db := mustOpen(t, open)
	prompt := "nul \x00 in a prompt"
	r := store.Request{ID: "a\x00b", Model: "\xff\xfe'; DROP TABLE requests;--", Received: time.Now(),
		PromptTokens: 1 << 60, OutputTokens: -1 << 60, Prompt: &prompt}
	if err := db.AddRequests(t.Context(), []store.Request{r}); err != nil {
		t.Fatal(err)
	}
	list, err := db.Requests(t.Context(), time.Time{}, 9)
	if err != nil || len(list) != 1 || list[0].ID != "ab" || !strings.HasPrefix(list[0].Model, "\uFFFD'; DROP") ||
		list[0].PromptTokens != 1<<31-1 || list[0].OutputTokens != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	if *r.Prompt != prompt {
		t.Error("the caller's prompt was changed")
	}
	run := sample("a", time.Now())
	run.Checks[0].Reason = "the server said \x00\xff"
	if err := db.SaveRun(t.Context(), run); err != nil {
		t.Error(err)
	}
}

// patient is how long the logs here may write after Close: on a busy machine a transaction may take a tenth of a
// second.
const patient = time.Minute

func logForgets(t *testing.T, open func(context.Context) (*store.DB, error)) {
	db := mustOpen(t, open)
	if err := db.AddRequests(t.Context(), requests(10, time.Now().Add(-50*time.Hour))); err != nil {
		t.Fatal(err)
	}
	l := store.NewLog(store.LogOptions{Connect: open, Every: time.Millisecond, Timeout: patient,
		Keep: 48 * time.Hour})
	l.Add(requests(1, time.Now())[0])
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if list, err := db.Requests(t.Context(), time.Time{}, 99); err != nil || len(list) != 1 {
		t.Errorf("%d left, %v", len(list), err)
	}
}

func logWrites(t *testing.T, open func(context.Context) (*store.DB, error)) {
	l := store.NewLog(store.LogOptions{Connect: open, Every: time.Millisecond, Timeout: patient, Batch: 7})
	for _, r := range requests(100, time.Now()) {
		l.Add(r)
	}
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
	list, err := mustOpen(t, open).Requests(t.Context(), time.Time{}, 999)
	if err != nil || len(list) != 100 || l.Written() != 100 || l.Dropped() != 0 {
		t.Errorf("%d stored, %d written, %d dropped, %v", len(list), l.Written(), l.Dropped(), err)
	}
}

package console

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/judge"
	"github.com/hxp-enterprise/mixtral/internal/certify/live"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// recorded begins the record of a run in a directory.
func recorded(t *testing.T, dir string) (w *evidence.Writer, path string) {
	t.Helper()
	c := testcases.Defaults()
	c.SchemaVersion, c.ID, c.Name = testcases.SchemaVersion, "TC-LIVE", "A run to watch"
	c.Targets = testcases.Targets{LatencyMS: 500, ThroughputRPS: 20, Concurrency: 4}
	c.Profiles = map[string]testcases.Phases{"quick": {{ID: "single", Kind: testcases.KindClosed, Requests: 20,
		Concurrency: 1}}}
	c.Checks = []testcases.Check{{ID: "errors", Clause: "few errors", Rule: testcases.RuleErrorBudget}}
	path = filepath.Join(dir, report.BaseName(c.ID, time.Unix(1_700_000_000, 0))+report.EventsExt)
	w, err := evidence.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	err = w.Add(evidence.Event{Header: &evidence.Header{SchemaVersion: 1, Start: time.Unix(1_700_000_000, 0).UTC(),
		Case:    &c,
		Profile: "quick", Target: evidence.Target{Kind: "url", URL: "http://h", Model: "<i>m</i>"},
		Rules: evidence.Rules}})
	if err != nil {
		t.Fatal(err)
	}
	return w, path
}

// goOn records requests and flushes them.
func goOn(t *testing.T, w *evidence.Writer, from, to int64) {
	t.Helper()
	const ms = int64(time.Millisecond)
	for i := from; i < to; i++ {
		q := &evidence.Request{Phase: "single", N: int(i), Prompt: "a/b", Scheduled: i * 100 * ms,
			Issued: i * 100 * ms,
			First:  i*100*ms + 30*ms, Last: i*100*ms + 90*ms, Done: i*100*ms + 91*ms, Chunks: 3, Status: 200}
		if err := w.Add(evidence.Event{At: q.Done, Request: q}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
}

// finish ends the record as certify does, with its report.
func finish(t *testing.T, w *evidence.Writer, path string) {
	t.Helper()
	const ms = int64(time.Millisecond)
	for _, e := range []evidence.Event{{At: 2000 * ms, Phase: &evidence.Phase{ID: "single", Kind: testcases.KindClosed,
		SteadyTo: 2000 * ms, End: 2000 * ms, Planned: 20, Issued: 20, MaxInFlight: 1}}, {At: 2001 * ms,
		End: &evidence.End{}}} {
		if err := w.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	d, err := judge.DeriveFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := report.Save(filepath.Dir(path), d.Report, d.Series); err != nil {
		t.Fatal(err)
	}
}

// kill leaves a record like that of a process that was killed an hour ago: it has no lock, and its last line is cut
// off.
func kill(t *testing.T, w *evidence.Writer, path string) {
	t.Helper()
	data, err := os.ReadFile(path + partExt)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), os.Remove(path), os.WriteFile(path+partExt, data[:len(data)-2],
		0o600)); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path+partExt, old, old); err != nil {
		t.Fatal(err)
	}
}

// viewer follows the stream of a page.
type viewer struct {
	t      *testing.T
	lines  *bufio.Scanner
	parts  regions
	final  bool
	cancel context.CancelFunc
}

func newViewer(t *testing.T, address string) *viewer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", address, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	if res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		t.Fatalf("status %d, %s", res.StatusCode, res.Header.Get("Content-Type"))
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 4<<20)
	return &viewer{t, lines, regions{}, false, cancel}
}

// until reads events until a part contains a text.
func (v *viewer) until(part, text string) {
	v.t.Helper()
	for !strings.Contains(v.parts[part], text) {
		if !v.next() {
			v.t.Fatalf("the stream ended before %s had %q:\n%s", part, text, v.parts[part])
		}
	}
}

func (v *viewer) next() bool {
	v.t.Helper()
	for v.lines.Scan() {
		data, ok := strings.CutPrefix(v.lines.Text(), "data: ")
		if !ok {
			continue
		}
		var p picture
		if err := json.Unmarshal([]byte(data), &p); err != nil {
			v.t.Fatal(err)
		}
		for id, html := range p.Regions {
			v.parts[id] = html
		}
		v.final = p.Final
		return true
	}
	return false
}

// TestWatch: a page is informed as a run's record grows. Another page that comes later, or reconnects, gets all of it;
// at the end there are the verdict and a link to the report.
func TestWatch(t *testing.T) {
	dir := t.TempDir()
	k := newConsole(t, Config{Dir: dir})
	server := httptest.NewServer(k)
	defer server.Close()
	w, path := recorded(t, dir)
	name := filepath.Base(path)
	if body := get(t, k, "/").Body.String(); !strings.Contains(body, "RUNNING") || !strings.Contains(body,
		"/live/"+name) {
		t.Errorf("the list does not have the run:\n%s", body)
	}
	v := newViewer(t, server.URL+"/live/"+name+"/stream")
	v.until("head", "A run to watch")
	v.until("head", "&lt;i&gt;m&lt;/i&gt;")
	goOn(t, w, 0, 8)
	v.until("phases", "8 requests")
	v.until("times", "Latency")
	v.until("checks", "would pass")
	goOn(t, w, 8, 20)
	v.until("phases", "20 requests")
	late := newViewer(t, server.URL+"/live/"+name+"/stream")
	late.until("phases", "20 requests")
	late.until("head", "A run to watch")
	v.cancel() // the connection breaks, and the browser reconnects
	v = newViewer(t, server.URL+"/live/"+name+"/stream")
	v.until("phases", "20 requests")
	if page := get(t, k, "/live/"+name).Body.String(); !strings.Contains(page, "20 requests") {
		t.Error("the page begins without what is known")
	}
	finish(t, w, path)
	for _, x := range []*viewer{v, late} {
		x.until("head", `href="/runs/`)
		x.until("announce", "The verdict is ")
		for !x.final && x.next() {
		}
		if !x.final {
			t.Error("the stream goes on after the verdict")
		}
	}
	if body := get(t, k, "/").Body.String(); strings.Contains(body, "RUNNING") || strings.Contains(body,
		"NO VERDICT") {
		t.Error("the list has the run twice")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if k.Settle(ctx); ctx.Err() != nil {
		t.Error("nobody watches, and the console waits")
	}
}

// TestWatchALargeRun: a record with more events than are kept is judged from its file, while it is being written and
// after it has ended.
func TestWatchALargeRun(t *testing.T) {
	dir := t.TempDir()
	server := httptest.NewServer(newConsole(t, Config{Dir: dir}))
	defer server.Close()
	w, path := recorded(t, dir)
	goOn(t, w, 0, live.MaxKept+100)
	v := newViewer(t, server.URL+"/live/"+filepath.Base(path)+"/stream")
	v.until("phases", "4,196 requests")
	v.until("checks", "would pass")
	goOn(t, w, live.MaxKept+100, live.MaxKept+200)
	v.until("phases", "4,296 requests")
	v.until("checks", "4,296 requests") // that failed: 0
	finish(t, w, path)
	v.until("announce", "The verdict is ")
	v.until("head", `href="/runs/`)
}

// TestWatchALargeKilledRun: the last events are judged before the page says that no more will come.
func TestWatchALargeKilledRun(t *testing.T) {
	dir := t.TempDir()
	server := httptest.NewServer(newConsole(t, Config{Dir: dir}))
	defer server.Close()
	w, path := recorded(t, dir)
	goOn(t, w, 0, live.MaxKept+100)
	kill(t, w, path)
	v := newViewer(t, server.URL+"/live/"+filepath.Base(path)+"/stream")
	for !v.final && v.next() {
	}
	if !strings.Contains(v.parts["checks"], "would pass") || !strings.Contains(v.parts["head"], "NO VERDICT") {
		t.Errorf("at the end there is\n%s\n%s", v.parts["head"], v.parts["checks"])
	}
}

// TestWatchAKilledRun: a run whose process was killed ended without a verdict, and the page says so.
func TestWatchAKilledRun(t *testing.T) {
	dir := t.TempDir()
	k := newConsole(t, Config{Dir: dir})
	server := httptest.NewServer(k)
	defer server.Close()
	w, path := recorded(t, dir)
	goOn(t, w, 0, 9)
	kill(t, w, path)
	if body := get(t, k, "/").Body.String(); !strings.Contains(body, "NO VERDICT") {
		t.Error("the list does not say that it has no verdict")
	}
	v := newViewer(t, server.URL+"/live/"+filepath.Base(path)+"/stream")
	v.until("head", "NO VERDICT")
	v.until("phases", "cut short")
	v.until("announce", "without a verdict")
	for !v.final && v.next() {
	}
}

// TestWatchTheRunOfThisProcess: the page waits until the run begins, and then follows it.
func TestWatchTheRunOfThisProcess(t *testing.T) {
	dir := t.TempDir()
	current := make(chan string, 1)
	path := ""
	k := newConsole(t, Config{Dir: dir, Current: func() string {
		select {
		case path = <-current:
		default:
		}
		return path
	}})
	server := httptest.NewServer(k)
	defer server.Close()
	if page := get(t, k, "/live/current").Body.String(); !strings.Contains(page, "A run begins") {
		t.Errorf("before it begins:\n%s", page)
	}
	streamed := make(chan *viewer)
	go func() { streamed <- newViewer(t, server.URL+"/live/current/stream") }()
	w, file := recorded(t, dir)
	current <- file
	v := <-streamed
	v.until("head", "A run to watch")
	goOn(t, w, 0, 20)
	finish(t, w, file)
	v.until("announce", "The verdict is ")
}

// TestTooManyWatch: the number of watching pages is bounded, and a place is free again when one of them has left.
func TestTooManyWatch(t *testing.T) {
	dir := t.TempDir()
	k := newConsole(t, Config{Dir: dir})
	w, path := recorded(t, dir)
	defer w.Close()
	var all []*watch
	for range mostViewers {
		x, err := k.hub.join(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, x)
	}
	if _, err := k.hub.join(path); !errors.Is(err, errTooMany) {
		t.Errorf("one more gave %v", err)
	}
	if page := get(t, k, "/live/"+filepath.Base(path)); page.Code != 503 {
		t.Errorf("its page has the status %d", page.Code)
	}
	k.hub.leave(all[0])
	if _, err := k.hub.join(path); err != nil {
		t.Error(err)
	}
}

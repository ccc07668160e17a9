package browser

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/memory"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// watch notes on every page what people would see of its slowness: shifts of the layout that no key or click caused,
// tasks that block the page for more than 50 ms, and the times between frames.
const watch = `window.watched = { shift: 0, shifted: [], long: [], gaps: [] };
new PerformanceObserver((list) => {
	for (const e of list.getEntries()) {
		if (e.hadRecentInput) continue;
		watched.shift += e.value;
		for (const s of e.sources) {
			const n = s.node?.nodeType === 1 ? s.node : s.node?.parentElement;
			const box = (r) => [r.x, r.y, r.width, r.height].map(Math.round).join(" ");
			watched.shifted.push((n ? n.localName + (n.id ? "#" + n.id : n.className ? "." + n.className : "") : "gone") +
				": " + box(s.previousRect) + " → " + box(s.currentRect));
		}
	}
}).observe({ type: "layout-shift", buffered: true });
new PerformanceObserver((list) => { for (const e of list.getEntries()) watched.long.push(e.duration); })
	.observe({ type: "longtask", buffered: true });
watched.begin = () => {
	let last = 0;
	watched.gaps = [];
	watched.long = [];
	const frame = (at) => {
		if (last) watched.gaps.push(at - last);
		last = at;
		requestAnimationFrame(frame);
	};
	requestAnimationFrame(frame);
};`

// Watch has the pages that a tab loads from now on be watched.
func Watch() chromedp.Action {
	return chromedp.Tasks{performance.Enable().WithTimeDomain(performance.EnableTimeDomainThreadTicks),
		chromedp.ActionFunc(func(ctx context.Context) error {
			_, err := page.AddScriptToEvaluateOnNewDocument(watch).Do(ctx)
			return err
		})}
}

// Watched is what was seen since the page was loaded, and of frames and tasks since Begin.
type Watched struct {
	Shift   float64   // sum of the layout shifts: 1 is the whole screen moved by its own height
	Shifted []string  // what moved
	Long    []float64 // ms of each task above 50 ms
	Gaps    []float64 // ms between frames, since Begin
}

// Seen gives what was seen.
func Seen(t testing.TB, ctx context.Context) (w Watched) {
	t.Helper()
	Run(t, ctx, chromedp.Evaluate(`(({ shift, shifted, long, gaps }) => ({ shift, shifted, long, gaps }))(watched)`, &w))
	return w
}

// Begin begins to note the times between frames, and forgets the tasks until now.
func Begin() chromedp.Action { return chromedp.Evaluate(`watched.begin()`, nil) }

// FirstPaint is when the page painted its first text, after it was asked for.
func FirstPaint(t testing.TB, ctx context.Context) time.Duration {
	t.Helper()
	var ms float64
	Run(t, ctx, Until(`performance.getEntriesByName("first-contentful-paint").length > 0`), chromedp.Evaluate(
		`performance.getEntriesByName("first-contentful-paint")[0].startTime`, &ms))
	return time.Duration(ms * float64(time.Millisecond))
}

// Work is what a page has cost the processor since it was opened.
type Work struct{ Script, Style, Layout, Task time.Duration }

// WorkOf asks for the work of a tab that Watch was called for. It is time of the processor, not of the clock, so that
// others on the machine do not count.
func WorkOf(t testing.TB, ctx context.Context) (w Work) {
	t.Helper()
	Run(t, ctx, chromedp.ActionFunc(func(ctx context.Context) error {
		list, err := performance.GetMetrics().Do(ctx)
		for _, m := range list {
			d := time.Duration(m.Value * float64(time.Second))
			switch m.Name {
			case "ScriptDuration":
				w.Script = d
			case "RecalcStyleDuration":
				w.Style = d
			case "LayoutDuration":
				w.Layout = d
			case "TaskDuration":
				w.Task = d
			}
		}
		return err
	}))
	return w
}

// Less gives the work since an earlier moment.
func (w Work) Less(then Work) Work {
	return Work{w.Script - then.Script, w.Style - then.Style, w.Layout - then.Layout, w.Task - then.Task}
}

// Memory is what a tab holds after its garbage was collected.
type Memory struct {
	Heap             float64 // bytes of JavaScript objects
	Nodes, Listeners float64
	Documents        float64
}

// MemoryOf collects a tab's garbage and measures it.
func MemoryOf(t testing.TB, ctx context.Context) (m Memory) {
	t.Helper()
	Run(t, ctx, heapprofiler.CollectGarbage(), heapprofiler.CollectGarbage(),
		chromedp.ActionFunc(func(ctx context.Context) error {
			used, _, _, _, err := runtime.GetHeapUsage().Do(ctx)
			if err != nil {
				return err
			}
			m.Heap = used
			documents, nodes, listeners, err := memory.GetDOMCounters().Do(ctx)
			m.Documents, m.Nodes, m.Listeners = float64(documents), float64(nodes), float64(listeners)
			return err
		}))
	return m
}

const (
	// loads is of how many first paints the median counts.
	loads = 9

	// bare is a page of one word: what the browser takes by itself.
	bare = "<!doctype html><title>a page of one word</title><p>word"
)

// BenchmarkPaints measures after how long each page of a server paints its first text, and a page of one word: the
// medians of some loads, with an empty cache each time. pages are paths by their names.
func BenchmarkPaints(b *testing.B, url string, pages map[string]string) {
	for name, path := range pages {
		b.Run(name, func(b *testing.B) {
			ctx := Tab(b)
			for b.Loop() {
				page, word := paints(b, ctx, url+path)
				b.ReportMetric(float64(page.Milliseconds()), "paint-ms")
				b.ReportMetric(float64(word.Milliseconds()), "word-ms")
			}
		})
	}
}

func paints(t testing.TB, ctx context.Context, url string) (page, word time.Duration) {
	t.Helper()
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, bare)
	}))
	defer other.Close()
	Run(t, ctx, network.SetCacheDisabled(true))
	defer Run(t, ctx, network.SetCacheDisabled(false))
	var pages, words []time.Duration
	for range loads {
		Run(t, ctx, chromedp.Navigate(other.URL))
		words = append(words, FirstPaint(t, ctx))
		Run(t, ctx, chromedp.Navigate(url))
		pages = append(pages, FirstPaint(t, ctx))
	}
	slices.Sort(pages)
	slices.Sort(words)
	return pages[len(pages)/2], words[len(words)/2]
}

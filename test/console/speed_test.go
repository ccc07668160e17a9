package console_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/hxp-enterprise/mixtral"
	"github.com/hxp-enterprise/mixtral/internal/base/stats"
	"github.com/hxp-enterprise/mixtral/test/browser"
)

// BenchmarkFirstPaint is after how long each page shows its first text, without anything in the browser's cache.
func BenchmarkFirstPaint(b *testing.B) {
	browser.BenchmarkPaints(b, service(b, nil), map[string]string{"chat": "/", "status": "/console/status",
		"tokens": "/console/tokens"})
}

// essay is a long answer with everything that is drawn in its own way.
func essay(words int) (list []string) {
	for i := range words {
		switch {
		case i%160 == 0:
			list = append(list, "\n\n# Part ", fmt.Sprint(i/160), "\n\n")
		case i%160 == 90:
			list = append(list, "\n\n```go\n")
		case i%160 == 130:
			list = append(list, "\n```\n\n")
		case i%160 > 90 && i%160 < 130:
			list = append(list, fmt.Sprintf("x%d := f(%d)%s", i, i, []string{" ", "\n"}[i%2]))
		case i%40 == 39:
			list = append(list, "end.\n\n")
		case i%11 == 0:
			list = append(list, "**bold** ")
		default:
			list = append(list, fmt.Sprintf("word%d ", i))
		}
	}
	return list
}

// every is the time between tokens of typist.
const every = 10 * time.Millisecond

// typist streams an answer: some tokens at once, and from the call of goOn on 100 a second, for as long as a test
// wants.
func typist(t *testing.T, atOnce int, lasts time.Duration) (url string, goOn func()) {
	t.Helper()
	gate := make(chan struct{})
	goOn = sync.OnceFunc(func() { close(gate) })
	tokens := essay(atOnce + int(lasts/every))
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/models", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"object":"list","data":[{"id":"typist","object":"model"}]}`)
	})
	mux.HandleFunc("/v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		var begun time.Time
		for i, token := range tokens {
			if i == atOnce {
				w.(http.Flusher).Flush()
				select {
				case <-gate:
				case <-r.Context().Done():
				}
				begun = time.Now()
			}
			fmt.Fprintf(w, `data: {"id":"1","object":"chat.completion.chunk","model":"typist","choices":[{"index":0,`+
				`"delta":{"content":%s},"logprobs":{"content":[{"token":%[1]s,"logprob":-0.1,"top_logprobs":`+
				`[{"token":%[1]s,"logprob":-0.1},{"token":"other","logprob":-3}]}]}}]}`+"\n\n", browser.Quote(token))
			if i >= atOnce {
				w.(http.Flusher).Flush()
				time.Sleep(time.Until(begun.Add(time.Duration(i-atOnce) * every)))
			}
		}
		fmt.Fprint(w, `data: {"id":"1","object":"chat.completion.chunk","model":"typist","choices":[{"index":0,`+
			`"delta":{},"finish_reason":"stop"}]}`+"\n\ndata: [DONE]\n\n")
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	t.Cleanup(goOn)
	return server.URL, goOn
}

// longTalk is a conversation of many messages, as the browser keeps it.
func longTalk(messages int) string {
	var list []map[string]any
	for range messages {
		text := strings.Join(essay(200), "")
		list = append(list, map[string]any{"role": "user", "text": "And then?"}, map[string]any{"role": "assistant",
			"at": 0, "model": "typist", "variants": []map[string]any{{"text": text, "finish": "stop"}}})
	}
	data, _ := json.Marshal(map[string]any{"id": "long", "changed": 1, "settings": map[string]any{}, "messages": list})
	return string(data)
}

// redrawn is how many nodes of the answer each drawing may add or remove beside one for each new token: those of the
// paragraph that grows. It is 2, and a page that draws the whole answer again has more than a hundred.
const redrawn = 6

// TestStreamingIsSmooth streams 100 tokens/s into a long answer at the end of a long conversation. Nothing moves that
// has been drawn, what has been drawn is not drawn again, and a screen reader is told paragraphs and not tokens. Where
// MIXTRAL_SOAK is set, it goes on for so long; the log says how long frames took and what they cost.
func TestStreamingIsSmooth(t *testing.T) {
	lasts := 4 * time.Second
	if s, err := time.ParseDuration(os.Getenv("MIXTRAL_SOAK")); err == nil {
		lasts = s
	}
	upstream, goOn := typist(t, 2000, lasts)
	url := service(t, func(c *mixtral.Config) { c.Backend, c.Upstream = mixtral.BackendVLLM, upstream })
	ctx := browser.TabFor(t, lasts+browser.Within)
	const text = answers + `[25].querySelector(".body").textContent.length`
	browser.Run(t, ctx, browser.Watch(), chromedp.EmulateViewport(1024, 850), chromedp.Navigate(url+"/console/tokens"),
		chromedp.Evaluate(`localStorage.setItem("mixtral.chat.long", `+browser.Quote(longTalk(25))+`)`, nil),
		chromedp.Navigate(url), browser.Until(modelsIn), browser.Until(answers+`.length === 25`),
		chromedp.Evaluate(`window.told = 0; new MutationObserver((list) => { for (const m of list) told += m.addedNodes.length; })
			.observe(document.getElementById("said"), { childList: true, subtree: true, characterData: true })`, nil),
		send("Once more"), browser.Until(answers+`.length === 26 && `+text+` > 9000`), browser.Begin(),
		chromedp.Evaluate(`window.drawn = { times: 0, nodes: 0 }; new MutationObserver((list) => {
				drawn.times++;
				for (const m of list) drawn.nodes += m.addedNodes.length + m.removedNodes.length;
			}).observe(`+answers+`[25].querySelector(".body"), { childList: true, subtree: true })`, nil))
	before := browser.WorkOf(t, ctx)
	goOn()
	begun := time.Now()
	time.Sleep(lasts / 2)
	var live bool
	browser.Run(t, ctx, chromedp.Evaluate(`!!`+answers+`[25].closest("[aria-live]:not([aria-live=off]), [role=log], [role=status]")`,
		&live))
	time.Sleep(time.Until(begun.Add(lasts * 9 / 10)))
	work, w := browser.WorkOf(t, ctx).Less(before), browser.Seen(t, ctx)
	took := time.Since(begun)
	if len(w.Gaps) == 0 {
		t.Fatal("the page drew nothing")
	}
	var told, chars, blocks int
	var drawn struct{ Times, Nodes float64 }
	browser.Run(t, ctx, browser.Until(`drawn.times > 0`), chromedp.Evaluate(`drawn`, &drawn))
	browser.Run(t, ctx, browser.Until(`!document.getElementById("send").hidden`), chromedp.Evaluate(`told`, &told),
		chromedp.Evaluate(text, &chars), chromedp.Evaluate(answers+`[25].querySelectorAll(".body > *").length`, &blocks))
	frames := len(w.Gaps)
	slices.Sort(w.Gaps)
	inTime, _ := slices.BinarySearch(w.Gaps, 1000.0/60*1.5)
	late := len(w.Gaps) - inTime
	per := func(d time.Duration) time.Duration { return (d / time.Duration(frames)).Round(time.Microsecond) }
	t.Logf("%d frames in %v: %.1f a second; times between them p50 %.1f, p95 %.1f, p99 %.1f, longest %.1f ms; %d "+
		"late by half a frame; %d tasks above 50 ms; a frame costs %v of script, %v of style, %v of layout, "+
		"%v in all; %.1f nodes drawn at a time; shift %.4f", frames, took.Round(time.Millisecond),
		float64(frames)/took.Seconds(), stats.Percentile(w.Gaps, 0.5),
		stats.Percentile(w.Gaps, 0.95), stats.Percentile(w.Gaps, 0.99),
		w.Gaps[len(w.Gaps)-1], late, len(w.Long), per(work.Script), per(work.Style), per(work.Layout), per(work.Task),
		drawn.Nodes/drawn.Times, w.Shift)
	if most := redrawn*drawn.Times + float64(lasts/every); drawn.Times == 0 || drawn.Nodes > most {
		t.Errorf("%v nodes were drawn at %v times, want at most %v", drawn.Nodes, drawn.Times, most)
	}
	if w.Shift > 0.02 {
		t.Errorf("the page moved by %.3g: %v", w.Shift, w.Shifted)
	}
	if live || told > blocks+5 || told < blocks/2 {
		t.Errorf("a screen reader was told %d times of %d paragraphs, and of every token: %v", told, blocks, live)
	}
	if chars < 9000+int(lasts/every)*4 {
		t.Errorf("the answer has %d characters", chars)
	}
}

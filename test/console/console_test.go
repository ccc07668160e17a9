// Package console_test uses the console of mixtral serve in a real Chromium.
package console_test

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/hxp-enterprise/mixtral"
	"github.com/hxp-enterprise/mixtral/internal/base/need"
)

// service serves the built-in model as mixtral serve does.
func service(t *testing.T, change func(*mixtral.Config)) string {
	t.Helper()
	c := mixtral.DefaultConfig()
	if change != nil {
		change(&c)
	}
	s, err := mixtral.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	t.Cleanup(func() { server.Close(); s.Close() })
	return server.URL
}

// browser opens a tab of a new Chromium. Errors and broken policies on its pages fail the test.
func browser(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		need.Missing(t, "chromium: %v", err)
	}
	allocator, stop := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox)...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancel)
	chromedp.ListenTarget(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			t.Errorf("the page threw: %v", e.ExceptionDetails.Error())
		case *page.EventJavascriptDialogOpening:
			t.Errorf("a dialog opened: %s", e.Message)
		}
	})
	return ctx
}

func run(t *testing.T, ctx context.Context, actions ...chromedp.Action) {
	t.Helper()
	if err := chromedp.Run(ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

// until waits until a JavaScript expression is true.
func until(expression string) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		err := chromedp.Poll(expression, nil, chromedp.WithPollingTimeout(40*time.Second)).Do(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", expression, err)
		}
		return nil
	})
}

// send types a message and sends it with the Enter key.
func send(text string) chromedp.Action {
	return chromedp.Tasks{chromedp.WaitVisible("#text"), chromedp.SendKeys("#text", text+"\r")}
}

const (
	answers  = `document.querySelectorAll(".message.assistant")`
	idle     = `!document.getElementById("send").hidden && ` + answers + `.length > 0`
	modelsIn = `document.getElementById("model").value !== ""`
)

func TestChat(t *testing.T) {
	url := service(t, nil)
	ctx := browser(t)
	var first, second, curl, stats string
	var count int
	run(t, ctx,
		chromedp.Navigate(url), until(modelsIn), send("Hello"), until(idle),
		chromedp.Text(".message.assistant .body", &first),
		chromedp.Text(".foot .stats", &stats),
		chromedp.Click(`//button[text()="Tokens"]`), until(`document.querySelectorAll(".tok").length > 1`),
		chromedp.Evaluate(`document.querySelector(".tok").focus()`, nil),
		until(`document.querySelectorAll("#tip tr").length === 5`),
		chromedp.Click(`//button[text()="Regenerate"]`), until(idle+` && document.body.innerText.includes("2 of 2")`),
		chromedp.Evaluate(answers+`.length`, &count),
		chromedp.Evaluate(`Object.defineProperty(navigator, "clipboard", {value: {writeText: async (t) => { window.copied = t; }}})`,
			nil),
		chromedp.Click(`//button[text()="Copy as curl"]`), until(`!!window.copied`),
		chromedp.Evaluate(`window.copied`, &curl),
		// all of it is there again after a reload
		chromedp.Reload(), until(idle), chromedp.Text(".message.assistant .body", &second),
	)
	if first == "" || second == "" || count != 1 {
		t.Errorf("answers %q, then %q; %d of them shown", first, second, count)
	}
	for _, word := range []string{"first token", "tokens"} {
		if !strings.Contains(stats, word) {
			t.Errorf("%q: no %q", stats, word)
		}
	}
	for _, word := range []string{"curl -N " + url + "/v1/chat/completions", `"content": "Hello"`, `"stream": true`} {
		if !strings.Contains(curl, word) {
			t.Errorf("no %q in:\n%s", word, curl)
		}
	}
}

// slow is a server that streams without end until its client leaves.
func slow(t *testing.T, left chan<- struct{}) string {
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/models", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"object":"list","data":[{"id":"slow","object":"model"}]}`)
	})
	mux.HandleFunc("/v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := 0; r.Context().Err() == nil; i++ {
			fmt.Fprintf(w, `data: {"id":"1","object":"chat.completion.chunk","model":"slow","choices":[{"index":0,`+
				`"delta":{"content":"word%d "}}]}`+"\n\n", i)
			w.(http.Flusher).Flush()
			time.Sleep(10 * time.Millisecond)
		}
		left <- struct{}{}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// TestStop: an answer is stopped with the button and with the Escape key, what came stays, and the server stops.
func TestStop(t *testing.T) {
	left := make(chan struct{}, 2)
	upstream := slow(t, left)
	url := service(t, func(c *mixtral.Config) { c.Backend, c.Upstream = mixtral.BackendVLLM, upstream })
	ctx := browser(t)
	streaming := func(n int) chromedp.Action {
		return until(fmt.Sprintf(`%s.length === %d && %s[%d].innerText.includes("word20")`, answers, n, answers, n-1))
	}
	var text string
	run(t, ctx, chromedp.Navigate(url), until(modelsIn), send("one"), streaming(1), chromedp.Click("#stop"),
		until(idle), chromedp.Text(".message.assistant", &text),
		send("two"), streaming(2), chromedp.KeyEvent("\u001b"), until(idle))
	if !strings.Contains(text, "word20") || !strings.Contains(text, "stopped") || !strings.Contains(text, "tokens/s") {
		t.Errorf("the stopped answer is %q", text)
	}
	for range 2 {
		select {
		case <-left:
		case <-time.After(20 * time.Second):
			t.Fatal("the server went on after the answer was stopped")
		}
	}
}

func TestTokensAndStatus(t *testing.T) {
	url := service(t, nil)
	ctx := browser(t)
	var back, pieces string
	run(t, ctx, chromedp.Navigate(url+"/console/tokens"),
		until(`document.querySelectorAll(".piece").length > 5 && !document.getElementById("pieces").innerText.includes("…")`),
		chromedp.Evaluate(`[...document.querySelectorAll(".piece b")].slice(1).map((e) => e.textContent).join("")`, &pieces),
		chromedp.Click("#copyids"), until(`document.getElementById("back").textContent !== ""`),
		chromedp.Evaluate(`document.getElementById("back").textContent`, &back),
		chromedp.Navigate(url+"/console/status"), until(`document.querySelectorAll(".figure").length >= 7`),
		until(`document.getElementById("summary").innerText.startsWith("Ready")`),
	)
	const text = "The quick brown fox jumps over the lazy dog."
	if strings.TrimSpace(back) != text {
		t.Errorf("the ids of %q are %q", text, back)
	}
	if got := strings.TrimSpace(strings.ReplaceAll(pieces, "␣", " ")); got != text {
		t.Errorf("the pieces of %q are %q", text, got)
	}
}

// TestKey: where the API wants a key, the page asks for it and then works.
func TestKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte("alice sesame-open-for-alice-0123456789\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	url := service(t, func(c *mixtral.Config) { c.APIKeyFile = file })
	ctx := browser(t)
	run(t, ctx, chromedp.Navigate(url), until(`document.getElementById("keydialog").open`),
		chromedp.SendKeys("#keyvalue", "sesame-open-for-alice-0123456789\r"), until(modelsIn),
		send("Hello"), until(idle))
	if r, err := http.Get(url + "/console/metrics"); err != nil || r.StatusCode != http.StatusUnauthorized {
		t.Errorf("metrics without a key: %v, %v", r, err)
	}
}

// TestScreenshots keeps pictures of each page, in the directory that MIXTRAL_SCREENSHOTS names, and checks that no
// page is wider than the screen.
func TestScreenshots(t *testing.T) {
	url := service(t, nil)
	dir := os.Getenv("MIXTRAL_SCREENSHOTS")
	if dir == "" {
		dir = t.TempDir()
	}
	for _, theme := range []string{"light", "dark"} {
		ctx := browser(t)
		run(t, ctx, emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme",
			Value: theme}}), chromedp.Navigate(url), until(modelsIn), send("Tell me about Go."), until(idle),
			send("Hello"), until(`document.querySelectorAll(".message.assistant .stats").length === 2 && `+idle))
		for _, width := range []int64{390, 1024, 1920} {
			for _, name := range []string{"", "settings", "tip", "status", "tokens"} {
				file := filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", theme, width, cmp.Or(name, "chat")))
				shot(t, ctx, url, file, width, name)
			}
		}
	}
}

func shot(t *testing.T, ctx context.Context, url, file string, width int64, name string) {
	t.Helper()
	var picture []byte
	var wide bool
	actions := []chromedp.Action{chromedp.EmulateViewport(width, 850)}
	switch name {
	case "settings":
		actions = append(actions, chromedp.Navigate(url), until(modelsIn), chromedp.Click("#settingsopen"))
	case "tip":
		actions = append(actions, chromedp.Navigate(url), until(modelsIn),
			chromedp.Click(`//article[last()]//button[text()="Tokens"]`),
			chromedp.Evaluate(`[...document.querySelectorAll(".tok")].at(-2).focus()`, nil))
	case "":
		actions = append(actions, chromedp.Navigate(url), until(modelsIn))
	default:
		actions = append(actions, chromedp.Navigate(url+"/console/"+name), chromedp.Sleep(2500*time.Millisecond))
	}
	run(t, ctx, append(actions, chromedp.Evaluate(`document.documentElement.scrollWidth > innerWidth`, &wide),
		chromedp.CaptureScreenshot(&picture))...)
	if wide {
		t.Errorf("%s: the page is wider than the screen", filepath.Base(file))
	}
	if err := os.WriteFile(file, picture, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Package console_test uses the console of mixtral serve in a real Chromium.
package console_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/hxp-enterprise/mixtral"
	"github.com/hxp-enterprise/mixtral/test/browser"
)

// service serves the built-in model as mixtral serve does.
func service(t testing.TB, change func(*mixtral.Config)) string {
	t.Helper()
	server := httptest.NewServer(handler(t, change))
	t.Cleanup(server.Close)
	return server.URL
}

// handler answers for the built-in model.
func handler(t testing.TB, change func(*mixtral.Config)) http.Handler {
	t.Helper()
	c := mixtral.DefaultConfig()
	if change != nil {
		change(&c)
	}
	s, err := mixtral.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s.Handler()
}

func TestMain(m *testing.M) { os.Exit(browser.Main(m)) }

// send types a message and sends it with the Enter key.
func send(text string) chromedp.Action {
	return chromedp.Tasks{chromedp.WaitVisible("#text"), chromedp.SendKeys("#text", text+"\r")}
}

const (
	answers  = `document.querySelectorAll(".message.assistant")`
	idle     = `!document.getElementById("send").hidden && ` + answers + `.length > 0`
	modelsIn = `document.getElementById("model").value !== ""`
)

// seeded sets the seed of a page's answers to one with which the built-in model says more than a word or two.
var seeded = chromedp.Evaluate(`(() => { const e = document.querySelector("[name=seed]");
	e.value = "1"; e.dispatchEvent(new Event("input", { bubbles: true })); })()`, nil)

func TestChat(t *testing.T) {
	url := service(t, nil)
	ctx := browser.Tab(t)
	var first, second, curl, stats string
	var count int
	browser.Run(t, ctx,
		chromedp.Navigate(url), browser.Until(modelsIn), seeded, send("Hello"), browser.Until(idle),
		browser.Text(".message.assistant .body", &first),
		browser.Text(".foot .stats", &stats),
		browser.Click(".foot button[aria-pressed]"), browser.Until(`document.querySelectorAll(".tok").length > 1`),
		chromedp.Evaluate(`document.querySelector(".tok").focus()`, nil),
		browser.Until(`document.querySelectorAll("#tip tr").length === 5`),
		browser.Click("Regenerate"), browser.Until(idle+` && document.body.innerText.includes("2 of 2")`),
		chromedp.Evaluate(answers+`.length`, &count),
		chromedp.Evaluate(`Object.defineProperty(navigator, "clipboard", {value: {writeText: async (t) => { window.copied = t; }}})`,
			nil),
		browser.Click("Copy as curl"), browser.Until(`!!window.copied`),
		chromedp.Evaluate(`window.copied`, &curl),
		// all of it is there again after a reload
		chromedp.Reload(), browser.Until(idle), browser.Text(".message.assistant .body", &second),
	)
	if first == "" || second == "" || count != 1 {
		t.Errorf("answers %q, then %q; %d of them shown", first, second, count)
	}
	for _, word := range []string{"first token", "tokens"} {
		if !strings.Contains(stats, word) {
			t.Errorf("%q: no %q", stats, word)
		}
	}
	for _, word := range []string{"curl -N " + url + "/v1/chat/completions", `"content": "Hello"`, `"stream": true`,
		`"seed": 1`} {
		if !strings.Contains(curl, word) {
			t.Errorf("no %q in:\n%s", word, curl)
		}
	}
}

// slow is a server that streams without end until its client leaves. If goOn is given, it waits for it behind word20.
func slow(t *testing.T, left chan<- struct{}, goOn <-chan struct{}) string {
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
			if i == 20 && goOn != nil {
				select {
				case <-goOn:
					time.Sleep(50 * time.Millisecond) // the page gives no rate for what came within 20 ms
				case <-r.Context().Done():
				}
			}
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
	left, goOn := make(chan struct{}, 2), make(chan struct{}, 2)
	upstream := slow(t, left, goOn)
	url := service(t, func(c *mixtral.Config) { c.Backend, c.Upstream = mixtral.BackendVLLM, upstream })
	ctx := browser.Tab(t)
	streaming := func(n int) chromedp.Action {
		shown := func(word string) chromedp.Action {
			return browser.Until(fmt.Sprintf(`%s.length === %d && %s[%d].innerText.includes(%q)`, answers, n, answers, n-1,
				word))
		}
		return chromedp.Tasks{shown("word20"), chromedp.ActionFunc(func(context.Context) error {
			goOn <- struct{}{}
			return nil
		}), shown("word21")}
	}
	var text string
	browser.Run(t, ctx, chromedp.Navigate(url), browser.Until(modelsIn), send("one"), streaming(1),
		browser.Click("#stop"),
		browser.Until(idle), browser.Text(".message.assistant", &text),
		send("two"), streaming(2), chromedp.KeyEvent("\u001b"), browser.Until(idle))
	if !strings.Contains(text, "word20") || !strings.Contains(text, "stopped") || !strings.Contains(text, "tokens/s") {
		t.Errorf("the stopped answer is %q", text)
	}
	for range 2 {
		select {
		case <-left:
		case <-time.After(2 * time.Minute):
			t.Fatal("the server went on after the answer was stopped")
		}
	}
}

func TestTokensAndStatus(t *testing.T) {
	url := service(t, nil)
	ctx := browser.Tab(t)
	var back, pieces string
	browser.Run(t, ctx, chromedp.Navigate(url+"/console/tokens"),
		browser.Until(`document.querySelectorAll(".piece").length > 5 && !document.getElementById("pieces").innerText.includes("…")`),
		chromedp.Evaluate(`[...document.querySelectorAll(".piece b")].slice(1).map((e) => e.textContent).join("")`, &pieces),
		browser.Click("#copyids"), browser.Until(`document.getElementById("back").textContent !== ""`),
		chromedp.Evaluate(`document.getElementById("back").textContent`, &back),
		chromedp.Navigate(url+"/console/status"), browser.Until(`document.querySelectorAll(".figure").length >= 7`),
		browser.Until(`document.getElementById("summary").innerText.startsWith("Ready")`),
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
	ctx := browser.Tab(t)
	browser.Run(t, ctx, chromedp.Navigate(url), browser.Until(`document.getElementById("keydialog").open`),
		chromedp.SendKeys("#keyvalue", "sesame-open-for-alice-0123456789\r"), browser.Until(modelsIn),
		send("Hello"), browser.Until(idle))
	if r, err := http.Get(url + "/console/metrics"); err != nil || r.StatusCode != http.StatusUnauthorized {
		t.Errorf("metrics without a key: %v, %v", r, err)
	}
}

// TestScreenshots checks that no page is wider than the screen, at three widths. Where MIXTRAL_SCREENSHOTS names a
// directory, pictures in both themes are kept there.
func TestScreenshots(t *testing.T) {
	url := service(t, nil)
	ctx := browser.Tab(t)
	browser.Run(t, ctx, chromedp.Navigate(url), browser.Until(modelsIn), seeded, send("Tell me about Go."),
		browser.Until(idle),
		send("Hello"), browser.Until(`document.querySelectorAll(".message.assistant .stats").length === 2 && `+idle))
	browser.Picture(t, ctx, "chat", false)
	browser.Run(t, ctx, browser.Click("#settingsopen"))
	browser.Picture(t, ctx, "chat-settings", false)
	browser.Run(t, ctx, browser.Click("#settingsopen"), chromedp.Evaluate(
		`[...document.querySelectorAll("article:last-of-type button")].find((b) => b.textContent === "Tokens").click()`, nil))
	browser.Picture(t, ctx, "chat-tokens", false,
		chromedp.Evaluate(`document.activeElement.blur(); [...document.querySelectorAll(".tok")].at(-2).focus()`, nil))
	browser.Run(t, ctx, chromedp.Navigate(url+"/console/status"),
		browser.Until(`document.querySelectorAll(".figure").length >= 7`))
	browser.Picture(t, ctx, "status", true)
	browser.Run(t, ctx, chromedp.Navigate(url+"/console/tokens"),
		browser.Until(`document.querySelectorAll(".piece").length > 5 && !document.getElementById("pieces").innerText.includes("…")`))
	browser.Picture(t, ctx, "tokens", true)
}

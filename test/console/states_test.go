package console_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/hxp-enterprise/mixtral"
	"github.com/hxp-enterprise/mixtral/test/browser"
)

// tabs are the pages of the console, each with what is true of it when it has got what it shows.
var tabs = []struct{ name, path, full string }{
	{"chat", "/", modelsIn},
	{"status", "/console/status", `document.querySelectorAll(".figure").length >= 7`},
	{"tokens", "/console/tokens", `document.querySelectorAll(".piece").length > 5`},
}

// troubled is true where a page says what is wrong.
const troubled = `[...document.querySelectorAll(".alert")].some((e) => e.checkVisibility() && e.textContent.length > 10)`

// TestEveryoneSeesARefusedKey: each page asks for a key, and says so when the server refuses it.
func TestEveryoneSeesARefusedKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte("alice sesame-open-for-alice-0123456789\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	url := service(t, func(c *mixtral.Config) { c.APIKeyFile = file })
	ctx := browser.Tab(t)
	for i, tab := range tabs {
		browser.Run(t, ctx, chromedp.Navigate(url+tab.path), browser.Until(`document.getElementById("keydialog").open`))
		if i == 0 {
			browser.AuditOf(t, ctx, "the question for a key")
			browser.Picture(t, ctx, "key-asked", false)
		}
		browser.Run(t, ctx, chromedp.SendKeys("#keyvalue", "wrong\r"),
			browser.Until(troubled+` && !document.getElementById("keydialog").open`))
		browser.State(t, ctx, "key-refused-"+tab.name)
		browser.Run(t, ctx, chromedp.Evaluate(`localStorage.clear(); sessionStorage.clear()`, nil))
	}
}

// TestEveryoneSeesThatTheServerHasGone: each page says it, whatever people do next.
func TestEveryoneSeesThatTheServerHasGone(t *testing.T) {
	h := handler(t, nil)
	ctx := browser.Tab(t)
	for _, tab := range tabs {
		server := httptest.NewServer(h)
		t.Cleanup(server.Close)
		browser.Run(t, ctx, chromedp.Navigate(server.URL+tab.path), browser.Until(tab.full))
		server.CloseClientConnections()
		server.Close()
		switch tab.name {
		case "chat":
			browser.Run(t, ctx, send("Hello"))
		case "tokens":
			browser.Run(t, ctx, chromedp.SendKeys("#text", " And more."))
		}
		browser.Run(t, ctx, browser.Until(troubled+` && !document.body.innerText.includes("Ready:")`))
		browser.State(t, ctx, "server-gone-"+tab.name)
	}
}

// TestEveryoneSeesAnUpstream: the pages of a service before a server that has no metrics and knows no tokens, and
// before one that has gone.
func TestEveryoneSeesAnUpstream(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/models", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"object":"list","data":[{"id":"an-organization/a-model-with-a-long-name-instruct-q4_k_m","object":"model"}]}`))
	})
	upstream := httptest.NewServer(mux)
	t.Cleanup(upstream.Close)
	url := service(t, func(c *mixtral.Config) { c.Backend, c.Upstream = mixtral.BackendVLLM, upstream.URL })
	ctx := browser.Tab(t)
	for _, tab := range tabs {
		ready := troubled
		if tab.name != "tokens" {
			ready = tab.full
		}
		browser.Run(t, ctx, chromedp.Navigate(url+tab.path), browser.Until(ready))
		if tab.name == "tokens" {
			browser.Run(t, ctx, browser.Shows("another server"))
		}
		if tab.name == "chat" {
			browser.Run(t, ctx, send("Hello"), browser.Until(troubled))
		}
		browser.State(t, ctx, "upstream-"+tab.name)
	}
	upstream.Close()
	browser.Run(t, ctx, chromedp.Navigate(url+"/console/status"),
		browser.Until(`document.getElementById("replicas").textContent.includes("DOWN")`))
	browser.State(t, ctx, "upstream-gone-status")
	browser.Run(t, ctx, chromedp.Navigate(url), browser.Until(`document.readyState === "complete"`), send("Hello again"),
		browser.Until(troubled))
	browser.State(t, ctx, "upstream-gone-chat")
}

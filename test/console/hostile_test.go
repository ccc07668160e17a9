package console_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/hxp-enterprise/mixtral"
	"github.com/hxp-enterprise/mixtral/test/browser"
)

// echo is a server whose model has a hostile name and which answers with the last message, as one of its tokens too.
func echo(t *testing.T, name string) string {
	quoted := func(s string) string { data, _ := json.Marshal(s); return string(data) }
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/models", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"object":"list","data":[{"id":%s,"object":"model"}]}`, quoted(name))
	})
	mux.HandleFunc("/v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Messages []struct{ Content string } }
		data, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(data, &body); err != nil || len(body.Messages) == 0 {
			http.Error(w, "no messages", http.StatusBadRequest)
			return
		}
		text := quoted(body.Messages[len(body.Messages)-1].Content)
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, `data: {"id":"1","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{"content":%s},`+
			`"logprobs":{"content":[{"token":%[1]s,"logprob":-0.1,"top_logprobs":[{"token":%[1]s,"logprob":-0.1}]}]}}]}`+"\n\n", text)
		fmt.Fprint(w, `data: {"id":"1","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{},`+
			`"finish_reason":"stop"}]}`+"\n\ndata: [DONE]\n\n")
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// TestHostileTextStaysText: prompts, answers, tokens, titles of conversations and names of models are shown as the
// characters that they are.
func TestHostileTextStaysText(t *testing.T) {
	const name = `<img src=x onerror=hit()>"'`
	upstream := echo(t, name)
	url := service(t, func(c *mixtral.Config) { c.Backend, c.Upstream = mixtral.BackendVLLM, upstream })
	ctx := browser.Tab(t)
	browser.Run(t, ctx, chromedp.Navigate(url), browser.Until(modelsIn),
		chromedp.Evaluate(`window.hits = 0; window.hit = () => { window.hits++; }; window.confirm = () => true`, nil))
	for _, text := range browser.Hostile() {
		quoted, _ := json.Marshal(text)
		var prompt, answer, token, tags string
		browser.Run(t, ctx, chromedp.Evaluate(`document.getElementById("new").click(); document.getElementById("text").value = `+
			string(quoted)+`; document.getElementById("form").requestSubmit()`, nil), browser.Until(idle),
			chromedp.Evaluate(`document.querySelector(".message.user .body").textContent`, &prompt),
			chromedp.Evaluate(`document.querySelector(".message.assistant .body").textContent`, &answer),
			chromedp.Evaluate(`[...new Set([...document.querySelectorAll("#log *, #list *")].map((e) => e.localName))].sort().join(" ")`,
				&tags),
			chromedp.Evaluate(`[...document.querySelectorAll("button")].find((b) => b.textContent === "Tokens").click()`, nil),
			chromedp.Evaluate(`document.querySelector(".tok").focus(); document.querySelector(".tok").textContent`, &token))
		if prompt != text || token != text {
			t.Errorf("%q is shown as the prompt %q and the token %q", text, prompt, token)
		}
		marks := strings.NewReplacer("`", "", "*", "", "#", "", "\n", "", "html", "", " ", "")
		if got := marks.Replace(answer); got != marks.Replace(text) {
			t.Errorf("%q is shown as the answer %q", text, answer)
		}
		for tag := range strings.FieldsSeq(tags) {
			if !strings.Contains(" article button code div h2 li p pre span strong ", " "+tag+" ") {
				t.Errorf("%q made an element %q", text, tag)
			}
		}
	}
	var hits int
	var option string
	browser.Run(t, ctx, chromedp.Evaluate(`window.hits`, &hits),
		chromedp.Evaluate(`document.querySelector("#model option").textContent`, &option))
	if hits != 0 || option != name {
		t.Errorf("%d scripts ran; the model is shown as %q", hits, option)
	}
}

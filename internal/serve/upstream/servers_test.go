package upstream

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
	"github.com/hxp-enterprise/mixtral/internal/serve/route"
)

// lists is a server that lists models, and counts the requests for each name; status is that of its health check.
type lists struct {
	*httptest.Server
	mu     sync.Mutex
	asked  map[string]int // by the model's name in the request
	key    string
	status atomic.Int64 // of /health; 0: 200
}

func serving(t *testing.T, models ...string) *lists {
	l := &lists{asked: map[string]int{}}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/health":
			w.WriteHeader(max(int(l.status.Load()), 200))
		case "/v1/models":
			var data []map[string]any
			for _, m := range models {
				data = append(data, map[string]any{"id": m})
			}
			json.NewEncoder(w).Encode(map[string]any{"data": data})
		case "/tokenize":
			io.WriteString(w, fmt.Sprintf(`{"tokens":[%d]}`, len(models)))
		default:
			var body struct{ Model string }
			json.NewDecoder(r.Body).Decode(&body)
			l.mu.Lock()
			l.asked[body.Model]++
			l.key = r.Header.Get("Authorization")
			l.mu.Unlock()
			io.WriteString(w, wholeAnswer)
		}
	}))
	t.Cleanup(l.Close)
	return l
}

// names returns how often each name was asked for, and resets the counts.
func (l *lists) names() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() { l.asked = map[string]int{} }()
	return l.asked
}

func (l *lists) want(t *testing.T, what string, names map[string]int) {
	t.Helper()
	if got := l.names(); !maps.Equal(got, names) {
		t.Errorf("%s got %v, want %v", what, got, names)
	}
}

func known(t *testing.T, u *Upstream, n int) {
	t.Helper()
	llmtest.Until(t, "the models", func() bool { return len(u.Models()) == n })
}

// TestModelsHaveTheirServers: a request goes to a server of its model, with that server's name of the model and its
// key. A name that no server has is refused with the known names.
func TestModelsHaveTheirServers(t *testing.T) {
	big, small, other := serving(t, "org/big-v1"), serving(t, "small", "embed"), serving(t, "org/big-v2")
	u := connect(t, Config{HealthEvery: 10 * time.Millisecond, APIKey: "all", Servers: []Server{
		{URL: big.URL, Models: map[string]string{"big": "org/big-v1"}},
		{URL: small.URL, APIKey: "own"},
		{URL: other.URL, Models: map[string]string{"big": "org/big-v2"}},
	}})
	known(t, u, 3)
	var ids []string
	for _, m := range u.Models() {
		ids = append(ids, m.ID)
	}
	if !slices.Equal(ids, []string{"big", "small", "embed"}) {
		t.Errorf("models %q", ids)
	}
	for range 4 {
		forward(t, u, `{"model":"big"}`)
	}
	forward(t, u, `{"model":"embed"}`)
	big.want(t, "the first server of big", map[string]int{"org/big-v1": 2})
	other.want(t, "the second server of big", map[string]int{"org/big-v2": 2})
	small.want(t, "the server of small", map[string]int{"embed": 1})
	if big.key != "Bearer all" || small.key != "Bearer own" {
		t.Errorf("keys %q and %q", big.key, small.key)
	}
	forward(t, u, `{}`) // the first model
	if n := len(big.names()) + len(other.names()); n != 1 || len(small.names()) != 0 {
		t.Errorf("a request without a model went elsewhere: %d", n)
	}
	w, out, _ := forward(t, u, `{"model":"org/big-v1"}`)
	if !errors.Is(out.Err, llm.ErrModelNotFound) || !strings.Contains(out.Err.Error(), "big, small, embed") ||
		out.Tries != 0 || w.Body.Len() > 0 {
		t.Errorf("a name that is not for clients: %+v", out)
	}
	if ids, err := u.Of("small").Tokenize("x", true); err != nil || ids[0] != 2 {
		t.Errorf("tokens of small: %v, %v", ids, err)
	}
	if ids, err := u.Tokenize("x", true); err != nil || ids[0] != 1 {
		t.Errorf("tokens of the first model: %v, %v", ids, err)
	}
	small.Close()
	llmtest.Until(t, "a model to be missed", func() bool { return u.Fleet().Missing == 2 })
	if f := u.Fleet(); f.Models != 3 || u.Status().Ready {
		t.Errorf("%+v", f)
	}
	if _, out, _ := forward(t, u, `{"model":"big"}`); out.Err != nil {
		t.Errorf("another model: %v", out.Err)
	}
}

// TestReadyWithOneModel: with AnyModel, one model with a server is enough.
func TestReadyWithOneModel(t *testing.T) {
	a, b := serving(t, "a"), serving(t, "b")
	u := connect(t, Config{HealthEvery: 10 * time.Millisecond, AnyModel: true,
		Servers: []Server{{URL: a.URL}, {URL: b.URL}}})
	known(t, u, 2)
	a.Close()
	llmtest.Until(t, "a model to be missed", func() bool { return u.Fleet().Missing == 1 })
	if !u.Status().Ready {
		t.Error("not ready with one model of two")
	}
	b.Close()
	llmtest.Until(t, "the other one, too", func() bool { return !u.Status().Ready })
}

// TestAlikeServersTakeAnyName: a name that no server lists is passed on, and the server refuses it.
func TestAlikeServersTakeAnyName(t *testing.T) {
	a := serving(t, "a")
	u := connect(t, Config{HealthEvery: 10 * time.Millisecond, URLs: []string{a.URL, a.URL}})
	known(t, u, 1)
	forward(t, u, `{"model":"adapter"}`)
	forward(t, u, `{}`)
	a.want(t, "the server", map[string]int{"adapter": 1, "": 1})
	if n := len(u.Replicas()); n != 1 {
		t.Errorf("a URL that is there twice makes %d replicas", n)
	}
}

// chats returns a body with the given beginning and rest of a conversation.
func chats(begin, rest string) string {
	return fmt.Sprintf(`{"messages":[{"role":"system","content":"be brief"},{"role":"user","content":%q}%s]}`, begin, rest)
}

// TestConversationsStay: with prefix-affinity, all turns of a conversation go to one server, and conversations are
// distributed over all servers.
func TestConversationsStay(t *testing.T) {
	a, b, c := serving(t, "m"), serving(t, "m"), serving(t, "m")
	u := connect(t, Config{Policy: route.NameAffinity, URLs: []string{a.URL, b.URL, c.URL}})
	used := map[string]int{}
	for i := range 60 {
		home := ""
		for _, rest := range []string{"", `, {"role":"assistant","content":"yes"}, {"role":"user","content":"and?"}`} {
			_, out, _ := forward(t, u, chats(fmt.Sprint("question ", i), rest))
			if home != "" && out.Replica != home {
				t.Fatalf("conversation %d went to %s and to %s", i, home, out.Replica)
			}
			home = out.Replica
		}
		used[home]++
	}
	if len(used) != 3 {
		t.Errorf("conversations went to %v", used)
	}
}

// TestKeys: which requests belong to one conversation, and which do not.
func TestKeys(t *testing.T) {
	long := strings.Repeat("a long preamble ", 40)
	key := func(body string) uint64 {
		p, err := prepare("/v1/chat/completions", []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return p.key()
	}
	for _, same := range [][2]string{
		{chats("q", ""), strings.ReplaceAll(chats("q", `,{"role":"assistant","content":"a"}`), ",", " , ")},
		{`{"prompt":"` + long + `x"}`, `{"prompt":"` + long + `y and more"}`},
		{`{"prompt":"short"}`, `{"prompt":"short","temperature":1}`},
		{`{"prompt":[1,2,3]}`, `{"prompt":[1, 2, 3]}`},
		{`{"input":"q"}`, `{"input":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}`},
		{`{"prompt_cache_key":"k","prompt":"a"}`, `{"prompt_cache_key":"k","prompt":"b"}`},
		{`{"system":"s","messages":[{"role":"user","content":"q"}]}`,
			`{"system":"s","messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}`},
		{`{}`, `{"model":"m"}`},
	} {
		if key(same[0]) != key(same[1]) {
			t.Errorf("%s and %s are two conversations", same[0], same[1])
		}
	}
	for _, apart := range [][2]string{
		{chats("q", ""), chats("r", "")}, {`{"prompt":"a"}`, `{"prompt":"b"}`},
		{`{"model":"m","prompt":"a"}`, `{"model":"n","prompt":"a"}`},
		{`{"system":"s","messages":[{"role":"user","content":"q"}]}`,
			`{"system":"t","messages":[{"role":"user","content":"q"}]}`},
		{`{"prompt_cache_key":"k","prompt":"a"}`, `{"prompt_cache_key":"l","prompt":"a"}`},
		{`{"prompt_cache_key":"","prompt":"a"}`, `{"prompt_cache_key":"","prompt":"b"}`},
	} {
		if key(apart[0]) == key(apart[1]) {
			t.Errorf("%s and %s are one conversation", apart[0], apart[1])
		}
	}
	if key(`{}`) != 0 {
		t.Error("a request without a prompt has a key")
	}
}

// TestCanaryByCaller: all requests of a caller go to one version.
func TestCanaryByCaller(t *testing.T) {
	a, b := serving(t, "m"), serving(t, "m")
	u := connect(t, Config{CanaryBy: CanaryByCaller, Servers: []Server{{URL: a.URL, Any: true},
		{URL: b.URL, Any: true, Share: 0.3}}})
	canary := 0
	for i := range 200 {
		last := ""
		for range 2 {
			ctx := WithCaller(t.Context(), fmt.Sprint("caller ", i))
			r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", nil)
			out := u.Forward(httptest.NewRecorder(), r, "/v1/completions", []byte(`{}`), func(*Outcome) {})
			if last != "" && out.Replica != last {
				t.Fatalf("caller %d went to %s and to %s", i, last, out.Replica)
			}
			if last = out.Replica; "http://"+last == b.URL {
				canary++
			}
		}
	}
	if canary < 2*40 || canary > 2*80 {
		t.Errorf("%d of 400 requests went to the canary of 30 %%", canary)
	}
}

// TestAnswersThatNeverBegan: they are requested again, even if their header had come.
func TestAnswersThatNeverBegan(t *testing.T) {
	for name, bad := range map[string]http.HandlerFunc{
		"a stream": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.Header().Set("X-Ratelimit-Limit-Requests", "7")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		},
		"a whole answer": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Ratelimit-Limit-Requests", "7")
			io.WriteString(w, wholeAnswer[:9])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		},
		"no JSON": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Ratelimit-Limit-Requests", "7")
			io.WriteString(w, "<html>")
		},
	} {
		good := sendWhole(200, wholeAnswer)
		if name == "a stream" {
			good = sendStream(streamed+usageChunk+"data: [DONE]\n\n", 100)
		}
		u := connect(t, Config{}, newFake(t, bad), newFake(t, good))
		w, out, reports := forward(t, u, `{"stream":`+fmt.Sprint(name == "a stream")+`}`)
		if out.Tries != 2 || out.Err != nil || reports != 1 || w.Header().Get("X-Ratelimit-Limit-Requests") != "" {
			t.Errorf("%s: %+v, %d reports, headers %v", name, out, reports, w.Header())
		}
		if f := u.Fleet(); f.Retries != 1 {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// TestNoRetriesWithoutABudget: without a budget, the first server's result is the answer.
func TestNoRetriesWithoutABudget(t *testing.T) {
	first, second := newFake(t, sendWhole(503, `{"error":{"message":"loading"}}`)), newFake(t, sendWhole(200, wholeAnswer))
	w, out, _ := forward(t, connect(t, Config{Retries: -1}, first, second), `{}`)
	if w.Code != 503 || !strings.Contains(w.Body.String(), "loading") || out.Tries != 1 {
		t.Errorf("%d %s %+v", w.Code, w.Body, out)
	}
}

// TestServersChange: a removed server finishes its stream and gets nothing new; a new one is used after its first
// successful health check; one that stays keeps its state.
func TestServersChange(t *testing.T) {
	release := make(chan struct{})
	old := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, streamed)
		w.(http.Flusher).Flush()
		select {
		case <-release:
		case <-r.Context().Done():
		}
		io.WriteString(w, usageChunk+"data: [DONE]\n\n")
	})
	kept, fresh := serving(t, "there"), serving(t, "there")
	fresh.status.Store(503)
	u := connect(t, Config{HealthEvery: 10 * time.Millisecond, HealthPath: "/health", SlowStart: time.Hour,
		Servers: []Server{{URL: kept.URL, Any: true}}})
	known(t, u, 1)
	forward(t, u, `{}`)
	first := connect(t, Config{}, old)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first.Forward(w, r, "/v1/completions", []byte(`{"stream":true}`), func(*Outcome) {})
	}))
	defer front.Close()
	resp, err := front.Client().Get(front.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadFull(resp.Body, make([]byte, len(streamed))); err != nil {
		t.Fatal(err)
	}
	if err := first.Set([]Server{{URL: kept.URL, Any: true}}); err != nil {
		t.Fatal(err)
	}
	if r := first.Replicas(); len(r) != 2 || r[1].State != route.Draining || r[1].Outstanding != 1 {
		t.Errorf("%+v", r)
	}
	for range 5 {
		if _, out, _ := forward(t, first, `{}`); "http://"+out.Replica != kept.URL {
			t.Errorf("went to %s", out.Replica)
		}
	}
	close(release)
	if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != "data: [DONE]\n\n" {
		t.Errorf("the stream of a server that was taken out ended with %q, %v", rest, err)
	}
	llmtest.Until(t, "it to be forgotten", func() bool { return len(first.Replicas()) == 1 })

	if err := u.Set([]Server{{URL: kept.URL, Any: true, Weight: 2}, {URL: fresh.URL, Any: true}}); err != nil {
		t.Fatal(err)
	}
	if len(u.Models()) != 1 {
		t.Error("a server that stays lost its models")
	}
	if r := u.Replicas(); r[0].Sent != 1 || r[0].First.Count != 1 || r[0].Weight != 2 || r[1].State != route.Down {
		t.Errorf("%+v", r)
	}
	fresh.status.Store(200)
	llmtest.Until(t, "it to begin", func() bool { return u.Replicas()[1].State == route.Starting })
	for _, bad := range [][]Server{nil, {{URL: "x"}}, {{URL: kept.URL}, {URL: kept.URL + "/"}},
		{{URL: kept.URL, Share: 2}}} {
		if err := u.Set(bad); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
	if len(u.Replicas()) != 2 {
		t.Error("a list that is not valid changed something")
	}
	if err := u.Set([]Server{{URL: kept.URL, Any: true, Drain: true}}); err != nil {
		t.Fatal(err)
	}
	if _, out, _ := forward(t, u, `{}`); !errors.Is(out.Err, llm.ErrNotReady) || u.Status().Ready {
		t.Errorf("with all servers drained: %+v", out)
	}
	u.Close()
	if err := u.Set([]Server{{URL: kept.URL}}); !errors.Is(err, llm.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestReplicasHaveNamesOfTheirOwn: replicas with the same host and port get different names.
func TestReplicasHaveNamesOfTheirOwn(t *testing.T) {
	u := connect(t, Config{URLs: []string{"http://h:1/a", "http://h:1/b", "http://i:1/c"}})
	var names []string
	for _, r := range u.Replicas() {
		names = append(names, r.Name)
	}
	if !slices.Equal(names, []string{"http://h:1/a", "http://h:1/b", "i:1"}) {
		t.Errorf("%q", names)
	}
}

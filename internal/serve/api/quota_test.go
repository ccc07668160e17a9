package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// TestQuota follows keys through minutes: each step is at its second, and what it wants is who was let in, or what
// stood against it and for how long.
func TestQuota(t *testing.T) {
	for _, test := range []struct {
		limits Limits
		trace  []string // second event → result
	}{
		{Limits{Requests: 2}, []string{
			"0 enter → in", "0 enter → in", "0 enter → requests 30s", "10 enter → requests 20s", "30 enter → in",
			"30 enter → requests 30s",
			"600 enter → in", "600 enter → in", "600 enter → requests 30s",
		}},
		{Limits{Concurrent: 1}, []string{"0 enter → in", "0 enter → concurrent 0s", "0 leave 0 0 → out",
			"0 enter → in"}},
		// 60 tokens a minute are one a second. What was reserved and not used comes back.
		{Limits{Tokens: 60}, []string{
			"0 enter → in", "0 reserve 40 → in", "0 enter → in", "0 reserve 40 → tokens 20s", "0 leave 40 10 → out",
			"0 reserve 40 → in",
			"0 leave 40 40 → out", "0 enter → in", "0 reserve 20 → tokens 10s", "10 reserve 20 → in",
		}},
		// What was used beyond is owed, and nothing is let in before it is paid.
		{Limits{Tokens: 60}, []string{"0 enter → in", "0 reserve 1 → in", "0 leave 1 90 → out",
			"0 enter → tokens 31s", "30 enter → tokens 1s", "31 enter → in"}},
		// More than a minute's tokens go when the bucket is full.
		{Limits{Tokens: 60}, []string{"0 enter → in", "0 reserve 100 → in", "0 leave 100 100 → out", "50 enter → in",
			"50 reserve 100 → tokens 50s", "100 reserve 100 → in"}},
		// A refusal spends nothing: the request is not counted where tokens are owed.
		{Limits{Requests: 1, Tokens: 60}, []string{"0 enter → in", "0 leave 0 120 → out", "61 enter → in",
			"121 enter → in"}},
		{Limits{}, []string{"0 enter → in", "0 reserve 1000000 → in", "0 enter → in"}},
	} {
		q := &quota{}
		q.adopt(test.limits)
		start := time.Now()
		for _, step := range test.trace {
			event, want, _ := strings.Cut(step, " → ")
			fields := strings.Fields(event)
			var second, a, b int
			fmt.Sscan(fields[0], &second)
			fmt.Sscan(strings.Join(fields[2:], " "), &a, &b)
			now := start.Add(time.Duration(second) * time.Second)
			got := "in"
			var e *exhausted
			switch fields[1] {
			case "enter":
				e = q.enter(now)
			case "reserve":
				e = q.reserve(now, a)
			case "leave":
				q.leave(now, a, b)
				got = "out"
			}
			if e != nil {
				got = fmt.Sprint(e.what, " ", e.wait)
			}
			if got != want {
				t.Errorf("%+v: %s, got %s", test.limits, step, got)
				break
			}
		}
	}
}

// TestQuotaHolds: whatever a client does, what it is let in with never exceeds a minute's worth and the rate since;
// what it owes is paid first, and a refusal's time is exact: just before it nothing is let in, and at it the same
// request is.
func TestQuotaHolds(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		l := Limits{Requests: rapid.IntRange(1, 700).Draw(t, "requests"),
			Tokens:     rapid.IntRange(1, 100000).Draw(t, "tokens"),
			Concurrent: rapid.IntRange(0, 5).Draw(t, "concurrent")}
		q := &quota{}
		q.adopt(l)
		start := time.Unix(0, 0)
		now := start
		entered, spent, open := 0, 0, []int{}
		allowed := func(limit int) float64 { // one more for times cut to nanoseconds
			return float64(limit)*(1+now.Sub(start).Minutes()) + 1
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(20*time.Second)).Draw(t, "later")))
			var e *exhausted
			var again func() *exhausted
			switch {
			case len(open) == 0 || rapid.Bool().Draw(t, "enter"):
				if e = q.enter(now); e == nil {
					entered++
					open = append(open, 0)
				}
				again = func() *exhausted { return q.enter(now) }
			case rapid.Bool().Draw(t, "reserve") && open[len(open)-1] == 0:
				n := rapid.IntRange(1, l.Tokens).Draw(t, "n")
				if e = q.reserve(now, n); e == nil {
					spent += n
					open[len(open)-1] = n
				}
				again = func() *exhausted { return q.reserve(now, n) }
				if e == nil && float64(spent) > allowed(l.Tokens) {
					t.Fatalf("%d tokens after %v", spent, now.Sub(start))
				}
			default:
				reserved := open[0]
				used := rapid.IntRange(0, 2*reserved+1).Draw(t, "used")
				q.leave(now, reserved, used)
				spent += used - reserved
				open = open[1:]
			}
			if float64(entered) > allowed(l.Requests) || l.Concurrent > 0 && len(open) > l.Concurrent {
				t.Fatalf("%d requests after %v, %d under way", entered, now.Sub(start), len(open))
			}
			for _, b := range []*bucket{&q.requests, &q.tokens} {
				if n := b.remaining(now); n < 0 || n > b.limit || n > 0 && b.wait(now, n) > 0 || n < b.limit &&
					b.wait(now, n+1) == 0 {
					t.Fatalf("%d remain of %d, and the wait for them is %v", n, b.limit, b.wait(now, n))
				}
			}
			if e == nil || e.wait == 0 {
				continue
			}
			saved, at := *q, now
			now = at.Add(e.wait - 1)
			if e := again(); e == nil {
				t.Fatal("let in before its time")
			}
			*q = saved
			now = at.Add(e.wait)
			// the next limit may stand against it
			if e := again(); e != nil && e.what != "tokens" && e.what != "concurrent" {
				t.Fatalf("not let in at its time: %+v", e)
			}
			*q, now = saved, at
		}
	})
}

// TestQuotaReload: what was spent is spent, under the new limit too, and keys that are gone are forgotten.
func TestQuotaReload(t *testing.T) {
	var all quotas
	now := time.Now()
	enter := func(name string, l Limits) bool {
		g, err := all.enter(now, name, l)
		g.close(now)
		return err == nil
	}
	if !enter("a", Limits{Requests: 1}) || enter("a", Limits{Requests: 1}) ||
		enter("a", Limits{Requests: 1, Tokens: 5}) || !enter("a", Limits{}) || !enter("b", Limits{Requests: 1}) {
		t.Error("one request a minute")
	}
	k, err := ParseKeys(strings.NewReader("a other-key-0123456789\n"))
	if err != nil {
		t.Fatal(err)
	}
	all.keep(k)
	if enter("a", Limits{Requests: 1}) || !enter("b", Limits{Requests: 1}) || len(all.keys) != 2 {
		t.Error("a's state was lost, or b's was kept")
	}
}

func TestParseLimits(t *testing.T) {
	const key = " alice-key-0123456789"
	for _, test := range []struct {
		file string
		want Limits
	}{
		{"alice" + key, Limits{}},
		{"alice" + key + " requests_per_minute=60 tokens_per_minute=20000 concurrent=4", Limits{60, 20000, 4}},
		{"* requests_per_minute=60 concurrent=2\nalice" + key + " concurrent=0 tokens_per_minute=1", Limits{60, 1, 0}},
		{"alice" + key + "\n* concurrent=2", Limits{Concurrent: 2}},
		{"*\nalice" + key, Limits{}},
	} {
		k, err := ParseKeys(strings.NewReader(test.file))
		if err != nil {
			t.Errorf("%s: %v", test.file, err)
			continue
		}
		if _, l, ok := k.Find("alice-key-0123456789"); !ok || l != test.want {
			t.Errorf("%s: %+v", test.file, l)
		}
	}
	for file, want := range map[string]string{
		"alice" + key + " alice-key-0123456789": "line 1: behind the key there may be " +
			"requests_per_minute, ",
		"alice" + key + " concurrent=many":                             `concurrent must be between 0 and 1000000000, got "many"`,
		"alice" + key + " concurrent=-1":                               "got \"-1\"",
		"alice" + key + " concurrent":                                  "got \"\"",
		"alice" + key + " requests_per_minute=1 requests_per_minute=2": "requests_per_minute stands twice",
		"# limits\n* concurrent=1\n* concurrent=1\nalice" + key:        "line 3: the name \"*\" stands twice",
		"* concurrent=1":    "it holds no key",
		"* secret-key\na b": "line 1: behind the key",
	} {
		if _, err := ParseKeys(strings.NewReader(file)); err == nil || !strings.Contains(err.Error(), want) ||
			strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// limited starts a service with one key and its limits, and a clock that the test moves.
func limited(t *testing.T, limits string, change ...func(*Config, *llmtest.Fake)) (f *fixture,
	later func(time.Duration)) {
	keys, err := ParseKeys(strings.NewReader("alice alice-key-0123456789 " + limits + "\nbob bob-key-0123456789\n"))
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	now := time.Now()
	f = start(t, append([]func(*Config, *llmtest.Fake){func(c *Config, _ *llmtest.Fake) {
		c.Keys = keys
		c.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	}}, change...)...)
	return f, func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) }
}

const alice = "Bearer alice-key-0123456789"

// wantLimits compares the x-ratelimit headers, in the order limit, remaining, reset.
func wantLimits(t *testing.T, h http.Header, kind, want string) {
	t.Helper()
	var got []string
	for _, part := range []string{"limit", "remaining", "reset"} {
		got = append(got, h.Get("x-ratelimit-"+part+"-"+kind))
	}
	if s := strings.TrimSpace(strings.Join(got, " ")); s != want {
		t.Errorf("%s: %q, want %q", kind, s, want)
	}
}

// TestRateLimit: a key gets what its line says and no more, answers say what is left as OpenAI's do, and other keys
// have their own.
func TestRateLimit(t *testing.T) {
	f, later := limited(t, "requests_per_minute=2")
	for _, want := range []string{"2 1 30s", "2 0 1m0s"} {
		resp, data := f.do("POST", "/v1/chat/completions", chatBody, "Authorization", alice)
		if resp.StatusCode != 200 {
			t.Fatalf("%d %s", resp.StatusCode, data)
		}
		wantLimits(t, resp.Header, "requests", want)
		wantLimits(t, resp.Header, "tokens", "")
	}
	resp, e := f.wantError("POST", "/v1/chat/completions", chatBody, 429, "", "Authorization", alice)
	if *e.Code != "rate_limit_exceeded" || e.Type != "requests" ||
		!strings.Contains(e.Message, "2 requests a minute: try again in 30s") ||
		resp.Header.Get("Retry-After") != "30" {
		t.Errorf("%+v %v", e, resp.Header)
	}
	wantLimits(t, resp.Header, "requests", "2 0 1m0s")
	f.wantError("POST", "/tokenize", `{"prompt":"a"}`, 429, "", "Authorization", alice)
	if resp, _ := f.do("GET", "/v1/models", "", "Authorization", alice); resp.StatusCode != 200 {
		t.Errorf("reading the list of models: %s", resp.Status)
	}
	if resp, _ := f.do("POST", "/v1/chat/completions", chatBody, "Authorization",
		"Bearer bob-key-0123456789"); resp.StatusCode != 200 || resp.Header.Get("x-ratelimit-limit-requests") != "" {
		t.Errorf("bob: %s %v", resp.Status, resp.Header)
	}
	later(30*time.Second - time.Millisecond)
	f.wantError("POST", "/v1/chat/completions", chatBody, 429, "", "Authorization", alice)
	later(time.Millisecond)
	if resp, _ := f.do("POST", "/v1/chat/completions", chatBody, "Authorization", alice); resp.StatusCode != 200 {
		t.Error(resp.Status)
	}
	// A reload changes the limits and keeps the state.
	keys, err := ParseKeys(strings.NewReader("alice alice-key-0123456789 requests_per_minute=4\n"))
	if err != nil {
		t.Fatal(err)
	}
	f.server.SetKeys(keys)
	resp, _ = f.wantError("POST", "/v1/chat/completions", chatBody, 429, "", "Authorization", alice)
	wantLimits(t, resp.Header, "requests", "4 0 1m0s")
}

// TestTokenLimit: an answer costs what it had, a refused request nothing, and one whose client leaves what was
// computed.
func TestTokenLimit(t *testing.T) {
	f, later := limited(t, "tokens_per_minute=100")
	ask := func(fields string, status int) *http.Response {
		t.Helper()
		resp, data := f.do("POST", "/v1/chat/completions", with(fields), "Authorization", alice)
		if resp.StatusCode != status {
			t.Fatalf("%s: %d %s", fields, resp.StatusCode, data)
		}
		return resp
	}
	remain := func(n int) string { return fmt.Sprint(n) }
	// What is refused as invalid reserves its body's bytes / 4 and the tokens it asks for, and shows what is left
	// beside that.
	const probe = `"temperature":9,"max_tokens":1`
	beside := len(with(probe))/bytesPerToken + 1
	left := func() string { return ask(probe, 400).Header.Get("x-ratelimit-remaining-tokens") }
	if got := left(); got != remain(100-beside) {
		t.Errorf("%s remain at first", got)
	}
	if got := left(); got != remain(100-beside) {
		t.Errorf("%s remain after one that was refused", got)
	}
	ask(`"max_tokens":2,"ignore_eos":true`, 200) // 29 + 2 tokens
	llmtest.Until(t, "it is settled", func() bool { return left() == remain(100-31-beside) })
	// 30 tokens would fit, and with n = 2 they do not.
	resp := ask(`"max_tokens":30,"n":2`, 429)
	if resp.Header.Get("Retry-After") == "" || resp.Header.Get("Retry-After") == "0" {
		t.Errorf("%v", resp.Header)
	}
	wantLimits(t, resp.Header, "tokens", "100 69 18.6s")
	// Streams cost the same, and what nobody waited for too.
	reached := make(chan struct{})
	f.fake.Step = func(ctx context.Context, _ *llm.Request, i int) error {
		if i == 5 {
			close(reached)
			<-ctx.Done()
		}
		return nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-reached; cancel() }()
	r, err := http.NewRequestWithContext(ctx, "POST", f.http.URL+"/v1/chat/completions",
		strings.NewReader(with(`"stream":true,"max_tokens":10`)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", alice)
	if resp, err := f.http.Client().Do(r); err == nil { // its headers come with the first token
		<-reached
		resp.Body.Close()
	}
	// Its prompt was counted by its bytes, as no usage came.
	prompt := len(with(`"stream":true,"max_tokens":10`)) / bytesPerToken
	llmtest.Until(t, "it is settled", func() bool { return left() == remain(100-31-prompt-5-beside) })
	f.fake.Step = nil
	later(time.Minute)
	ask(`"max_tokens":60`, 200)
}

// TestConcurrencyLimit: a key has so many requests under way and no more, and gets its place back however one ends.
func TestConcurrencyLimit(t *testing.T) {
	f, _ := limited(t, "concurrent=2")
	release := make(chan struct{})
	f.fake.Step = func(ctx context.Context, _ *llm.Request, _ int) error {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return nil
	}
	var group sync.WaitGroup
	ctx, leave := context.WithCancel(t.Context())
	for i := range 2 {
		group.Go(func() {
			ctx := ctx
			if i == 1 {
				ctx = t.Context()
			}
			r, err := http.NewRequestWithContext(ctx, "POST", f.http.URL+"/v1/chat/completions",
				strings.NewReader(chatBody))
			if err != nil {
				t.Error(err)
				return
			}
			r.Header.Set("Authorization", alice)
			if resp, err := f.http.Client().Do(r); err == nil {
				resp.Body.Close()
			}
		})
	}
	llmtest.Until(t, "both run", func() bool { return f.fake.Status().Running == 2 })
	for _, path := range []string{"/v1/chat/completions", "/v1/completions", "/tokenize"} {
		resp, e := f.wantError("POST", path, chatBody, 429, "", "Authorization", alice)
		if *e.Code != "concurrency_limit_exceeded" || resp.Header.Get("Retry-After") != "1" {
			t.Errorf("%+v", e)
		}
	}
	leave()
	llmtest.Until(t, "one has left", func() bool {
		resp, _ := f.do("POST", "/tokenize", `{"prompt":"a"}`, "Authorization", alice)
		return resp.StatusCode == 200
	})
	close(release)
	group.Wait()
	for range 5 {
		f.wantError("POST", "/v1/chat/completions", "{", 400, "", "Authorization", alice)
		if resp, _ := f.do("POST", "/v1/chat/completions", chatBody, "Authorization", alice); resp.StatusCode != 200 {
			t.Error(resp.Status)
		}
	}
}

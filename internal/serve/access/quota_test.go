package access

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
)

// TestQuota follows keys through minutes: each step has its second, and the result is either admission, or the limit
// that was reached and the time to wait.
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
		// 60 tokens a minute are one a second. Tokens that were reserved and not used come back.
		{Limits{Tokens: 60}, []string{
			"0 enter → in", "0 reserve 40 → in", "0 enter → in", "0 reserve 40 → tokens 20s", "0 leave 40 10 → out",
			"0 reserve 40 → in",
			"0 leave 40 40 → out", "0 enter → in", "0 reserve 20 → tokens 10s", "10 reserve 20 → in",
		}},
		// Tokens that were used beyond the reservation are owed, and nothing is admitted before they are paid.
		{Limits{Tokens: 60}, []string{"0 enter → in", "0 reserve 1 → in", "0 leave 1 90 → out",
			"0 enter → tokens 31s", "30 enter → tokens 1s", "31 enter → in"}},
		// More than a minute's tokens are admitted when the bucket is full.
		{Limits{Tokens: 60}, []string{"0 enter → in", "0 reserve 100 → in", "0 leave 100 100 → out", "50 enter → in",
			"50 reserve 100 → tokens 50s", "100 reserve 100 → in"}},
		// A refusal spends nothing: the request is not counted while tokens are owed.
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
			var e *QuotaError
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
				got = fmt.Sprint(e.Kind, " ", e.Wait)
			}
			if got != want {
				t.Errorf("%+v: %s, got %s", test.limits, step, got)
				break
			}
		}
	}
}

// TestQuotaHolds: whatever a client does, what it is admitted with never exceeds a minute's amount and the rate since
// then. What it owes is paid first. The time in a refusal is exact: just before it nothing is admitted, and at it the
// same request is.
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
		allowed := func(limit int) float64 { // one more, since times are rounded down to nanoseconds
			return float64(limit)*(1+now.Sub(start).Minutes()) + 1
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(20*time.Second)).Draw(t, "later")))
			var e *QuotaError
			var again func() *QuotaError
			switch {
			case len(open) == 0 || rapid.Bool().Draw(t, "enter"):
				if e = q.enter(now); e == nil {
					entered++
					open = append(open, 0)
				}
				again = func() *QuotaError { return q.enter(now) }
			case rapid.Bool().Draw(t, "reserve") && open[len(open)-1] == 0:
				n := rapid.IntRange(1, l.Tokens).Draw(t, "n")
				if e = q.reserve(now, n); e == nil {
					spent += n
					open[len(open)-1] = n
				}
				again = func() *QuotaError { return q.reserve(now, n) }
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
			if e == nil || e.Wait == 0 {
				continue
			}
			saved, at := *q, now
			now = at.Add(e.Wait - 1)
			if e := again(); e == nil {
				t.Fatal("let in before its time")
			}
			*q = saved
			now = at.Add(e.Wait)
			// another limit may refuse it now
			if e := again(); e != nil && e.Kind != KindTokens && e.Kind != KindConcurrent {
				t.Fatalf("not let in at its time: %+v", e)
			}
			*q, now = saved, at
		}
	})
}

// TestQuotaReload: what was spent stays spent under the new limit, and keys that were removed are forgotten.
func TestQuotaReload(t *testing.T) {
	var all quotas
	now := time.Now()
	enter := func(name string, l Limits) bool {
		g, err := all.enter(now, name, l)
		g.Close(now)
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
		"alice" + key + " alice-key-0123456789": "line 1: after the key only limits may follow: " +
			"requests_per_minute, ",
		"alice" + key + " concurrent=many":                             `concurrent must be between 0 and 1000000000, got "many"`,
		"alice" + key + " concurrent=-1":                               "got \"-1\"",
		"alice" + key + " concurrent":                                  "got \"\"",
		"alice" + key + " requests_per_minute=1 requests_per_minute=2": "requests_per_minute is given twice",
		"# limits\n* concurrent=1\n* concurrent=1\nalice" + key:        "line 3: the name \"*\" is given twice",
		"* concurrent=1":    "it has no keys",
		"* secret-key\na b": "line 1: after the key",
	} {
		if _, err := ParseKeys(strings.NewReader(file)); err == nil || !strings.Contains(err.Error(), want) ||
			strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", file, err)
		}
	}
}

package loadgen

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// Conversations of three turns with pauses of 30 ms, in both kinds of loop: each turn is sent when it is due after the
// previous answer, and in the open loop none is omitted.
func TestConversationsGoOnAfterTheirAnswers(t *testing.T) {
	s, err := NewNullServer(NullOptions{Tokens: 3, Interval: 2 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const think = 30 * time.Millisecond
	for _, kind := range []testcases.Kind{testcases.KindOpen, testcases.KindClosed} {
		c, err := NewClient(s.URL(), ClientOptions{})
		if err != nil {
			t.Fatal(err)
		}
		job := func(session string, turn int) Job {
			return Job{Prompt: session, Session: session, Turn: turn, MaxTokens: 3, KeepText: true, Forget: true,
				Body: fmt.Appendf(nil, `{"model":"null","user":"%s %s %d","stream":true,"messages":[{"role":"user",`+
					`"content":"hello"}]}`, kind, session, turn)}
		}
		var mu sync.Mutex
		texts := 0
		got := map[string][]evidence.Request{}
		seen := map[int]bool{}
		p := Plan{ID: "talk", Kind: kind, Offsets: Constant(50, 0, 10), Concurrency: 4, Requests: 30,
			Make: func(n int) Job { return job(fmt.Sprint("s", n), 0) },
			Then: func(q *evidence.Request) (Job, time.Duration, bool) {
				mu.Lock()
				defer mu.Unlock()
				if q.Text != "" {
					texts++
				}
				return job(q.Session, q.Turn+1), think, q.Turn < 2
			},
			Sink: func(q evidence.Request) {
				if q.Text != "" || !q.OK() || q.MaxTokens != 3 || seen[q.N] {
					t.Errorf("record %+v", q)
				}
				seen[q.N] = true
				got[q.Session] = append(got[q.Session], q)
			}}
		rec, err := Run(t.Context(), c, time.Now(), p)
		c.Close()
		if err != nil {
			t.Fatal(err)
		}
		if rec.Issued != rec.Planned || rec.Issued < 30 || texts == 0 ||
			kind == testcases.KindOpen && rec.Issued != 30 {
			t.Errorf("%s: %d issued of %d, %d texts", kind, rec.Issued, rec.Planned, texts)
		}
		for session, turns := range got {
			// a turn's record may come after that of the next turn, which its end has started
			slices.SortFunc(turns, func(a, b evidence.Request) int { return cmp.Compare(a.Issued, b.Issued) })
			if kind == testcases.KindOpen && len(turns) != 3 {
				t.Errorf("%s: session %s has %d turns, want 3", kind, session, len(turns))
			}
			for i, q := range turns {
				if q.Turn != i {
					t.Errorf("%s: session %s: turn %d was sent as number %d", kind, session, q.Turn, i)
				}
				if i == 0 {
					continue
				}
				if after := time.Duration(q.Scheduled - turns[i-1].End()); after != think {
					t.Errorf("%s: a turn was due %s after its answer, want %s", kind, after, think)
				}
				if q.Issued < q.Scheduled {
					t.Errorf("%s: a turn was sent before it was due", kind)
				}
			}
		}
	}
}

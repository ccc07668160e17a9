package engine

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/infer/kvcache"
)

var update = flag.Bool("update", false, "write what the scheduler does into testdata/sched")

// world is a scheduler with a model that only remembers: what stands in which slot of which block.
type world struct {
	*scheduler
	// of block and slot: all tokens up to this position, as the model would have computed them
	slots map[[2]int32]string
	seqs  map[string]*seq
	plan  decisions
}

func newWorld(running, waiting, blockTokens, context, blocks int) *world {
	return &world{
		scheduler: newScheduler(limits{running: running, waiting: waiting, blockTokens: blockTokens,
			context: context}, kvcache.NewPool(blocks)),
		slots: map[[2]int32]string{}, seqs: map[string]*seq{},
	}
}

// compute does what the loop does with a plan, and checks that every position a span attends to has been computed for
// exactly these tokens.
func (w *world) compute(next func(*seq) int32) (done []*seq, err error) {
	for _, sp := range w.plan.spans {
		q := sp.q
		if q.state != seqRunning {
			continue // withdrawn while the step ran
		}
		all := append(slices.Clone(q.tokens[:sp.start]), sp.tokens()...)
		for pos := range all {
			at := [2]int32{q.blocks[pos/w.blockTokens], int32(pos % w.blockTokens)}
			content := fmt.Sprint(all[:pos+1])
			if pos >= sp.start {
				w.slots[at] = content
			} else if w.slots[at] != content {
				return nil, fmt.Errorf("sequence %d attends to position %d, whose block has %s, want %s", q.id, pos,
					w.slots[at], content)
			}
		}
		last := false
		for i := range sp.logits {
			id := next(q)
			if last = w.push(q, id); last || i == sp.draft || id != q.draft[i] {
				break
			}
			sp.n++
		}
		w.advance(sp)
		if last {
			w.remove(q)
			done = append(done, q)
		}
	}
	return done, w.check()
}

func (w *world) name(q *seq) string {
	for name, s := range w.seqs {
		if s == q {
			return name
		}
	}
	return "?"
}

func (w *world) names(list []*seq) string {
	var names []string
	for _, q := range list {
		names = append(names, w.name(q))
	}
	return strings.Join(names, " ")
}

// act does one line of a story and gives what there is to tell.
func (w *world) act(t *testing.T, line string) (told []string) {
	t.Helper()
	say := func(format string, args ...any) { told = append(told, "  "+fmt.Sprintf(format, args...)) }
	f := strings.Fields(line)
	number := func(i int) (n int) {
		if _, err := fmt.Sscan(f[i], &n); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		return n
	}
	switch f[0] {
	case "submit": // submit NAME TOKENS [max N] [like NAME SHARED]
		name, tokens, most := f[1], make([]int32, number(2)), 0
		for i := range tokens {
			tokens[i] = int32(1000*int(name[0]) + i)
		}
		for i := 3; i < len(f); i++ {
			switch f[i] {
			case "max":
				most = number(i + 1)
			case "like":
				copy(tokens[:number(i+2)], w.seqs[f[i+1]].tokens)
			}
		}
		q, err := w.submit(tokens, most)
		if err != nil {
			say("refused: %v", err)
			break
		}
		w.seqs[name] = q
	case "guess": // guess NAME TOKEN…; the model's next token is always the number of tokens before it
		q := w.seqs[f[1]]
		q.draft = q.draft[:0]
		for i := range f[2:] {
			q.draft = append(q.draft, int32(number(i+2)))
		}
	case "cancel":
		w.remove(w.seqs[f[1]])
	case "plan":
		w.plan = w.scheduler.plan(number(1))
		for _, q := range w.plan.preempted {
			say("%s gives its blocks up", w.name(q))
		}
		for _, q := range w.plan.admitted {
			say("%s starts%s", w.name(q), map[bool]string{true: fmt.Sprintf(", %d tokens known",
				q.cached)}[q.cached > 0])
		}
		for _, sp := range w.plan.spans {
			guesses := ""
			if sp.draft > 0 {
				guesses = fmt.Sprintf(", %d guessed", sp.draft)
			}
			say("%s: %d+%d%s%s", w.name(sp.q), sp.start, sp.n, guesses,
				map[bool]string{true: ", next token"}[sp.logits > 0])
		}
	case "compute":
		for _, q := range w.seqs {
			defer func() { q.draft = nil }()
		}
		done, err := w.compute(func(q *seq) int32 { return int32(len(q.tokens)) })
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
		for _, q := range done {
			say("%s is done", w.name(q))
		}
	case "step":
		told = append(w.act(t, "plan "+f[1]), w.act(t, "compute")...)
	case "steps": // as many as it takes
		n := 0
		for ; !w.idle() && n < 1000; n++ {
			w.act(t, "step "+f[1])
		}
		say("idle after %d steps", n)
	case "show":
		say("running: %s", w.names(w.running))
		say("waiting: %s", w.names(w.waiting))
		say("blocks: %d held, %d kept, %d free", w.pool.Held(), w.pool.Cached(), w.pool.Available()-w.pool.Cached())
	default:
		t.Fatalf("%s: unknown", line)
	}
	if err := w.check(); err != nil {
		t.Errorf("%s: %v", line, err)
	}
	return told
}

// TestStories replays testdata/sched: a line at the margin is an event, the indented ones below are what comes of it.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/sched/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var w *world
			var got strings.Builder
			for line := range strings.Lines(string(want)) {
				line = strings.TrimRight(line, "\n")
				if strings.HasPrefix(line, "  ") {
					continue
				}
				fmt.Fprintln(&got, line)
				event, _, _ := strings.Cut(line, "#")
				event = strings.TrimSpace(event)
				var running, waiting, blockTokens, context, blocks int
				switch n, _ := fmt.Sscanf(event, "limits: %d running, %d waiting, %d blocks of %d tokens, context %d",
					&running, &waiting, &blocks, &blockTokens, &context); {
				case n == 5:
					w = newWorld(running, waiting, blockTokens, context, blocks)
				case event != "":
					for _, told := range w.act(t, event) {
						fmt.Fprintln(&got, told)
					}
				}
			}
			if *update {
				if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if d := cmp.Diff(string(want), got.String()); d != "" && !*update {
				t.Error(d)
			}
		})
	}
}

// TestSchedulerKeepsItsPromises throws random events at small schedulers. After each, the books balance, and what is
// attended to is what was computed. In the end everything is answered, in bounded time, and no block is lost.
func TestSchedulerKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blockTokens := rapid.IntRange(1, 4).Draw(t, "block tokens")
		blocks := rapid.IntRange(1, 12).Draw(t, "blocks")
		w := newWorld(rapid.IntRange(1, 4).Draw(t, "running"), rapid.IntRange(0, 4).Draw(t, "waiting"), blockTokens,
			rapid.IntRange(2, 40).Draw(t, "context"), blocks)
		var live []*seq
		submitted, answered := 0, 0
		step := func() {
			budget := rapid.IntRange(1, 10).Draw(t, "budget")
			for _, q := range w.running {
				q.draft = rapid.SliceOfN(rapid.Int32Range(0, 1), 0, 5).Draw(t, "draft")
			}
			w.plan = w.scheduler.plan(budget)
			prompt, seen := 0, map[*seq]bool{}
			for i, sp := range w.plan.spans {
				if seen[sp.q] || sp.n < 1 {
					t.Fatalf("span %d of %d tokens, seen before: %v", i, sp.n, seen[sp.q])
				}
				seen[sp.q] = true
				if sp.n > 1 {
					prompt += sp.n
				}
			}
			if prompt > budget {
				t.Fatalf("%d prompt tokens in a budget of %d", prompt, budget)
			}
			if len(w.plan.spans) == 0 && !w.idle() {
				t.Fatal("nothing to compute, though somebody waits")
			}
			if len(w.running) > 0 && !seen[w.running[0]] {
				t.Fatal("the oldest does not progress")
			}
			if len(live) > 0 && rapid.IntRange(0, 9).Draw(t, "cancel") == 0 { // while the step runs
				i := rapid.IntRange(0, len(live)-1).Draw(t, "which")
				w.remove(live[i])
				live = slices.Delete(live, i, i+1)
				submitted--
			}
			done, err := w.compute(func(*seq) int32 { return rapid.Int32Range(0, 1).Draw(t, "token") })
			if err != nil {
				t.Fatal(err)
			}
			for _, q := range done {
				live = slices.DeleteFunc(live, func(x *seq) bool { return x == q })
				answered++
				if n := len(q.tokens) - q.prompt; n != q.max {
					t.Fatalf("%d tokens, want %d", n, q.max)
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"submit": func(*rapid.T) {
				tokens := rapid.SliceOfN(rapid.Int32Range(0, 1), 0, 20).Draw(t, "prompt")
				q, err := w.submit(tokens, rapid.IntRange(0, 6).Draw(t, "max"))
				fits := len(tokens) > 0 && len(tokens) < w.context &&
					len(w.running)+len(w.waiting) <= w.limits.running+w.limits.waiting
				if err == nil {
					live = append(live, q)
					submitted++
				}
				if (err == nil) != fits &&
					!(err != nil && len(w.running)+len(w.waiting) == w.limits.running+w.limits.waiting) {
					t.Fatalf("%d tokens in a context of %d: %v", len(tokens), w.context, err)
				}
			},
			"step": func(*rapid.T) { step() },
			"": func(*rapid.T) {
				if err := w.check(); err != nil {
					t.Fatal(err)
				}
			},
		})
		for n := 0; !w.idle(); n++ {
			if n > 10000 {
				t.Fatalf("not done after %d steps: %d run, %d wait", n, len(w.running), len(w.waiting))
			}
			step()
		}
		if answered != submitted || w.pool.Held() != 0 {
			t.Fatalf("%d of %d answered, %d blocks held", answered, submitted, w.pool.Held())
		}
	})
}

// TestCheckFindsMistakes: the books' check is worth something.
func TestCheckFindsMistakes(t *testing.T) {
	for name, spoil := range map[string]func(*world){
		"order":   func(w *world) { slices.Reverse(w.running) },
		"state":   func(w *world) { w.running[0].state = seqGone },
		"blocks":  func(w *world) { w.running[0].blocks = w.running[0].blocks[:1] },
		"waiting": func(w *world) { w.waiting[0].computed = 1 },
		"limit":   func(w *world) { w.limits.running = 1 },
		"leak":    func(w *world) { w.pool.Alloc() },
	} {
		w := newWorld(2, 2, 4, 32, 16)
		for _, line := range []string{"submit a 10", "submit b 10", "submit c 3", "step 16"} {
			w.act(t, line)
		}
		if err := w.check(); err != nil {
			t.Fatal(err)
		}
		spoil(w)
		if w.check() == nil {
			t.Errorf("%s: not found", name)
		}
	}
}

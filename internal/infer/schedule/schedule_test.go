package schedule

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

	"github.com/hxp-enterprise/mixtral/internal/base/property"
	"github.com/hxp-enterprise/mixtral/internal/infer/kvcache"
)

var update = flag.Bool("update", false, "write what the scheduler does into testdata/stories")

// world is a scheduler with a model that only remembers: what stands in which slot of which block.
type world struct {
	*Scheduler
	// of block and slot: all tokens up to this position, as the model would have computed them
	slots map[[2]int32]string
	seqs  map[string]*Seq
	plan  Decisions
	// of sequences that want it: for how many of the prompt's tokens it is known how likely they are
	scored map[*Seq]map[int]bool
}

func newWorld(running, waiting, blockTokens, context, blocks int) *world {
	return &world{
		Scheduler: New(Limits{Running: running, Waiting: waiting, BlockTokens: blockTokens,
			Context: context}, kvcache.NewPool(blocks)),
		slots: map[[2]int32]string{}, seqs: map[string]*Seq{}, scored: map[*Seq]map[int]bool{},
	}
}

// compute does what the loop does with a plan, and checks that every position a span attends to has been computed for
// exactly these tokens.
func (w *world) compute(next func(*Seq) int32) (done []*Seq, err error) {
	for _, sp := range w.plan.Spans {
		q := sp.Seq
		if q.state != seqRunning {
			continue // withdrawn while the step ran
		}
		all := append(slices.Clone(q.Tokens[:sp.Start]), sp.Tokens()...)
		for pos := range all {
			at := [2]int32{q.Blocks[pos/w.limits.BlockTokens], int32(pos % w.limits.BlockTokens)}
			content := fmt.Sprint(all[:pos+1])
			if pos >= sp.Start {
				w.slots[at] = content
			} else if w.slots[at] != content {
				return nil, fmt.Errorf("sequence %d attends to position %d, whose block has %s, want %s", q.id, pos,
					w.slots[at], content)
			}
		}
		for i := range sp.Scores {
			w.scored[q][sp.Start+i+1] = true
		}
		if q.Score && sp.Logits > sp.Scores {
			for i := 1; i < q.Prompt; i++ {
				if !w.scored[q][i] {
					return nil, fmt.Errorf("sequence %d begins its answer, and token %d has no row", q.id, i)
				}
			}
			q.Score = false
		}
		last := false
		for i := range sp.Logits - sp.Scores {
			id := next(q)
			if last = w.Push(q, id); last || i == sp.Draft || id != q.Draft[i] {
				break
			}
			sp.N++
		}
		w.Advance(sp)
		if last {
			w.Remove(q)
			done = append(done, q)
		}
	}
	return done, w.Check()
}

func (w *world) name(q *Seq) string {
	for name, s := range w.seqs {
		if s == q {
			return name
		}
	}
	return "?"
}

func (w *world) names(list []*Seq) string {
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
	case "submit": // submit NAME TOKENS [max N] [like NAME SHARED] [scope NAME]
		name, tokens, most := f[1], make([]int32, number(2)), 0
		var root kvcache.Key
		for i := range tokens {
			tokens[i] = int32(1000*int(name[0]) + i)
		}
		for i := 3; i < len(f); i++ {
			switch f[i] {
			case "max":
				most = number(i + 1)
			case "like":
				copy(tokens[:number(i+2)], w.seqs[f[i+1]].Tokens)
			case "scope":
				root = kvcache.Scope(f[i+1])
			}
		}
		q, err := w.SubmitScoped(root, tokens, most)
		if err != nil {
			say("refused: %v", err)
			break
		}
		w.seqs[name] = q
	case "guess": // guess NAME TOKEN…; the model's next token is always the number of tokens before it
		q := w.seqs[f[1]]
		q.Draft = q.Draft[:0]
		for i := range f[2:] {
			q.Draft = append(q.Draft, int32(number(i+2)))
		}
	case "cancel":
		w.Remove(w.seqs[f[1]])
	case "plan":
		w.plan = w.Scheduler.Plan(number(1))
		for _, q := range w.plan.Preempted {
			say("%s gives its blocks up", w.name(q))
		}
		for _, q := range w.plan.Admitted {
			say("%s starts%s", w.name(q), map[bool]string{true: fmt.Sprintf(", %d tokens known",
				q.Cached)}[q.Cached > 0])
		}
		for _, sp := range w.plan.Spans {
			guesses := ""
			if sp.Draft > 0 {
				guesses = fmt.Sprintf(", %d guessed", sp.Draft)
			}
			say("%s: %d+%d%s%s", w.name(sp.Seq), sp.Start, sp.N, guesses,
				map[bool]string{true: ", next token"}[sp.Logits > 0])
		}
	case "compute":
		for _, q := range w.seqs {
			defer func() { q.Draft = nil }()
		}
		done, err := w.compute(func(q *Seq) int32 { return int32(len(q.Tokens)) })
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
		for ; !w.Idle() && n < 1000; n++ {
			w.act(t, "step "+f[1])
		}
		say("idle after %d steps", n)
	case "show":
		say("running: %s", w.names(w.running))
		say("waiting: %s", w.names(w.waiting))
		say("blocks: %d held, %d kept, %d free", w.Pool.Held(), w.Pool.Cached(), w.Pool.Available()-w.Pool.Cached())
	default:
		t.Fatalf("%s: unknown", line)
	}
	if err := w.Check(); err != nil {
		t.Errorf("%s: %v", line, err)
	}
	return told
}

// TestStories replays testdata/stories: a line at the margin is an event, the indented ones below are what comes of
// it.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/stories/*.txt")
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

// TestSchedulerKeepsItsPromises throws random events at small schedulers. After each, the books balance, and
// what is attended to is what was computed, within one scope. In the end everything is answered, in bounded time, and
// no block is lost.
func TestSchedulerKeepsItsPromises(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		blockTokens := rapid.IntRange(1, 4).Draw(t, "block tokens")
		blocks := rapid.IntRange(1, 12).Draw(t, "blocks")
		w := newWorld(rapid.IntRange(1, 4).Draw(t, "running"), rapid.IntRange(0, 4).Draw(t, "waiting"), blockTokens,
			rapid.IntRange(2, 40).Draw(t, "context"), blocks)
		w.most = rapid.IntRange(1, 6).Draw(t, "scores")
		var live []*Seq
		submitted, answered := 0, 0
		step := func() {
			budget := rapid.IntRange(1, 10).Draw(t, "budget")
			for _, q := range w.running {
				q.Draft = rapid.SliceOfN(rapid.Int32Range(0, 1), 0, 5).Draw(t, "draft")
			}
			w.plan = w.Scheduler.Plan(budget)
			prompt, seen := 0, map[*Seq]bool{}
			for i, sp := range w.plan.Spans {
				if seen[sp.Seq] || sp.N < 1 {
					t.Fatalf("span %d of %d tokens, seen before: %v", i, sp.N, seen[sp.Seq])
				}
				seen[sp.Seq] = true
				if sp.N > 1 {
					prompt += sp.N
				}
			}
			if prompt > budget {
				t.Fatalf("%d prompt tokens in a budget of %d", prompt, budget)
			}
			if len(w.plan.Spans) == 0 && !w.Idle() {
				t.Fatal("nothing to compute, though somebody waits")
			}
			if len(w.running) > 0 && !seen[w.running[0]] {
				t.Fatal("the oldest does not progress")
			}
			if len(live) > 0 && rapid.IntRange(0, 9).Draw(t, "cancel") == 0 { // while the step runs
				i := rapid.IntRange(0, len(live)-1).Draw(t, "which")
				w.Remove(live[i])
				live = slices.Delete(live, i, i+1)
				submitted--
			}
			done, err := w.compute(func(*Seq) int32 { return rapid.Int32Range(0, 1).Draw(t, "token") })
			if err != nil {
				t.Fatal(err)
			}
			for _, q := range done {
				live = slices.DeleteFunc(live, func(x *Seq) bool { return x == q })
				answered++
				if n := len(q.Tokens) - q.Prompt; n != q.max {
					t.Fatalf("%d tokens, want %d", n, q.max)
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"submit": func(*rapid.T) {
				tokens := rapid.SliceOfN(rapid.Int32Range(0, 1), 0, 20).Draw(t, "prompt")
				scope := kvcache.Scope(rapid.SampledFrom([]string{"", "red", "blue"}).Draw(t, "scope"))
				q, err := w.SubmitScoped(scope, tokens, rapid.IntRange(0, 6).Draw(t, "max"))
				fits := len(tokens) > 0 && len(tokens) < w.limits.Context &&
					len(w.running)+len(w.waiting) <= w.limits.Running+w.limits.Waiting
				if err == nil {
					if q.Score = rapid.Bool().Draw(t, "score"); q.Score {
						w.scored[q] = map[int]bool{}
					}
					live = append(live, q)
					submitted++
				}
				if (err == nil) != fits &&
					!(err != nil && len(w.running)+len(w.waiting) == w.limits.Running+w.limits.Waiting) {
					t.Fatalf("%d tokens in a context of %d: %v", len(tokens), w.limits.Context, err)
				}
			},
			"step": func(*rapid.T) { step() },
			"": func(*rapid.T) {
				if err := w.Check(); err != nil {
					t.Fatal(err)
				}
				scopes := map[int32]kvcache.Key{}
				for _, q := range w.running {
					for _, b := range q.Blocks {
						if other, ok := scopes[b]; ok && other != q.root {
							t.Fatalf("block %d is shared by two scopes", b)
						}
						scopes[b] = q.root
					}
				}
			},
		})
		for n := 0; !w.Idle(); n++ {
			if n > 10000 {
				t.Fatalf("not done after %d steps: %d run, %d wait", n, len(w.running), len(w.waiting))
			}
			step()
		}
		if answered != submitted || w.Pool.Held() != 0 {
			t.Fatalf("%d of %d answered, %d blocks held", answered, submitted, w.Pool.Held())
		}
	})
}

// TestCheckFindsMistakes: the books' check is worth something.
func TestCheckFindsMistakes(t *testing.T) {
	for name, spoil := range map[string]func(*world){
		"order":   func(w *world) { slices.Reverse(w.running) },
		"state":   func(w *world) { w.running[0].state = seqGone },
		"blocks":  func(w *world) { w.running[0].Blocks = w.running[0].Blocks[:1] },
		"waiting": func(w *world) { w.waiting[0].Computed = 1 },
		"limit":   func(w *world) { w.limits.Running = 1 },
		"leak":    func(w *world) { w.Pool.Alloc() },
	} {
		w := newWorld(2, 2, 4, 32, 16)
		for _, line := range []string{"submit a 10", "submit b 10", "submit c 3", "step 16"} {
			w.act(t, line)
		}
		if err := w.Check(); err != nil {
			t.Fatal(err)
		}
		spoil(w)
		if w.Check() == nil {
			t.Errorf("%s: not found", name)
		}
	}
}

func BenchmarkPlan(b *testing.B) {
	w := newWorld(10, 10, 16, 4096, 4096)
	for i := range 10 {
		if _, err := w.Submit(make([]int32, 100+i), 3000); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		plan := w.Scheduler.Plan(512)
		for _, sp := range plan.Spans {
			w.Advance(sp)
			if sp.Logits > 0 && w.Push(sp.Seq, 1) {
				w.Remove(sp.Seq)
				if _, err := w.Submit(make([]int32, 100), 3000); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
}

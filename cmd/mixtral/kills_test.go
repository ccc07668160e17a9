package main

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/hxp-enterprise/mixtral/internal/base/hostile"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// killed is a command that writes one file, to be killed at any moment.
type killed struct {
	name  string
	args  func(dir string) []string // that writes dir/out
	again string                    // flag for when the file exists
}

// killedCommands only write files. The directory has in.gguf, packed.gguf, text.txt and more.
var killedCommands = []killed{
	{"pack", func(dir string) []string {
		return words("model pack %s/in.gguf %s/out --threads 1", dir, dir)
	}, "--force"},
	{"pack --undo", func(dir string) []string {
		return words("model pack %s/packed.gguf %s/out --undo --threads 1", dir, dir)
	}, "--force"},
	{"synth", func(dir string) []string { return words("model synth --preset nano --out %s/out", dir) }, ""},
	{"quantize", func(dir string) []string {
		return words("model quantize %s/in.gguf --type q4_0 --out %s/out --threads 1", dir, dir)
	}, "--force"},
	{"imatrix", func(dir string) []string {
		return words("model imatrix synth:nano --text %s/text.txt --context 32 --out %s/out --threads 1", dir,
			dir)
	}, "--resume"},
}

func words(format string, args ...any) []string { return strings.Fields(fmt.Sprintf(format, args...)) }

// TestKilledCommands kills the commands that write files at any moment: the file has its name only when it is
// complete, the next run makes the same file as an undisturbed one, and nothing is left beside it.
func TestKilledCommands(t *testing.T) {
	if testing.Short() {
		t.Skip("runs commands for half a minute")
	}
	rng, program, source := killRand(t), binary(t), t.TempDir()
	text := strings.Repeat("The quick brown fox jumps over the lazy dog. ", 25)
	if err := os.WriteFile(filepath.Join(source, "text.txt"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		words("model synth --out %s/in.gguf --dim 256 --ffn 512 --layers 2 --heads 4 --type f16", source),
		words("model pack %s/in.gguf %s/packed.gguf", source, source),
	} {
		if r := command(t, program, args...); r.code != exitOK {
			t.Fatalf("%v: %v", args, r)
		}
	}
	for _, k := range killedCommands {
		t.Run(k.name, func(t *testing.T) { k.run(t, rng, program, source) })
	}
}

func (k killed) run(t *testing.T, rng *rand.Rand, program, source string) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
		t.Fatal(err)
	}
	args, out := k.args(dir), filepath.Join(dir, "out")
	began := time.Now()
	if r := command(t, program, args...); r.code != exitOK {
		t.Fatal(r)
	}
	took := time.Since(began)
	whole, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	before := listing(t, dir)
	if err := os.Remove(out); err != nil {
		t.Fatal(err)
	}
	early, late := 0, 0
	for i := range hostile.Kills(t, 3) {
		if killAfter(t, program, args, time.Duration(rng.Int64N(int64(took)*11/10))) {
			early++
		} else {
			late++
		}
		if got, err := os.ReadFile(out); err == nil && k.again != "--resume" && !bytes.Equal(got, whole) {
			t.Fatalf("kill %d: the file is under its name and not whole", i)
		}
		if i%3 == 2 { // the next start
			k.finish(t, program, args, out, whole, before)
		}
		os.Remove(out)
	}
	k.finish(t, program, args, out, whole, before)
	hostile.Survived(t, "`model "+k.name+"`", early+late, early,
		"the next complete run writes the same bytes and leaves no other file")
}

// finish runs the command to its end: it makes the whole file and leaves nothing else.
func (k killed) finish(t *testing.T, program string, args []string, out string, whole []byte, before string) {
	t.Helper()
	if _, err := os.Stat(out); err == nil && k.again != "" {
		args = append(slices.Clone(args), k.again)
	}
	if r := command(t, program, args...); r.code != exitOK {
		t.Fatal(r)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, whole) {
		t.Error("the file differs")
	}
	if after := listing(t, filepath.Dir(out)); after != before {
		t.Errorf("left over: %s, before: %s", after, before)
	}
}

// killAfter starts the program and kills it, and says whether that was before its end.
func killAfter(t *testing.T, program string, args []string, after time.Duration) bool {
	t.Helper()
	cmd := exec.Command(program, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-time.After(after):
	case err := <-ended:
		if err != nil {
			t.Errorf("it ended by itself: %v", err)
		}
		return false
	}
	cmd.Process.Kill()
	return <-ended != nil
}

func listing(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// TestKilledRequestLog kills a service under load at any moment: its database opens, each line is there once, and as
// many as the service had counted. With MIXTRAL_KILLS it says how many requests were answered and have no line.
func TestKilledRequestLog(t *testing.T) {
	rng := killRand(t)
	path := filepath.Join(t.TempDir(), "log.db")
	answered, lost := 0, 0
	rounds := hostile.Kills(t, 4)
	for range rounds {
		before := loggedLines(t, path)
		s := startServe(t, "--set", "database_url=sqlite:"+path)
		n, counted := loadUntilKilled(t, s, time.Duration(100+rng.IntN(700))*time.Millisecond)
		after := loggedLines(t, path)
		if after-before < counted {
			t.Errorf("%d lines, the service had written %d", after-before, counted)
		}
		answered, lost = answered+n, lost+max(n-(after-before), 0)
		if after-before > n+4 { // a client may have missed the end of its answer
			t.Errorf("%d lines of %d answers", after-before, n)
		}
	}
	hostile.Survived(t, "`serve` under load, its request log", rounds, rounds,
		"the database opens, with no line twice; %d of %d answered requests without a line", lost, answered)
}

// loadUntilKilled lets four clients ask short questions, kills the service and gives the number of answers, and of
// lines that the service said it had written.
func loadUntilKilled(t *testing.T, s *servedProcess, after time.Duration) (answered, written int) {
	t.Helper()
	var answers atomic.Int64
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for {
				resp, err := http.Post(s.url+"/v1/completions", "application/json",
					strings.NewReader(`{"prompt":"hi","max_tokens":2}`))
				if err != nil {
					return // killed
				}
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if err == nil && resp.StatusCode == 200 {
					answers.Add(1)
				}
			}
		})
	}
	// opening the database takes time on a busy machine
	llmtest.Until(t, "the first line", func() bool { return s.written() > 0 })
	time.Sleep(after)
	written = int(s.written())
	s.cmd.Process.Kill()
	llmtest.Await(t, "the killed service", llmtest.Done(func() { s.cmd.Wait() }))
	llmtest.Await(t, "its clients", llmtest.Done(clients.Wait))
	return int(answers.Load()), written
}

// loggedLines counts the lines of a request log; 0 if there is none yet.
func loggedLines(t *testing.T, path string) (n int) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		return 0
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var check string
	var distinct int
	ctx := context.Background()
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check").Scan(&check); err != nil || check != "ok" {
		t.Fatalf("%s %v", check, err)
	}
	err = db.QueryRowContext(ctx, "SELECT count(*), count(DISTINCT line) FROM requests").Scan(&n, &distinct)
	if err != nil {
		if strings.Contains(err.Error(), "no such table") { // killed before it had made its tables
			return 0
		}
		t.Fatal(err)
	}
	if n != distinct {
		t.Errorf("%d lines, %d of them different", n, distinct)
	}
	return n
}

// TestKilledSave kills `report save` at any moment: the database opens, and contains the whole report or nothing of
// it.
func TestKilledSave(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a certification")
	}
	rng, program, dir := killRand(t), binary(t), t.TempDir()
	t.Setenv("MIXTRAL_DATABASE_URL", "none")
	tc, reports := filepath.Join(dir, "case.yaml"), filepath.Join(dir, "reports")
	if err := os.WriteFile(tc, []byte(killCase), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := command(t, program, "certify", tc, "--model", "synth:tiny", "--report-dir", reports); !isVerdict(r.code) {
		t.Fatal(r)
	}
	report := glob(t, reports, "performance_*.json")[0]
	path := filepath.Join(dir, "runs.db")
	t.Setenv("MIXTRAL_DATABASE_URL", "sqlite:"+path)
	began := time.Now()
	if r := command(t, program, "report", "save", report); r.code != exitOK {
		t.Fatal(r)
	}
	took := time.Since(began)
	before := listing(t, reports)
	rounds, early := hostile.Kills(t, 4), 0
	for i := range rounds {
		for _, suffix := range []string{"", "-wal", "-shm"} {
			os.Remove(path + suffix)
		}
		if killAfter(t, program, []string{"report", "save", report}, time.Duration(rng.Int64N(int64(took)*11/10))) {
			early++
		}
		list := command(t, program, "report", "list")
		if list.code != exitOK {
			t.Errorf("kill %d: %v", i, list)
		}
		if r := command(t, program, "report", "save", report); r.code != exitOK {
			t.Errorf("kill %d: %v", i, r)
		}
		if r := command(t, program, "report", "list"); r.code != exitOK || strings.Count(r.stdout, "TC-KILL") != 1 {
			t.Errorf("kill %d, saved again: %v", i, r)
		}
	}
	if after := listing(t, reports); after != before {
		t.Errorf("left over: %s, before: %s", after, before)
	}
	hostile.Survived(t, "`report save`", rounds, early,
		"the database opens, and has the whole report or none of it")
}

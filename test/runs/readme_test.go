package runs_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/web/console"
	"github.com/hxp-enterprise/mixtral/test/browser"
	"github.com/hxp-enterprise/mixtral/testcases"
)

var update = flag.Bool("update", false, "make the README's pictures anew, of a run that lasts a minute and a half")

const (
	readmeCase    = "TC-L1-COMP-MIXTRAL-003"
	docs          = "../../docs"
	pictureWidth  = 1180
	pictureHeight = 1240
)

// words are what pages say in every run of a case. Numbers are left out.
const words = `[...document.querySelectorAll("main .eyebrow, main h1, .figures .name, table.times th, table.checks thead th")]
	.map((e) => e.textContent.trim().replace(/\s+/g, " ")).join("\n") + "\n"`

// TestReadmeShowsThePresentLook: what the README's pictures say beside figures is what the pages say now. With -update
// it makes them anew, of a run of the built-in model.
func TestReadmeShowsThePresentLook(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url := serve(t, console.Config{Dir: dir})
	ctx := browser.TabFor(t, browser.Within+5*time.Minute)
	browser.Run(t, ctx, browser.Theme("light"), chromedp.EmulateViewport(pictureWidth, pictureHeight))
	pages := [][2]string{{"console", "/live/"}, {"report", "/runs/"}}
	if *update {
		pictures(t, ctx, url, dir)
	}
	m := makeUp(t, dir, readmeCase, 1, nil)
	m.phase(evidence.Phase{ID: "warmup", Kind: testcases.KindWarmup}, 50, 20*ms, nil)
	m.phase(evidence.Phase{ID: "single", Kind: testcases.KindClosed}, 50, 20*ms, nil)
	if err := m.w.Flush(); err != nil {
		t.Fatal(err)
	}
	browser.Run(t, ctx, chromedp.Navigate(url+pages[0][1]+filepath.Base(m.path)),
		browser.Until(`document.querySelector(".checks")`))
	said(t, ctx, "console")
	r := m.end(evidence.End{})
	browser.Run(t, ctx, chromedp.Navigate(url+pages[1][1]+r.Evidence.SHA256[:16]))
	said(t, ctx, "report")
}

// said compares the words of a page with those of a picture.
func said(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	var now string
	browser.Run(t, ctx, chromedp.Evaluate(words, &now))
	was, err := os.ReadFile(filepath.Join("testdata", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	if now != string(was) {
		t.Errorf("docs/%s.png says\n%s\nthe page says\n%s\nmake the pictures again: "+
			"cd test && go test -run TestReadmeShowsThePresentLook ./runs -update", name, was, now)
	}
}

// pictures makes the pictures of a run, and notes the words that they show.
func pictures(t *testing.T, ctx context.Context, url, dir string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "mixtral")
	build := exec.Command("go", "build", "-o", program, "./cmd/mixtral")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	done := make(chan error, 1)
	go func() {
		out, err := exec.CommandContext(t.Context(), program, "certify", "--report-dir", dir).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("the run did not pass; try again when the machine has nothing else to do: %w\n%s", err,
				out)
		}
		done <- err
	}()
	half := `[...document.querySelectorAll(".phases .s-running")].some((e) => e.textContent.includes("sustained") &&
		e.querySelector("progress").value > 0.5)`
	browser.Run(t, ctx, chromedp.Navigate(url), browser.Again("a.record.running"), browser.Go("a.record.running"),
		browser.Until(half))
	shoot(t, ctx, "console")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.html"))
	if err != nil || len(files) != 1 {
		t.Fatal("pages of reports:", files, err)
	}
	browser.Run(t, ctx, chromedp.Navigate("file://"+files[0]))
	shoot(t, ctx, "report")
}

func shoot(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	var png []byte
	var text string
	browser.Run(t, ctx, chromedp.CaptureScreenshot(&png), chromedp.Evaluate(words, &text))
	for file, data := range map[string][]byte{filepath.Join(docs, name+".png"): png,
		filepath.Join("testdata", name+".txt"): []byte(strings.TrimLeft(text, "\n"))} {
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

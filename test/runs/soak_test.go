package runs_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/internal/base/stats"
	"github.com/hxp-enterprise/mixtral/internal/web/console"
	"github.com/hxp-enterprise/mixtral/test/browser"
)

const (
	soakRate  = 5 // requests/s of the run
	soakEvery = 15 * time.Second

	// soakWarm is the share of the samples in which plots get their points and caches fill.
	soakWarm = 1.0 / 3
)

// held is what a tab and its console hold at one moment.
type held struct {
	browser.Memory
	Server process
}

// process is what the console's process tells of itself.
type process struct{ Heap, Resident, Goroutines, Files float64 }

// serveMeasured is a console as a process of its own, for as long as its standard input is open. It prints its
// address, at /measure it tells what it holds.
func serveMeasured(dir string) int {
	k := console.New(console.Config{Dir: dir, Database: "none", Version: "test"})
	mux := http.NewServeMux()
	mux.HandleFunc("/measure", func(w http.ResponseWriter, _ *http.Request) {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		p := process{Heap: float64(m.HeapAlloc), Goroutines: float64(runtime.NumGoroutine())}
		if data, err := os.ReadFile("/proc/self/statm"); err == nil {
			pages, _ := strconv.ParseFloat(strings.Fields(string(data))[1], 64)
			p.Resident = pages * float64(os.Getpagesize())
		}
		files, _ := os.ReadDir("/proc/self/fd")
		p.Files = float64(len(files))
		_ = json.NewEncoder(w).Encode(p)
	})
	mux.Handle("/", k)
	s := httptest.NewServer(mux)
	fmt.Println(s.URL)
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	s.Close()
	if err := k.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// measured starts serveMeasured.
func measured(t *testing.T, dir string) (url string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], dir)
	cmd.Env, cmd.Stderr = append(os.Environ(), asConsole+"=1"), os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

func measure(t *testing.T, ctx context.Context, url string) (h held) {
	t.Helper()
	r, err := http.Get(url + "/measure")
	if err == nil {
		err = json.NewDecoder(r.Body).Decode(&h.Server)
		r.Body.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	h.Memory = browser.MemoryOf(t, ctx)
	return h
}

// soakLimits are what may be gained over a whole run and still counts as no growth.
var soakLimits = []struct {
	name  string
	unit  string
	scale float64
	of    func(held) float64
	floor float64 // in bytes, or pieces
}{
	{"tab: JavaScript heap", " MiB", 1 << 20, func(h held) float64 { return h.Memory.Heap }, 512 << 10},
	{"tab: DOM nodes", "", 1, func(h held) float64 { return h.Nodes }, 100},
	{"tab: event listeners", "", 1, func(h held) float64 { return h.Listeners }, 2},
	{"tab: documents", "", 1, func(h held) float64 { return h.Documents }, 1},
	{"console: live heap", " MiB", 1 << 20, func(h held) float64 { return h.Server.Heap }, 1 << 20},
	// what waits to be collected goes up and down
	{"console: resident memory", " MiB", 1 << 20, func(h held) float64 { return h.Server.Resident }, 8 << 20},
	{"console: goroutines", "", 1, func(h held) float64 { return h.Server.Goroutines }, 1},
	{"console: open files", "", 1, func(h held) float64 { return h.Server.Files }, 1},
}

// growth gives the table of the trends of samples that were taken at equal distances, and what grew beyond doubt:
// where the lower bound of the slope makes more over the run than its limit.
func growth(samples []held, each time.Duration) (table string, grew []string) {
	samples = samples[int(float64(len(samples))*soakWarm):]
	x := make([]float64, len(samples))
	for i := range x {
		x[i] = float64(i)
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 1, ' ', 0)
	fmt.Fprintln(w, "| what\t| median\t| trend an hour\t| its bounds at 99 %\t| smallest visible trend an hour\t|")
	fmt.Fprintln(w, "|---\t|---\t|---\t|---\t|---\t|")
	for _, l := range soakLimits {
		y := make([]float64, len(samples))
		for i, s := range samples {
			y[i] = l.of(s)
		}
		slope, lo, hi := stats.TheilSen(x, y, 0.99)
		n, hour := float64(len(samples)-1), time.Hour.Seconds()/each.Seconds()/l.scale
		fmt.Fprintf(w, "| %s\t| %.4g%s\t| %+.3g%s\t| %+.3g to %+.3g%s\t| %.3g%s\t|\n", l.name,
			stats.Percentile(slices.Sorted(slices.Values(y)), 0.5)/l.scale, l.unit, slope*hour, l.unit, lo*hour,
			hi*hour, l.unit, (l.floor/n+slope-lo)*hour, l.unit)
		if lo*n > l.floor {
			grew = append(grew, fmt.Sprintf("%s grows by at least %.4g over the run, %.4g are allowed: "+
				"from %.4g to %.4g", l.name, lo*n, l.floor, y[0], y[len(y)-1]))
		}
	}
	w.Flush()
	return b.String(), grew
}

// TestSoak keeps the page of a run that goes on open for as long as MIXTRAL_SOAK says. Neither the tab nor the
// console, which is a process of its own, may grow; and nothing on the page moves.
func TestSoak(t *testing.T) {
	lasts, err := time.ParseDuration(os.Getenv("MIXTRAL_SOAK"))
	if os.Getenv("MIXTRAL_SOAK") == "" {
		t.Skip("a soak: MIXTRAL_SOAK says how long")
	}
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	url := measured(t, dir)
	file := caseFile(t, "duration_s: 1.5", fmt.Sprintf("duration_s: %d", int(lasts.Seconds())+30),
		"throughput_rps: 20",
		fmt.Sprintf("throughput_rps: %d", soakRate))
	target := server(t, 50*time.Millisecond)
	ctx := browser.TabFor(t, lasts+5*time.Minute)
	browser.Run(t, ctx, browser.Watch(), chromedp.EmulateViewport(1024, 850), chromedp.Navigate(url+"/"))
	run, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := certify.Run(run, certify.Options{Case: file, Target: target, ReportDir: dir})
		done <- err
	}()
	defer func() { stop(); <-done }()
	browser.Run(t, ctx, browser.Again("a.record.running"), browser.Click("a.record.running"), browser.Until(
		`[...document.querySelectorAll(".phases .s-running")].some((e) => e.textContent.includes("sustained"))`))
	const answered = `document.getElementById("figures").innerText.match(/Answered\s+([\d,]+)/)?.[1] ?? "0"`
	every := min(soakEvery, lasts/12)
	var samples []held
	for end := time.Now().Add(lasts); time.Now().Before(end); time.Sleep(every) {
		samples = append(samples, measure(t, ctx, url))
		select {
		case err := <-done:
			t.Fatalf("the run ended: %v", err)
		default:
		}
	}
	var n string
	browser.Run(t, ctx, chromedp.Evaluate(answered, &n))
	table, grew := growth(samples, every)
	w := browser.Seen(t, ctx)
	t.Logf("%v, %d samples, %s answers seen; layout shift %.4g %v\n%s", lasts, len(samples), n, w.Shift, w.Shifted,
		table)
	for _, what := range grew {
		t.Error(what)
	}
	if w.Shift > stillShift {
		t.Errorf("the page moved by %.3g: %v", w.Shift, w.Shifted)
	}
	if answers, _ := strconv.Atoi(strings.ReplaceAll(n, ",", "")); float64(answers) < 0.8*soakRate*lasts.Seconds() {
		t.Errorf("the page shows %s answers, so it did not follow the run", n)
	}
}

// TestGrowthIsSeen: of series with the noise of a run, those that grow are found and the others are not.
func TestGrowthIsSeen(t *testing.T) {
	samples := func(change func(i int, h *held)) (list []held) {
		for i := range 60 {
			wave := 1 + 0.01*float64(i*7%5-2)
			h := held{browser.Memory{Heap: 3e6 * wave, Nodes: float64(2000 + i*11%9), Listeners: 12, Documents: 2},
				process{5e6 * wave, 4e7 * wave, 11, 12}}
			change(i, &h)
			list = append(list, h)
		}
		return list
	}
	for name, c := range map[string]struct {
		change func(i int, h *held)
		want   string
	}{
		"nothing":           {func(int, *held) {}, ""},
		"nodes":             {func(i int, h *held) { h.Nodes += 5 * float64(i) }, "tab: DOM nodes"},
		"listeners":         {func(i int, h *held) { h.Listeners += float64(i) }, "tab: event listeners"},
		"heap of the tab":   {func(i int, h *held) { h.Memory.Heap += 40e3 * float64(i) }, "tab: JavaScript heap"},
		"a kept record":     {func(i int, h *held) { h.Server.Heap += 60e3 * float64(i) }, "console: live heap"},
		"filled once":       {func(i int, h *held) { h.Memory.Heap += 1e5 * float64(min(i, 15)) }, ""},
		"a file each round": {func(i int, h *held) { h.Server.Files += float64(i) }, "console: open files"},
	} {
		table, grew := growth(samples(c.change), soakEvery)
		found := strings.Join(grew, "; ")
		if !strings.HasPrefix(found, c.want) || c.want == "" && found != "" || len(grew) > 1 {
			t.Errorf("%s: found %q, want %q\n%s", name, found, c.want, table)
		}
	}
}

package judge

import (
	"bytes"
	"context"
	"flag"
	"image/png"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/base/need"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

var look = flag.String("look", "", "keep the rendered pages in this directory")

// troubled is a run with many faults: a drift, errors, a leak, wrong metrics, weak answers.
func troubled() *sim {
	s := healthy(11)
	s.failRate, s.leakMB, s.cores = 0.01, 12, 6
	s.service = func(r *rand.Rand, t float64) float64 { return (0.06 + 0.05*r.ExpFloat64()) * (1 + t/60) }
	s.score = func(r *rand.Rand, _ bool) float64 { return 0.6 + 0.4*r.Float64() }
	s.lie = func(x *evidence.Scrape) { x.Values[evidence.MetricGenerationTokens] *= 1.02 }
	return s
}

func pageOf(t *testing.T, events []evidence.Event) []byte {
	t.Helper()
	r, series, err := Derive(events)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := report.WriteHTML(&b, r, series); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A browser shows the text of the page, fetches nothing and logs no error.
func TestPageInChromium(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		need.Missing(t, "chromium is not installed")
	}
	dir := t.TempDir()
	if *look != "" {
		dir = *look
	}
	for name, s := range map[string]*sim{"healthy": healthy(2), "troubled": troubled()} {
		page := pageOf(t, s.run())
		path := filepath.Join(dir, name+".html")
		if err := os.WriteFile(path, page, 0o644); err != nil {
			t.Fatal(err)
		}
		for theme, preferred := range map[string]string{"light": "1", "dark": "0"} { // Chromium's numbers
			shot := filepath.Join(dir, name+"-"+theme+".png")
			dom := browse(t, chromium, dir, "--dump-dom", "--screenshot="+shot, "--window-size=1200,3000",
				"--blink-settings=preferredColorScheme="+preferred, "file://"+path)
			for _, want := range []string{"Simulated service", "Traceability", "Memory over the run",
				"mixtral report verify", "Load against completions"} {
				if !strings.Contains(dom, want) {
					t.Errorf("%s: the page in Chromium lacks %q", name, want)
				}
			}
			if bright := brightness(t, shot); (bright > 0.5) != (theme == "light") {
				t.Errorf("%s: the %s page has a mean brightness of %.2f", name, theme, bright)
			}
		}
	}
}

// brightness is the mean brightness of a picture. It fails the test if the picture shows nothing.
func brightness(t *testing.T, path string) float64 {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	b := img.Bounds()
	sum, n := 0.0, 0
	seen := map[uint32]bool{}
	for y := b.Min.Y; y < b.Max.Y; y += 7 {
		for x := b.Min.X; x < b.Max.X; x += 7 {
			r, g, bl, _ := img.At(x, y).RGBA()
			seen[r] = true
			sum += float64(r+g+bl) / 3 / 65535
			n++
		}
	}
	if len(seen) < 20 {
		t.Errorf("%s shows %d shades: an empty page", path, len(seen))
	}
	return sum / float64(n)
}

// complaint is a console message, or a request that left the page, in Chromium's log.
var complaint = regexp.MustCompile(`CONSOLE|Content Security Policy|net::ERR|https?://`)

func browse(t *testing.T, chromium, dir string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, chromium, append([]string{"--headless", "--no-sandbox", "--disable-gpu",
		"--hide-scrollbars", "--enable-logging=stderr",
		"--user-data-dir=" + filepath.Join(dir, "profile"), "--disable-background-networking",
		"--host-resolver-rules=MAP * ~NOTFOUND"}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("chromium: %v\n%s", err, stderr.String())
	}
	for _, line := range strings.Split(stderr.String(), "\n") {
		if strings.Contains(line, "CONSOLE") || complaint.MatchString(line) && strings.Contains(line, "file://") {
			t.Errorf("chromium complains: %s", line)
		}
	}
	return stdout.String()
}

// The page of a long run must stay small.
func TestPageIsBounded(t *testing.T) {
	s := healthy(4)
	events := s.run()
	page := pageOf(t, events)
	if len(page) > 600_000 {
		t.Errorf("%d bytes", len(page))
	}
	for _, bad := range []string{"NaN", "+Inf", "ZgotmplZ", "<script", "src="} {
		if bytes.Contains(page, []byte(bad)) {
			t.Errorf("the page holds %q", bad)
		}
	}
	if again := pageOf(t, events); !bytes.Equal(page, again) {
		t.Error("the same events gave another page")
	}
}

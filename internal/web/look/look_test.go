package look

import (
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var variable = regexp.MustCompile(`(--[a-z0-9-]+): ([^;]+);`)

// palettes returns the variables of the light and of the dark palette.
func palettes(t *testing.T, css string) [2]map[string]string {
	t.Helper()
	light, rest, ok := strings.Cut(css, "@media (prefers-color-scheme: dark) {")
	if !ok {
		t.Fatal("no dark palette")
	}
	dark, _, _ := strings.Cut(rest, "\n}")
	var all [2]map[string]string
	for i, text := range []string{light, dark} {
		all[i] = map[string]string{}
		for _, m := range variable.FindAllStringSubmatch(text, -1) {
			all[i][m[1]] = m[2]
		}
	}
	return all
}

// TestPalette: the console has every colour of the report's page, light and dark.
func TestPalette(t *testing.T) {
	report, err := os.ReadFile("../../../certify/report/page.css")
	if err != nil {
		t.Fatal(err)
	}
	want, got := palettes(t, string(report)), palettes(t, string(CSS))
	for i, theme := range []string{"light", "dark"} {
		if len(want[i]) < 10 {
			t.Fatalf("%s: the report has %d colors", theme, len(want[i]))
		}
		for name, color := range want[i] {
			if got[i][name] != color {
				t.Errorf("%s: %s is %q, and %q in the report", theme, name, got[i][name], color)
			}
		}
	}
}

// contrast is WCAG's ratio of the luminances of two colours as #rrggbb.
func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	luminance := func(color string) float64 {
		n, err := strconv.ParseUint(strings.TrimPrefix(color, "#"), 16, 32)
		if err != nil || len(color) != 7 {
			t.Fatalf("%q is not #rrggbb", color)
		}
		l := 0.0
		for i, weight := range []float64{0.0722, 0.7152, 0.2126} {
			v := float64(n>>(8*i)&255) / 255
			if v <= 0.04045 {
				v /= 12.92
			} else {
				v = math.Pow((v+0.055)/1.055, 2.4)
			}
			l += weight * v
		}
		return l
	}
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// TestContrast: all text has the contrast of WCAG's level AA: 4.5 to 1.
func TestContrast(t *testing.T) {
	for i, colors := range palettes(t, string(CSS)) {
		for text, grounds := range map[string][]string{
			"--ink": {"--bg", "--panel", "--info-bg"}, "--soft": {"--bg", "--panel", "--info-bg"},
			"--c1": {"--bg", "--panel"}, "--bg": {"--c1"}, "--pass": {"--pass-bg"}, "--fail": {"--fail-bg"},
			"--invalid": {"--invalid-bg"},
			"--info":    {"--info-bg"},
		} {
			for _, ground := range grounds {
				if r := contrast(t, colors[text], colors[ground]); r < 4.5 {
					t.Errorf("palette %d: %s on %s: %.2f to 1", i, text, ground, r)
				}
			}
		}
	}
}

func TestFile(t *testing.T) {
	h := File("text/plain", []byte("hello"))
	get := func(method, tag string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/", nil)
		r.Header.Set("If-None-Match", tag)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	first := get(http.MethodGet, "")
	if first.Code != 200 || first.Body.String() != "hello" || first.Header().Get("Content-Security-Policy") != Policy {
		t.Fatalf("got %d, %q, %v", first.Code, first.Body, first.Header())
	}
	if again := get(http.MethodGet, first.Header().Get("ETag")); again.Code != 304 || again.Body.Len() != 0 {
		t.Errorf("the same tag got %d and %d bytes", again.Code, again.Body.Len())
	}
	if head := get(http.MethodHead, ""); head.Code != 200 || head.Body.Len() != 0 {
		t.Errorf("HEAD got %d and %d bytes", head.Code, head.Body.Len())
	}
	for _, word := range []string{"unsafe", "*", "http:"} {
		if strings.Contains(Policy, word) {
			t.Errorf("the policy has %q", word)
		}
	}
}

package look

import (
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
)

var variable = regexp.MustCompile(`(--[a-z0-9-]+): ([^;]+);`)

// palettes gives the variables of the light and of the dark palette.
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

// TestPalette: the console has every color of the report's page, light and dark.
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

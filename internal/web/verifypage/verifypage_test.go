package verifypage

import (
	"crypto/sha256"
	"encoding/base64"
	"html"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestThePolicyFitsThePage: the policy allows exactly the page's own script and style, and no connection. A wrong hash
// would leave a page that does nothing.
func TestThePolicyFitsThePage(t *testing.T) {
	page, err := Page([]byte("\x00asm</script>"), []byte("/* support </script> */"), `v1"><b>`)
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	policy := html.UnescapeString(regexp.MustCompile(`Content-Security-Policy" content="([^"]*)"`).
		FindStringSubmatch(text)[1])
	for element, source := range map[string]string{"style": "style-src", "script": "script-src"} {
		m := regexp.MustCompile(`(?s)<` + element + `>(.*?)</` + element + `>`).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("there is no <%s>", element)
		}
		sum := sha256.Sum256([]byte(m[1]))
		want := source + " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
		if !strings.Contains(policy, want) {
			t.Errorf("policy %q, want %s", policy, want)
		}
	}
	for _, want := range []string{"default-src 'none'", "connect-src 'none'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("policy %q, want %s", policy, want)
		}
	}
	if strings.Contains(text, "<b>") || strings.Count(text, "</script>") != 3 {
		t.Error("what was given became markup")
	}
	path := filepath.Join(t.TempDir(), "verify.html")
	if err := os.WriteFile(path, page, 0o644); err != nil {
		t.Fatal(err)
	}
	for file, status := range map[string]int{path: 200, path + ".none": 404} {
		w := httptest.NewRecorder()
		Handler(file).ServeHTTP(w, httptest.NewRequest("GET", "/verify", nil))
		if w.Code != status {
			t.Errorf("%s: status %d, want %d", file, w.Code, status)
		}
		if status == 200 && (w.Body.String() != text ||
			w.Header().Get("Content-Security-Policy") != "frame-ancestors 'none'") {
			t.Errorf("%v, %d bytes", w.Header(), w.Body.Len())
		}
	}
}

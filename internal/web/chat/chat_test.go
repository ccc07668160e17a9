package chat

import (
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/web/look"
)

var (
	reference = regexp.MustCompile(`(?:src|href)="([^"#]+)"|from "([^"]+)"`)
	inline    = regexp.MustCompile(`(?i)<script[^>]*>[^<]|<style|\sstyle=|\son[a-z]+="|javascript:`)
	markup    = regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function`)
)

// TestPages: each page loads only files of the console and contains nothing that its policy forbids, and no script
// makes markup from text.
func TestPages(t *testing.T) {
	pages := Pages(`1.0 <b>"x"`)
	if pages["/"] == nil {
		t.Fatal("there is no first page")
	}
	for path, h := range pages {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		text := w.Body.String()
		if w.Code != 200 || w.Header().Get("Content-Security-Policy") != look.Policy {
			t.Errorf("%s: status %d, policy %q", path, w.Code, w.Header().Get("Content-Security-Policy"))
		}
		for _, m := range reference.FindAllStringSubmatch(text, -1) {
			target := m[1] + m[2]
			if rest, ok := strings.CutPrefix(target, "./"); ok {
				target = Base + rest
			}
			if target != "data:," && pages[target] == nil {
				t.Errorf("%s refers to %q, which the console does not have", path, target)
			}
		}
		if strings.Contains(w.Header().Get("Content-Type"), "html") {
			if found := inline.FindString(text); found != "" {
				t.Errorf("%s has %q, which its policy forbids", path, found)
			}
			if strings.Contains(text, "<b>") {
				t.Errorf("%s shows the version as markup", path)
			}
		} else if found := markup.FindString(text); found != "" {
			t.Errorf("%s has %q: a script must not make markup of text", path, found)
		}
	}
}

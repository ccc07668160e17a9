package report

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

func TestPaint(t *testing.T) {
	var b bytes.Buffer
	if err := Text(&b, sample()); err != nil {
		t.Fatal(err)
	}
	painted := Paint(b.String())
	if n := strings.Count(painted, "\x1b[1;31mFAIL\x1b[0m"); n != 3 { // the status, a check, the status again
		t.Errorf("FAIL is painted %d times", n)
	}
	if plain := regexp.MustCompile(`\x1b\[[0-9;]*m`).ReplaceAllString(painted, ""); plain != b.String() {
		t.Error("painting changed the text")
	}
}

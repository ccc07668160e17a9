package bounded

import (
	"bufio"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestEachLine: blank lines are counted and skipped, and an error names its line.
func TestEachLine(t *testing.T) {
	var got []string
	note := func(n int, line []byte) error {
		got = append(got, fmt.Sprintf("%d:%s", n, line))
		return nil
	}
	err := EachLine(strings.NewReader("a\n\n \t\n b\r\nc"), 10, note)
	if err != nil || fmt.Sprint(got) != "[1:a 4: b 5:c]" {
		t.Errorf("%q, %v", got, err)
	}
	err = EachLine(strings.NewReader("a\n"+strings.Repeat("x", 11)), 10, note)
	if !errors.Is(err, bufio.ErrTooLong) || !strings.HasPrefix(err.Error(), "line 2: ") {
		t.Errorf("a long line: %v", err)
	}
	enough := errors.New("enough")
	if err := EachLine(strings.NewReader("a\nb"), 10, func(int, []byte) error { return enough }); err != enough {
		t.Errorf("%v, want the function's own error", err)
	}
}

package leak

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// tests are a package's tests that end with a code.
type tests int

func (c tests) Run() int { return int(c) }

// TestRun: the code is that of the tests, or 1 where they succeed and something stays behind.
func TestRun(t *testing.T) {
	here := []goleak.Option{goleak.IgnoreCurrent()}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		<-end
	}()
	for _, test := range []struct {
		name    string
		tests   tests
		options []goleak.Option
		code    int
		says    string
	}{
		{"nothing stays", 0, []goleak.Option{goleak.IgnoreCurrent()}, 0, ""},
		{"something stays", 0, here, 1, "leak_test.go"},
		{"tests fail", 3, here, 3, ""},
	} {
		var out bytes.Buffer
		code := run(test.tests, &out, func() error { return find(0, test.options) })
		if code != test.code || !strings.Contains(out.String(), test.says) || (test.says == "") != (out.Len() == 0) {
			t.Errorf("%s: %d %s", test.name, code, &out)
		}
	}
	close(end)
	<-ended
	Check(t, time.Minute, here...)
}

// TestLateEnd: what ends later than goleak alone would wait is not left behind.
func TestLateEnd(t *testing.T) {
	here := []goleak.Option{goleak.IgnoreCurrent()}
	end := make(chan struct{})
	go func() { <-end }()
	if err := goleak.Find(here...); err == nil {
		t.Fatal("goleak saw nothing")
	}
	time.AfterFunc(time.Second, func() { close(end) })
	Check(t, time.Minute, here...)
}

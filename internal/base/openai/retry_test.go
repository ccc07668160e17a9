package openai

import (
	"net/http"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	for value, want := range map[string]time.Duration{"1": time.Second, " 0.5 ": 500 * time.Millisecond, "": 0,
		"-1": 0, "soon": 0, "NaN": 0, "1e300": 0, "Wed, 21 Oct 2015 07:28:00 GMT": 0} {
		if got := RetryAfter(value); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
	began := time.Now()
	got := RetryAfter(began.Add(time.Hour).UTC().Format(http.TimeFormat))
	// dates in HTTP have whole seconds
	if got > time.Hour || got < time.Hour-time.Second-time.Since(began) {
		t.Errorf("in an hour: %s", got)
	}
}

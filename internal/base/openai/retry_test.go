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
	if got := RetryAfter(time.Now().Add(time.Minute).UTC().Format(http.TimeFormat)); got < 50*time.Second ||
		got > time.Minute {
		t.Errorf("in a minute: %s", got)
	}
}

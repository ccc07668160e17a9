package cost

import (
	"testing"
	"time"
)

var kept []byte

func TestOf(t *testing.T) {
	bytes, took := Of(t, func() {
		kept = make([]byte, 64<<20)
		time.Sleep(20 * time.Millisecond)
		kept = nil
	})
	if bytes < 64<<20 || bytes > 96<<20 || took < 20*time.Millisecond {
		t.Errorf("%d bytes in %s", bytes, took)
	}
}

package cost

import (
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/host"
)

var kept []byte

func TestOf(t *testing.T) {
	bytes, took := Of(t, func() {
		kept = make([]byte, 64<<20)
		for begun := host.CPUTime(); host.CPUTime() < begun+20*time.Millisecond; {
			kept[0]++
		}
		time.Sleep(500 * time.Millisecond) // this is not work
		kept = nil
	})
	if bytes < 64<<20 || bytes > 96<<20 || took < 20*time.Millisecond || took > 300*time.Millisecond {
		t.Errorf("%d bytes in %s", bytes, took)
	}
}

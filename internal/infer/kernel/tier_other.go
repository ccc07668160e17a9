//go:build !amd64 && !arm64

package kernel

const firstTier = tierGeneric + 1

func bestTier() int { return tierGeneric }

func fetch([]byte) {}

// pause waits a few cycles per unit of n; the loop has no side effect but its time.
//
//go:noinline
func pause(n int32) {
	for i := int32(0); i < 8*n; i++ {
	}
}

func touch(b []byte) { touchGeneric(b) }

type attend struct{}

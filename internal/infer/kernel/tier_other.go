//go:build !amd64 && !arm64

package kernel

func machineTiers() []*tier { return nil }

// machineScratch is what a worker's Scratch has for the machine's tiers alone.
type machineScratch struct{}

func newMachineScratch() machineScratch { return machineScratch{} }

func fetch([]byte) {}

// pause waits a few cycles per unit of n; the loop has no side effect but its time.
//
//go:noinline
func pause(n int32) {
	for i := int32(0); i < 8*n; i++ {
	}
}

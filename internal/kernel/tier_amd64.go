package kernel

// bestTier is what this machine can run.
func bestTier() int { return tierGeneric }

// pause runs n PAUSE instructions: a polite busy-wait.
//
//go:noescape
func pause(n int32)

package kernel

import "golang.org/x/sys/cpu"

// hasAVXVNNI is apart from the rest of machineTiers for a test that runs the AVX-VNNI tier with other instructions:
// see TestVNNIByEVEX.
var hasAVXVNNI = cpu.X86.HasAVXVNNI

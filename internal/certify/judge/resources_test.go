package judge

import (
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// TestALateReadingIsNoBurst: the values of a sample whose reading took a second may be a second old. The CPU time
// since then was not all used within the window.
func TestALateReadingIsNoBurst(t *testing.T) {
	sample := func(ns, took int64, cpu float64) at[*evidence.Sample] {
		return at[*evidence.Sample]{ns: ns, v: &evidence.Sample{CPUSeconds: cpu, Took: took}}
	}
	// The server uses four cores all the time. The reading of 2 s was taken at 1 s, and was delivered late.
	good := []at[*evidence.Sample]{sample(0, 0, 0), sample(2*sec, sec, 4), sample(3*sec, 0, 12)}
	if peak := peakCores(cpuWindows(good, time.Second)); peak > 4.01 {
		t.Errorf("peak %v cores, 4 were used", peak)
	}
}

package service

import (
	"math"
	"testing"
	"time"
)

func TestCPUMeter(t *testing.T) {
	var m cpuMeter
	at := time.Unix(1000, 0)
	for i, step := range []struct {
		wall, used time.Duration
		want       float64
	}{
		{0, time.Second, 0}, // nothing to compare with
		{time.Second, 2 * time.Second, 1},
		{2 * time.Second, 5 * time.Second, 1.5},
		{0, 6 * time.Second, 0}, // no time has passed
		{-time.Second, 7 * time.Second, 0},
		{4 * time.Second, 7 * time.Second, 0},
		{time.Second, 6 * time.Second, 0}, // a clock that went back
	} {
		at = at.Add(step.wall)
		if got := m.next(at, step.used); math.Abs(got-step.want) > 1e-9 {
			t.Errorf("step %d: %v cores, want %v", i, got, step.want)
		}
	}
}

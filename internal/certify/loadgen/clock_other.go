//go:build !linux

package loadgen

// SystemClock is the most exact clock of this system.
func SystemClock() Clock { return TimerClock{} }

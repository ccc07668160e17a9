package walltest

import (
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
)

// Set returns a time as the system would if its wall clock had been set forward by d, which does not affect the
// monotonic clock. The only way to make one is to use the memory layout of time.Time; the function checks the result.
func Set(t testing.TB, now time.Time, d time.Duration) time.Time {
	t.Helper()
	const nanoBits = 30
	set := now
	// 1 bit: has a monotonic reading; 33 bits of seconds; 30 bits of nanoseconds
	wall := (*uint64)(unsafe.Pointer(&set))
	nanos := int64(*wall&(1<<nanoBits-1)) + int64(d%time.Second)
	seconds := int64(*wall<<1>>(nanoBits+1)) + int64(d/time.Second)
	for ; nanos < 0; nanos += 1e9 {
		seconds--
	}
	for ; nanos >= 1e9; nanos -= 1e9 {
		seconds++
	}
	*wall = 1<<63 | uint64(seconds)<<nanoBits | uint64(nanos)
	if set.Sub(now) != 0 || set.Round(0).Sub(now.Round(0)) != d {
		t.Fatalf("time.Time has another layout: set by %v it moved by %v, and its monotonic part by %v", d,
			set.Round(0).Sub(now.Round(0)), set.Sub(now))
	}
	return set
}

// Jumping returns a clock whose wall part jumps by an hour, forward and back, with each call.
func Jumping(t testing.TB) func() time.Time {
	var asked atomic.Int64
	return func() time.Time { return Set(t, time.Now(), time.Duration(asked.Add(1)%3-1)*time.Hour) }
}

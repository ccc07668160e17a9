package kernel

import (
	"encoding/binary"
	"sync/atomic"
	"time"
)

// timed is how long f takes, in seconds.
func timed(f func()) float64 {
	start := time.Now()
	f()
	return time.Since(start).Seconds()
}

// BandwidthRead measures how fast n workers read memory linearly, in GB/s (10⁹ bytes a second): the best of several passes
// over 256 MiB, which no cache holds. It takes some tenths of a second. n < 1 means one worker per CPU.
//
// This is the limit of decoding: every weight is read once a step.
func BandwidthRead(n int) (float64, error) {
	const size = 256 << 20
	arena, err := NewArena(size)
	if err != nil {
		return 0, err
	}
	defer arena.Close()
	c := NewCrew(n)
	defer c.Close()
	mem := arena.Alloc(size)
	const page = 4096
	for i := 0; i < len(mem); i += page {
		mem[i] = 1 // untouched pages would all be the same zero page
	}
	var best float64
	for range 8 {
		best = max(best, readRate(c, mem))
	}
	return best, nil
}

// readRate reads mem once, in pieces that workers take as they come, as products do.
func readRate(c *Crew, mem []byte) float64 {
	const piece = 1 << 20
	pieces := len(mem) / piece
	seconds := timed(func() {
		c.Run(1, func(int) int { return pieces }, func(_, _, from, to int) { touch(mem[from*piece : to*piece]) })
	})
	return float64(pieces*piece) / seconds / 1e9
}

// VNNIPeak measures how many operations a second n workers do in VPDPBUSD on registers alone, in GOP/s: 128 a
// 512-bit instruction, a multiplication and an addition for each of 64 bytes. It is 0 where the active tier does not use
// the instruction. It takes some tenths of a second. n < 1 means one worker per CPU.
//
// This is the limit of prefill.
func VNNIPeak(n int) float64 {
	if active < tierAVX512 {
		return 0
	}
	c := NewCrew(n)
	defer c.Close()
	var best float64
	for range 40 {
		best = max(best, vnniRate(c))
	}
	return best
}

func vnniRate(c *Crew) float64 {
	const rounds, calls = 20000, 20 // a call is about 100 µs
	n := calls * c.Workers()
	seconds := timed(func() {
		c.Run(1, func(int) int { return n }, func(_, _, from, to int) {
			for range to - from {
				multiply(rounds)
			}
		})
	})
	return float64(n) * rounds * multiplyOps / seconds / 1e9
}

// FetchStep is what Fetch takes at once: some 100 ns of one thread's memory bandwidth.
const FetchStep = 4 << 10

// Fetch asks the processor to bring the first FetchStep bytes of b into the L2 cache, and gives the rest.
func Fetch(b []byte) []byte {
	n := min(FetchStep, len(b))
	fetch(b[:n])
	return b[n:]
}

// sink keeps the compiler from dropping reads.
var sink atomic.Uint64

// touchGeneric reads b by words.
func touchGeneric(b []byte) {
	var s uint64
	for ; len(b) >= 32; b = b[32:] {
		s += binary.LittleEndian.Uint64(b) + binary.LittleEndian.Uint64(b[8:]) + binary.LittleEndian.Uint64(b[16:]) + binary.LittleEndian.Uint64(b[24:])
	}
	sink.Add(s)
}

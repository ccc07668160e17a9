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

// Limits measures what the machine can do at this moment: on a shared one that changes from second to second, so a
// figure means something only beside limits taken just before and just after.
type Limits struct {
	crew  *Crew
	arena *Arena
	mem   []byte
}

// limitBytes is read in one pass: more than most L3 caches hold, and 3 to 10 ms.
const limitBytes = 256 << 20

// NewLimits prepares measurements with n workers; n < 1 means one per CPU the process may use. Close frees the memory.
func NewLimits(n int) (*Limits, error) {
	arena, err := NewArena(limitBytes)
	if err != nil {
		return nil, err
	}
	l := &Limits{crew: NewCrew(n), arena: arena, mem: arena.Alloc(limitBytes)}
	const page = 4096
	for i := 0; i < len(l.mem); i += page {
		l.mem[i] = 1 // untouched pages would all be the same zero page
	}
	return l, nil
}

// Bytes is the memory that measuring takes.
func (l *Limits) Bytes() int64 { return limitBytes }

// Close frees it.
func (l *Limits) Close() error {
	l.crew.Close()
	return l.arena.Close()
}

// Read is how fast the workers read memory linearly, in GB/s (10⁹ bytes a second): the best of four passes. This is
// the limit of decoding: every weight is read once a step.
func (l *Limits) Read() float64 {
	var best float64
	for range 4 {
		best = max(best, l.readRate())
	}
	return best
}

// readRate reads the memory once, in pieces that workers take as they come, as products do.
func (l *Limits) readRate() float64 {
	const piece = 1 << 20
	seconds := timed(func() {
		l.crew.Run(1, func(int) int { return limitBytes / piece },
			func(_, _, from, to int) { touch(l.mem[from*piece : to*piece]) })
	})
	return limitBytes / seconds / 1e9
}

// Multiply is how many operations a second the workers do in VPDPBUSD on registers alone, in GOP/s: 128 a 512-bit
// instruction, a multiplication and an addition for each of 64 bytes; the best of twenty passes of some 2 ms. It is 0
// where the active tier does not use the instruction. This is the limit of prefill.
func (l *Limits) Multiply() float64 {
	if active < tierAVX512 {
		return 0
	}
	var best float64
	for range 20 {
		best = max(best, l.multiplyRate())
	}
	return best
}

func (l *Limits) multiplyRate() float64 {
	const rounds, calls = 20000, 20 // a call is about 100 µs
	n := calls * l.crew.Workers()
	seconds := timed(func() {
		l.crew.Run(1, func(int) int { return n }, func(_, _, from, to int) {
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
		s += binary.LittleEndian.Uint64(b) + binary.LittleEndian.Uint64(b[8:]) + binary.LittleEndian.Uint64(b[16:]) +
			binary.LittleEndian.Uint64(b[24:])
	}
	sink.Add(s)
}

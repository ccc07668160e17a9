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
			func(_, _, from, to int) { active.touch(l.mem[from*piece : to*piece]) })
	})
	return limitBytes / seconds / 1e9
}

// Multiply is how many operations a second the workers do in the active tier's products of 8-bit integers, on
// registers alone, in GOP/s: a multiplication and an addition for each pair; the best of twenty passes of some 2 ms.
// This is the limit of prefill.
func (l *Limits) Multiply() float64 { return active.peak(l.crew) }

// Peak is what one tier does in its products of 8-bit integers, see Limits.Multiply.
type Peak struct {
	Tier string
	GOPs float64
}

// Peaks measures all tiers of this machine, lowest first, with n workers; n < 1 means one per CPU the process may use.
func Peaks(n int) []Peak {
	crew := NewCrew(n)
	defer crew.Close()
	var all []Peak
	for _, t := range tiers() {
		all = append(all, Peak{t.name, t.peak(crew)})
	}
	return all
}

func (t *tier) peak(crew *Crew) float64 {
	var best float64
	for range 20 {
		best = max(best, t.multiplyRate(crew))
	}
	return best
}

func (t *tier) multiplyRate(crew *Crew) float64 {
	const passOps = 20 * 20000 * 12 * 128 // what takes a worker some 2 ms in AVX-512
	const calls = 20                      // a call is about 100 µs
	rounds := passOps / calls / t.multiplyOps
	if t.name == generic.name {
		rounds /= 64 // which is that much slower
	}
	n := calls * crew.Workers()
	seconds := timed(func() {
		crew.Run(1, func(int) int { return n }, func(_, _, from, to int) {
			for range to - from {
				t.multiply(rounds)
			}
		})
	})
	return float64(n) * float64(rounds) * float64(t.multiplyOps) / seconds / 1e9
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

// multiplyGenericOps is what a round of multiplyGeneric does: a multiplication and an addition for each of 32 pairs.
const multiplyGenericOps = 2 * 32

// multiplyGeneric multiplies as the specification does, four columns of a quad at a time.
func multiplyGeneric(rounds int) {
	var sum [8]int32
	w, x := [4]uint8{1, 2, 3, 4}, [4]int8{4, 3, 2, 1}
	for range rounds {
		for i := range sum {
			sum[i] += int32(w[0])*int32(x[0]) + int32(w[1])*int32(x[1]) + int32(w[2])*int32(x[2]) +
				int32(w[3])*int32(x[3])
		}
		w[rounds&3]++
	}
	sink.Add(uint64(sum[0] + sum[7]))
}

package offset

import "fmt"

// MaxRate is the largest assumed difference between the rates of two clocks, in parts per million. NTP slews a clock
// by at most 500, and quartz oscillators differ by 100. chrony may be configured to slew faster; then readings
// contradict each other, which Broken reports.
const MaxRate = 1000

// wander is by how much an offset can change in ns nanoseconds.
func wander(ns int64) int64 {
	if ns < 0 {
		ns = -ns
	}
	return ns*MaxRate/1e6 + 1 // does not overflow for a hundred days
}

// Track combines readings of a clock's offset. Each reading bounds the offset at one moment, and MaxRate bounds how
// fast it can change from there. The offset is where all these bounds overlap. So a reading that the network delayed
// does no harm if others are good, and no assumption about delays is needed. The zero value is a Track without
// readings.
type Track struct {
	first, last Reading
	n           int
	// the readings, each narrowed by those before it
	points   []Reading
	broken   int   // how often a reading contradicted those before it
	brokenBy int64 // by how many nanoseconds at most
}

// Add adds a reading. It returns an error unless There is later than in the last one.
func (t *Track) Add(r Reading) error {
	if t.n > 0 && r.There <= t.last.There {
		return fmt.Errorf("a comparison of clocks at %d ns comes after one at %d ns", r.There, t.last.There)
	}
	if t.n == 0 {
		t.first = r
	}
	t.n++
	t.last = r
	if len(t.points) > 0 {
		lo, hi := r.Offset-r.Error, r.Offset+r.Error
		before, bound := t.from(len(t.points)-1, r.There)
		switch lo, hi := max(lo, before-bound), min(hi, before+bound); {
		case lo <= hi:
			r.Offset, r.Error = lo+(hi-lo)/2, (hi-lo+1)/2
		default: // the clock was set, or slewed faster than MaxRate
			t.broken++
			t.brokenBy = max(t.brokenBy, lo-hi)
		}
	}
	t.points = append(t.points, r)
	return nil
}

// from is the offset at another moment, as bounded by point i.
func (t *Track) from(i int, there int64) (offset, bound int64) {
	p := t.points[i]
	return p.Offset, p.Error + wander(there-p.There)
}

// At is the offset when the far clock showed there, and the bound of its error. It uses the last reading before that
// moment, which is narrowed by all earlier ones, and the first one after it. ok is false if there are no readings.
func (t *Track) At(there int64) (offset, bound int64, ok bool) {
	n := len(t.points)
	if n == 0 {
		return 0, 0, false
	}
	next := t.after(there)
	switch next {
	case 0:
		offset, bound = t.from(0, there)
		return offset, bound, true
	case n:
		offset, bound = t.from(n-1, there)
		return offset, bound, true
	}
	a, b := t.points[next-1], t.points[next]
	ea, eb := a.Error+wander(there-a.There), b.Error+wander(b.There-there)
	lo, hi := max(a.Offset-ea, b.Offset-eb), min(a.Offset+ea, b.Offset+eb)
	if lo > hi { // the two contradict each other, which Broken reports
		if there-a.There <= b.There-there {
			return a.Offset, ea, true
		}
		return b.Offset, eb, true
	}
	return lo + (hi-lo)/2, (hi - lo + 1) / 2, true
}

// after is the index of the first point later than there.
func (t *Track) after(there int64) int {
	lo, hi := 0, len(t.points)
	for lo < hi {
		if mid := (lo + hi) / 2; t.points[mid].There > there {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// Known says whether there is a reading later than there, so that At will not change for that moment any more.
func (t *Track) Known(there int64) bool { return t.n > 0 && t.last.There > there }

// Worst is the largest bound of At between two moments of the far clock; 0 without readings.
func (t *Track) Worst(from, to int64) int64 {
	var worst int64
	look := func(there int64) {
		if there < from || there > to {
			return
		}
		if _, bound, ok := t.At(there); ok {
			worst = max(worst, bound)
		}
	}
	look(from)
	look(to)
	for i := max(t.after(from)-1, 0); i < len(t.points) && t.points[i].There <= to; i++ {
		look(t.points[i].There)
		if i+1 < len(t.points) {
			for _, there := range widest(t.points[i], t.points[i+1]) {
				look(there)
			}
		}
	}
	return worst
}

// widest lists moments between two readings, at one of which the bound is widest: where the upper bounds of the two
// readings meet, where the lower ones do, and the middle and the ends.
func widest(a, b Reading) []int64 {
	middle := a.There + (b.There-a.There)/2
	above := middle + (b.Offset+b.Error-a.Offset-a.Error)*1e6/(2*MaxRate)
	below := middle + (a.Offset-a.Error-b.Offset+b.Error)*1e6/(2*MaxRate)
	keep := func(there int64) int64 { return min(max(there, a.There), b.There) }
	return []int64{keep(above), keep(below), middle, a.There + 1, b.There - 1}
}

// Drift is the rate at which the near clock gains on the far one, in parts per million, with the bound of its error.
// ok is false with fewer than two readings.
func (t *Track) Drift() (ppm, bound float64, ok bool) {
	if t.n < 2 {
		return 0, 0, false
	}
	span := float64(t.last.There - t.first.There)
	return float64(t.last.Offset-t.first.Offset) / span * 1e6,
		float64(t.last.Error+t.first.Error) / span * 1e6, true
}

// Broken is how often a reading contradicted those before it, and by how many nanoseconds at most. Then a clock was
// set, or was slewed faster than MaxRate.
func (t *Track) Broken() (times int, by int64) { return t.broken, t.brokenBy }

// Len is the number of readings.
func (t *Track) Len() int { return t.n }

// Last is the last reading, narrowed by those before it.
func (t *Track) Last() Reading {
	if len(t.points) == 0 {
		return Reading{}
	}
	return t.points[len(t.points)-1]
}

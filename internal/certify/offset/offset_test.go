package offset

import (
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
)

// far is a clock with another zero and a varying rate, which differs by at most MaxRate.
type far struct {
	zero  int64
	rates []float64 // by how many parts per million it is faster, each for one second
}

// at is the far clock's time at a moment of the near clock, which is the true time here.
func (f far) at(ns int64) int64 {
	shown := float64(ns)
	for i, ppm := range f.rates {
		from := int64(i) * 1e9
		to := from + 1e9
		if i == len(f.rates)-1 {
			to = 1 << 62
		}
		if ns > from {
			shown += float64(min(ns, to)-from) * ppm / 1e6
		}
	}
	return f.zero + int64(shown)
}

// TestTheBoundHolds: for any delays in both directions, and any rate within MaxRate, the true offset is within the
// bound at every moment, and the track never reports a contradiction.
func TestTheBoundHolds(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		clock := far{zero: rapid.Int64Range(-1e12, 1e12).Draw(t, "zero")}
		for range 30 {
			clock.rates = append(clock.rates, (rng.Float64()*2-1)*MaxRate*0.99)
		}
		out, back := rapid.Int64Range(1e3, 5e7).Draw(t, "out"), rapid.Int64Range(1e3, 5e7).Draw(t, "back")
		every := rapid.Int64Range(1e8, 2e9).Draw(t, "every")
		var track Track
		now := int64(0)
		for range 20 {
			var list []Exchange
			for range 4 {
				e := Exchange{Sent: now}
				came := now + out + rng.Int64N(out)
				left := came + rng.Int64N(1e5)
				e.Came, e.Left = clock.at(came), clock.at(left)
				e.Received = left + back + rng.Int64N(back)
				now = e.Received
				list = append(list, e)
			}
			if err := track.Add(Best(list).Reading()); err != nil {
				t.Fatal(err)
			}
			now += every
		}
		if times, by := track.Broken(); times != 0 {
			t.Fatalf("an honest clock contradicts itself %d times, by %d ns", times, by)
		}
		worst := track.Worst(clock.at(0), clock.at(now))
		for at := int64(0); at < now; at += 7_654_321 {
			there := clock.at(at)
			offset, bound, ok := track.At(there)
			if truth := at - there; !ok || offset-bound > truth || offset+bound < truth {
				t.Fatalf("at %d ns: the offset is %d, said is %d ± %d", at, truth, offset, bound)
			}
			if slack := wander(1e6); bound > worst+slack {
				t.Fatalf("at %d ns: the bound %d is above the worst, %d", at, bound, worst)
			}
		}
	})
}

// TestALongRoundTripCostsNothing: a reading that the network delayed by a second does not widen the bound that the
// readings around it give.
func TestALongRoundTripCostsNothing(t *testing.T) {
	var track Track
	for i := range int64(10) {
		e := Exchange{Sent: i * 1e9, Came: i*1e9 + 50_000, Left: i*1e9 + 60_000, Received: i*1e9 + 110_000}
		if i == 5 {
			e.Received += 9e8
		}
		if err := track.Add(e.Reading()); err != nil {
			t.Fatal(err)
		}
	}
	if offset, bound, _ := track.At(5e9); bound > 1_100_000 || offset > bound || offset < -bound {
		t.Errorf("%d ± %d ns", offset, bound)
	}
	if worst := track.Worst(0, 9e9); worst > 1_200_000 || worst < 500_000 {
		t.Errorf("worst bound %d ns: half a second at a thousandth is 0.5 ms, a second and a half is less than twice",
			worst)
	}
}

// TestAClockThatIsSet: a step of a clock is reported as a contradiction with its size, and later readings give the new
// offset.
func TestAClockThatIsSet(t *testing.T) {
	var track Track
	for i := range int64(6) {
		step := int64(0)
		if i >= 3 {
			step = 40e6
		}
		far := i*1e9 + step
		if err := track.Add(Exchange{Sent: i * 1e9, Came: far + 1000, Left: far + 1000,
			Received: i*1e9 + 2000}.Reading()); err != nil {
			t.Fatal(err)
		}
	}
	times, by := track.Broken()
	if times != 1 || by < 30e6 || by > 40e6 {
		t.Errorf("%d contradictions, of %d ns", times, by)
	}
	if offset, _, _ := track.At(5e9 + 40e6); offset != -40e6 {
		t.Errorf("after the step the offset is %d", offset)
	}
}

func TestReadingsComeInOrder(t *testing.T) {
	var track Track
	if _, _, ok := track.At(3); ok || track.Known(0) {
		t.Error("an offset without a reading")
	}
	if _, _, ok := track.Drift(); ok {
		t.Error("a drift without a reading")
	}
	if err := track.Add(Reading{There: 10, Error: 1}); err != nil {
		t.Fatal(err)
	}
	if track.Add(Reading{There: 10}) == nil {
		t.Error("a second reading of the same moment")
	}
	if err := track.Add(Reading{There: 10 + 1e9, Offset: 50_000, Error: 1}); err != nil {
		t.Fatal(err)
	}
	if ppm, bound, ok := track.Drift(); !ok || ppm < 49.9 || ppm > 50.1 || bound <= 0 {
		t.Errorf("50 µs in a second are %g ± %g parts of a million", ppm, bound)
	}
	if !track.Known(11) || track.Known(10+1e9) || track.Len() != 2 {
		t.Error("what is known")
	}
}

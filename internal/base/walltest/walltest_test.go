package walltest

import (
	"testing"
	"time"
)

func TestSet(t *testing.T) {
	now := time.Now()
	for _, d := range []time.Duration{0, time.Nanosecond, -time.Nanosecond, time.Second, 36 * time.Hour,
		-36 * time.Hour, 999999999, -999999999} {
		set := Set(t, now, d)
		if later := now.Add(time.Minute); later.Sub(set) != time.Minute || set.UnixNano() != now.UnixNano()+int64(d) {
			t.Errorf("set by %v: %v", d, set)
		}
	}
	clock := Jumping(t)
	if a, b := clock(), clock(); b.Sub(a) < 0 || b.Sub(a) > time.Minute ||
		b.Round(0).Sub(a.Round(0)).Abs() < 59*time.Minute {
		t.Errorf("%v, %v", a, b)
	}
}

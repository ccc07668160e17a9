package live

import (
	"math"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

const gib = 1 << 30

// mostPoints bounds the points of a line over the whole run. If it has more, neighbouring points are joined in pairs.
const mostPoints = 400

// trace is a line over the run that keeps the largest value of each part, so that peaks stay visible.
type trace struct {
	width  int64 // length of a part, in nanoseconds
	points []report.Point
	last   int64 // number of the newest part
}

func (t *trace) add(at int64, y float64) {
	if t.width == 0 {
		t.width = int64(500 * time.Millisecond)
	}
	i := at / t.width
	if n := len(t.points); n > 0 && i <= t.last {
		t.points[n-1].Y = math.Max(t.points[n-1].Y, y)
		return
	}
	t.points, t.last = append(t.points, report.Point{X: time.Duration(at).Seconds(), Y: y}), i
	if len(t.points) < mostPoints {
		return
	}
	half := t.points[:0]
	for k := 0; k+1 < len(t.points); k += 2 {
		p := t.points[k]
		p.Y = math.Max(p.Y, t.points[k+1].Y)
		half = append(half, p)
	}
	t.points, t.width = half, 2*t.width
	t.last = at / t.width
}

// resources is the memory and CPU that the server used over the run.
type resources struct {
	newest        *evidence.Sample
	peakRSS       int64
	cores, peak   float64
	from          *evidence.Sample // the sample from which CPU time is counted
	fromAt        int64
	memory, usage trace
}

func (r *resources) add(at int64, s *evidence.Sample) {
	r.newest = s
	if s.Err != "" {
		return
	}
	r.peakRSS = max(r.peakRSS, s.RSS)
	r.memory.add(at, float64(s.RSS)/gib)
	switch dt := time.Duration(at - r.fromAt).Seconds(); {
	case r.from == nil || s.CPUSeconds < r.from.CPUSeconds: // the first sample, or one of another process
		r.from, r.fromAt = s, at
	case dt >= 1: // because the kernel counts CPU time in ticks of 10 ms
		r.cores = (s.CPUSeconds - r.from.CPUSeconds) / dt
		r.peak = math.Max(r.peak, r.cores)
		r.usage.add(at, r.cores)
		r.from, r.fromAt = s, at
	}
}

func (r *resources) view(h *evidence.Header) Resources {
	v := Resources{PeakGB: float64(r.peakRSS) / gib, Cores: r.cores, PeakCores: r.peak}
	if r.newest != nil {
		v.Known, v.MemoryGB, v.Error = r.peakRSS > 0, float64(r.newest.RSS)/gib, r.newest.Err
	}
	if h != nil && h.Case != nil {
		v.MemoryLimitGB, v.CoresLimit = h.Case.Targets.MemoryGB, h.Case.Targets.CPUCores
	}
	return v
}

func (r *resources) series(now int64) report.Series {
	return report.Series{Duration: time.Duration(now).Seconds(), Memory: r.memory.points, CPU: r.usage.points}
}

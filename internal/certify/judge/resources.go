package judge

import (
	"fmt"
	"math"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

const (
	// blindGap is the longest time without a sample under load that is accepted. Samples are taken 10 times per
	// second, from remote metrics once per second; a peak of ten seconds must not be missed.
	blindGap = 10 * time.Second

	// tickCores is the resolution of CPU use over a window of 1 s, in cores. The kernel counts CPU time in ticks of 10
	// ms, which can be off by one at both ends.
	tickCores = 0.02
)

// goodSamples are the samples without an error.
func (r *run) goodSamples() []at[*evidence.Sample] {
	out := make([]at[*evidence.Sample], 0, len(r.samples))
	for _, s := range r.samples {
		if s.v.Err == "" {
			out = append(out, s)
		}
	}
	return out
}

// resources describes the server's memory and CPU.
func (r *run) resources() report.Resources {
	good := r.goodSamples()
	out := report.Resources{Source: r.header.Target.Resources, Samples: len(good), Errors: len(r.samples) - len(good)}
	if len(good) == 0 {
		return out
	}
	out.BaselineGB = gb(good[0].v.RSS)
	for _, s := range good {
		out.PeakGB = math.Max(out.PeakGB, gb(s.v.RSS))
		out.PeakAnonGB = math.Max(out.PeakAnonGB, gb(s.v.Anon))
		out.PeakFileGB = math.Max(out.PeakFileGB, gb(s.v.File))
		out.PeakGPUGB = math.Max(out.PeakGPUGB, gb(s.v.GPU))
	}
	for _, p := range r.phases {
		if p.plan.Kind != testcases.KindIdle || p.ran == nil {
			continue
		}
		for _, s := range good {
			if s.ns > p.ran.Start && s.ns <= p.ran.End {
				out.AfterIdleGB = ptr(gb(s.v.RSS)) // the last one stays
			}
		}
	}
	out.PeakCPU1s = peakCores(cpuWindows(good, time.Second))
	out.PeakCPU10s = peakCores(cpuWindows(good, 10*time.Second))
	out.PeakCPU60s = peakCores(cpuWindows(good, time.Minute))
	if out.Replicas = r.replicaUse(good); len(out.Replicas) > 0 {
		out.PeakGB, out.PeakGPUGB, out.PeakCPU1s, out.PeakCPU10s, out.PeakCPU60s = 0, 0, 0, 0, 0
		for _, x := range out.Replicas {
			out.PeakGB, out.PeakGPUGB = math.Max(out.PeakGB, x.PeakGB), math.Max(out.PeakGPUGB, x.PeakGPUGB)
			out.PeakCPU1s = math.Max(out.PeakCPU1s, x.PeakCPU1s)
			out.PeakCPU10s = math.Max(out.PeakCPU10s, x.PeakCPU10s)
			out.PeakCPU60s = math.Max(out.PeakCPU60s, x.PeakCPU60s)
		}
	}
	if f := r.leak; f != nil && f.points > 0 {
		out.SlopeMBH, out.SlopeBand = ptr(f.slope), band(f.lo, f.hi)
		out.SmallestMBH = ptr(f.smallest)
		if f.requests > 0 {
			out.SlopePer1000 = ptr(f.slope * f.hours / f.requests * 1000)
		}
		out.Cache = f.claim.report()
	}
	return out
}

func gb(bytes int64) float64 { return float64(bytes) / gib }

// coresAt is the mean number of cores over a window that ends at a time.
type coresAt struct {
	ns    int64
	cores float64
}

// cpuWindows computes the mean number of cores over windows of a length, from the counter of CPU seconds. One window
// ends at each sample. It begins at the latest sample that is at least the length older. If that would make it more
// than twice as long, because samples are missing, there is no window.
func cpuWindows(good []at[*evidence.Sample], length time.Duration) []coresAt {
	var out []coresAt
	j := 0
	for i := range good {
		for j+1 < i && good[i].ns-good[j+1].ns >= int64(length) {
			j++
		}
		span := good[i].ns - good[j].ns
		used := good[i].v.CPUSeconds - good[j].v.CPUSeconds
		// a counter falls if the process was replaced
		if span >= int64(length) && span <= 2*int64(length) && used >= 0 {
			// The older value may have been read at any moment while its reading took place. The window is longer by
			// that time, so that a counter that was read late does not look like a burst.
			out = append(out, coresAt{good[i].ns, used / seconds(span+good[j].v.Took)})
		}
	}
	return out
}

func peakCores(windows []coresAt) float64 {
	peak := 0.0
	for _, w := range windows {
		peak = math.Max(peak, w.cores)
	}
	return peak
}

// blind is the longest time under load without a sample.
func (r *run) blind(good []at[*evidence.Sample]) time.Duration {
	var worst int64
	for _, p := range r.load("") {
		if p.ran == nil {
			continue
		}
		last := p.ran.Start
		for _, s := range good {
			if s.ns > last && s.ns <= p.ran.End {
				worst = max(worst, s.ns-last)
				last = s.ns
			}
		}
		worst = max(worst, p.ran.End-last)
	}
	return time.Duration(worst)
}

// peakMemory compares the largest resident memory of any sample with the limit, in GiB.
func peakMemory(r *run, c *testcases.Check) outcome {
	limit, err := r.value(c, r.c.Targets.MemoryGB)
	if err != nil {
		return invalid("%v", err)
	}
	good := r.goodSamples()
	if len(good) == 0 {
		return invalid("memory was not observed (source: %s)", orElse(r.header.Target.Resources, "none"))
	}
	res := r.resources()
	o := outcome{measured: ptr(res.PeakGB), op: "<=", target: ptr(limit), unit: "GB", verdict: report.Pass,
		reason: fmt.Sprintf("%s; anonymous %s GB, file-backed %s GB", plural(len(good), "sample", "samples"),
			num(res.PeakAnonGB), num(res.PeakFileGB))}
	if c := res.Cache; c != nil && c.CapacityMB > c.UsedMB {
		o.reason += fmt.Sprintf("; by its own metrics it has %s GB of cache still to fill",
			num((c.CapacityMB-c.UsedMB)/1024))
	}
	o.reason += largest(res.Replicas, func(x report.Replica) float64 { return x.PeakGB })
	return r.watched(o, good, res.PeakGB <= limit)
}

// peakCPU compares the busiest second with the limit, in cores.
func peakCPU(r *run, c *testcases.Check) outcome {
	limit, err := r.value(c, r.c.Targets.CPUCores)
	if err != nil {
		return invalid("%v", err)
	}
	good := r.goodSamples()
	windows := cpuWindows(good, time.Second)
	if len(windows) == 0 {
		return invalid("CPU was not observed (source: %s)", orElse(r.header.Target.Resources, "none"))
	}
	res := r.resources()
	o := outcome{measured: ptr(res.PeakCPU1s), op: "<=", target: ptr(limit), unit: "cores", verdict: report.Pass,
		reason: fmt.Sprintf("busiest second; over 10 s %s, over 60 s %s cores", orNone(res.PeakCPU10s),
			orNone(res.PeakCPU60s))}
	if significant(res.PeakCPU1s) > limit {
		o.reason += fmt.Sprintf("; %s cores are allowed for the ticks of its clock", num(tickCores))
	}
	o.reason += largest(res.Replicas, func(x report.Replica) float64 { return x.PeakCPU1s })
	return r.watched(o, good, res.PeakCPU1s <= limit+tickCores)
}

func orNone(x float64) string {
	if x == 0 {
		return "(no such window)"
	}
	return num(x)
}

// watched turns a peak into a verdict. A peak above the limit is FAIL, even if samples are missing. A peak below it is
// PASS only if there were samples throughout the load.
func (r *run) watched(o outcome, good []at[*evidence.Sample], within bool) outcome {
	switch gap := r.blind(good); {
	case !within:
		o.verdict = report.Fail
	case gap > blindGap:
		o.verdict = report.Invalid
		o.reason = fmt.Sprintf("no sample for %s s under load; %s", num(gap.Seconds()), o.reason)
	}
	return o
}

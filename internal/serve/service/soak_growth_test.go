package service

import (
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/stats"
)

// soakSample is what the process holds between two rounds of load, with nothing under way. It is small, as all samples
// of a run are kept: a runtime.MemStats in it, of 6 KB, would itself be growth that the run finds.
type soakSample struct {
	heap       float64 // bytes alive after a collection
	rss        float64 // bytes
	goroutines float64
	files      float64 // open file descriptors
	blocks     float64 // KV blocks held
	latency    float64 // seconds, the median of a few requests one after the other
	fastest    float64 // of these requests: other work on the machine changes this least

	memory soakMemory
}

// soakMemory says what resident memory is used for, in bytes, to find out why it grows.
type soakMemory struct {
	inUse, kept                               uint64 // heap: pages in use; free pages not given back
	stacks, spans, collector, profiles, other uint64 // other memory of the Go runtime
	anonymous, mapped                         uint64 // parts of resident memory: of no file, of files; 0 if unknown
}

// readSoakMemory asks the runtime and the kernel.
func readSoakMemory() (heap float64, _ soakMemory) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc), soakMemory{inUse: m.HeapInuse, kept: m.HeapIdle - m.HeapReleased, stacks: m.StackSys,
		spans: m.MSpanSys + m.MCacheSys, collector: m.GCSys, profiles: m.BuckHashSys, other: m.OtherSys,
		anonymous: residentPart("RssAnon:"), mapped: residentPart("RssFile:")}
}

// residentPart reads a part of the resident memory from /proc/self/status, in bytes; 0 if it is not there.
func residentPart(name string) (bytes uint64) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			fmt.Sscan(rest, &bytes)
		}
	}
	return bytes << 10
}

// String lists the parts in KiB.
func (m *soakMemory) String() string {
	return fmt.Sprintf("heap %d in use, %d idle and not given back; stacks %d, spans %d, collector %d, profiles %d, "+
		"other %d; resident %d anonymous, %d of files KiB", m.inUse>>10, m.kept>>10, m.stacks>>10, m.spans>>10,
		m.collector>>10, m.profiles>>10, m.other>>10, m.anonymous>>10, m.mapped>>10)
}

// soakUnit is the unit in which the table shows a value.
type soakUnit struct {
	name  string
	scale float64
}

var (
	mebibytes    = soakUnit{" MiB", 1.0 / (1 << 20)}
	milliseconds = soakUnit{" ms", 1000}
	pieces       = soakUnit{"", 1}
)

// soakLimits are the gains over a whole run that still count as no growth.
var soakLimits = []struct {
	name  string
	of    func(soakSample) float64
	floor float64 // in the value's own unit
	share float64 // of the median
	unit  soakUnit
}{
	{"live heap", func(s soakSample) float64 { return s.heap }, 1 << 20, 0.05, mebibytes},
	{"resident memory", func(s soakSample) float64 { return s.rss }, 8 << 20, 0.05, mebibytes},
	// Go's memory profile, at /debug/pprof/, keeps a record of each call stack that allocated.
	{"resident memory without Go's memory profile",
		func(s soakSample) float64 { return s.rss - float64(s.memory.profiles) }, 8 << 20, 0.05, mebibytes},
	{"goroutines", func(s soakSample) float64 { return s.goroutines }, 1, 0, pieces},
	{"open files", func(s soakSample) float64 { return s.files }, 1, 0, pieces},
	{"KV blocks", func(s soakSample) float64 { return s.blocks }, 0.5, 0, pieces},
	{"latency, median of 15", func(s soakSample) float64 { return s.latency }, 0.0005, 0.2, milliseconds},
	{"latency, fastest of 15", func(s soakSample) float64 { return s.fastest }, 0.0005, 0.2, milliseconds},
}

// soakWarm is the share of rounds in which caches may fill: the prefix cache touches all its pages, and pools reach
// their size.
const soakWarm = 0.2

// trend is how one of soakLimits developed over a run after its warm-up, in the value's own unit.
type trend struct {
	name         string
	unit         soakUnit
	median       float64
	gain, lo, hi float64 // over the run: the Theil-Sen slope and its bounds at 99 %
	allowed      float64 // a gain up to this counts as no growth
	first, last  float64
	lasted       time.Duration
}

// visible is the smallest gain over the run that would have been found: the allowed gain and the noise.
func (r trend) visible() float64 { return r.allowed + r.gain - r.lo }

// trends returns the slopes of the samples of a run of this length.
func trends(samples []soakSample, lasted time.Duration) (list []trend) {
	warm := int(float64(len(samples)) * soakWarm)
	lasted = lasted * time.Duration(len(samples)-warm) / time.Duration(len(samples))
	samples = samples[warm:]
	x := make([]float64, len(samples))
	for i := range x {
		x[i] = float64(i)
	}
	for _, l := range soakLimits {
		y := make([]float64, len(samples))
		for i, s := range samples {
			y[i] = l.of(s)
		}
		slope, lo, hi := stats.TheilSen(x, y, 0.99)
		n := float64(len(samples) - 1)
		middle := stats.Median(y)
		list = append(list, trend{name: l.name, unit: l.unit, median: middle, gain: slope * n, lo: lo * n,
			hi: hi * n, allowed: max(l.floor, l.share*middle), first: y[0], last: y[len(y)-1], lasted: lasted})
	}
	return list
}

// growth lists the values that grow: the lower bound of the slope makes more over the run than the limit. A noisy
// series has a low bound, so growth that is found is beyond doubt, and growth that is not found is smaller than the
// growth that TestGrowth adds.
func growth(list []trend) (found []string) {
	for _, r := range list {
		if r.lo > r.allowed {
			found = append(found,
				fmt.Sprintf("%s grows by %.4g over the run (at least %.4g, %.4g allowed): from %.4g to %.4g",
					r.name, r.gain, r.lo, r.allowed, r.first, r.last))
		}
	}
	return found
}

// soakTable is the table of docs/SECURITY.md.
func soakTable(list []trend) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 1, ' ', 0)
	fmt.Fprintln(w, "| what\t| median\t| trend an hour\t| its bounds at 99 %\t| smallest visible trend an hour\t|")
	fmt.Fprintln(w, "|---\t|---\t|---\t|---\t|---\t|")
	for _, r := range list {
		scale, unit := r.unit.scale, r.unit.name
		hour := scale / r.lasted.Hours()
		fmt.Fprintf(w, "| %s\t| %.4g%s\t| %+.3g%s\t| %+.3g to %+.3g%s\t| %.3g%s\t|\n", r.name, r.median*scale, unit,
			r.gain*hour, unit, r.lo*hour, r.hi*hour, unit, r.visible()*hour, unit)
	}
	w.Flush()
	return b.String()
}

// TestSamplesAreSmall: the samples that a soak keeps are far smaller than the growth that it looks for.
func TestSamplesAreSmall(t *testing.T) {
	const most = 64 << 10 // 1 MiB counts as no growth
	if bytes := reflect.TypeFor[soakSample]().Size() * 480; bytes > most {
		t.Errorf("480 samples take %d bytes, want %d at most", bytes, most)
	}
}

// TestGrowth: among series like those of a run, with noise, growth finds those that grow and no others.
func TestGrowth(t *testing.T) {
	series := func(seed uint64, plant func(i int, s *soakSample)) []soakSample {
		rng := rand.New(rand.NewPCG(seed, 0))
		samples := make([]soakSample, 40)
		for i := range samples {
			samples[i] = soakSample{heap: 5e6 * (1 + 0.01*rng.NormFloat64()), rss: 6e7 * (1 + 0.02*rng.NormFloat64()),
				goroutines: 12 + float64(rng.IntN(2)), files: 9 + float64(rng.IntN(2)),
				latency: 0.01 * (1 + 0.1*rng.NormFloat64()), fastest: 0.008 * (1 + 0.05*rng.NormFloat64())}
			plant(i, &samples[i])
		}
		return samples
	}
	for seed := range uint64(20) {
		if found := growth(trends(series(seed, func(int, *soakSample) {}), time.Hour)); len(found) > 0 {
			t.Errorf("seed %d: nothing grows, but %v", seed, found)
		}
		for name, plant := range map[string]func(i int, s *soakSample){
			"live heap":        func(i int, s *soakSample) { s.heap += 64e3 * float64(i) },
			"resident memory":  func(i int, s *soakSample) { s.rss += 400e3 * float64(i) },
			"goroutines":       func(i int, s *soakSample) { s.goroutines += float64(i / 5) },
			"open files":       func(i int, s *soakSample) { s.files += float64(i / 5) },
			"KV blocks":        func(i int, s *soakSample) { s.blocks += float64(i / 8) },
			"latency, median":  func(i int, s *soakSample) { s.latency += 0.0003 * float64(i) },
			"latency, fastest": func(i int, s *soakSample) { s.fastest += 0.0003 * float64(i) },
		} {
			found := growth(trends(series(seed, plant), time.Hour))
			want := 1
			if name == "resident memory" {
				want = 2 // with and without the profile
			}
			if len(found) != want || found[0][:len(name)] != name {
				t.Errorf("seed %d: %s grows, found %v", seed, name, found)
			}
		}
		// The records of the profile are counted exactly once.
		found := growth(trends(series(seed, func(i int, s *soakSample) {
			s.rss, s.memory.profiles = s.rss+400e3*float64(i), 400e3*uint64(i)
		}), time.Hour))
		if len(found) != 1 || !strings.HasPrefix(found[0], "resident memory grows") {
			t.Errorf("seed %d: the memory profile grows, found %v", seed, found)
		}
	}
}

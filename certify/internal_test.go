package certify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/certify/prompts"
	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/base/property"
	"github.com/hxp-enterprise/mixtral/internal/base/stats"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/loadgen"
	"github.com/hxp-enterprise/mixtral/internal/certify/probe"
	"github.com/hxp-enterprise/mixtral/internal/certify/remote"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// The tests of this package run several whole runs at once, under race at a low priority: a healthy server or
// generator may then be silent for seconds.
func init() {
	flushTime, fitPatience, saidPatience, remote.Silence = time.Minute, time.Minute, time.Minute, time.Minute
	loadgen.RaceWait, probe.Patience = time.Minute, time.Minute
}

// ScrapesIn bounds each scrape of a run, for servers whose metrics never end.
func ScrapesIn(o Options, limit time.Duration) Options {
	o.scrapeTime = limit
	return o
}

func TestNoSaltComesTwice(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		seen := map[string]bool{}
		for _, phase := range []int{0, 1, 18} {
			for _, n := range []int{0, 1, 2, 1000, saltStretch / 2, saltStretch - 1} {
				s := salt(seed, phase, n)
				if len(s) != saltLetters || seen[s] {
					t.Fatalf("%q for phase %d, request %d", s, phase, n)
				}
				seen[s] = true
			}
		}
	})
	all := map[string]bool{}
	for n := range 50_000 {
		all[salt(1, 4, n)] = true
	}
	if len(all) != 50_000 {
		t.Errorf("%d different markers of 50,000", len(all))
	}
}

func TestTheOfferedRateIsTheOneAskedFor(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		rps := rapid.Float64Range(0.5, 500).Draw(t, "rps")
		d := time.Duration(rapid.IntRange(1, 30).Draw(t, "seconds")) * time.Second
		least := rapid.IntRange(0, 50).Draw(t, "least")
		arrivals := rapid.SampledFrom([]testcases.Arrivals{testcases.ArrivalsPoisson,
			testcases.ArrivalsConstant}).Draw(t, "arrivals")
		seed := rapid.Uint64().Draw(t, "seed")
		got := offsets(seed, rps, d, least, arrivals)
		want := max(least, int(math.Round(rps*d.Seconds())), 1)
		if len(got) != want {
			t.Fatalf("%d arrivals, want %d", len(got), want)
		}
		length := time.Duration(float64(want) / rps * float64(time.Second))
		if !slices.IsSorted(got) || got[0] < 0 || got[want-1] > length {
			t.Fatalf("from %v to %v in %v", got[0], got[want-1], length)
		}
		if again := offsets(seed, rps, d, least, arrivals); !slices.Equal(got, again) {
			t.Fatal("the same seed gave other arrivals")
		}
	})
}

// In a Poisson process the variance of the count in a window equals the mean; with even spacing it is 0.
func TestArrivalsAreBursty(t *testing.T) {
	got := offsets(3, 100, 60*time.Second, 0, "poisson")
	var counts [60]float64
	for _, at := range got {
		counts[min(int(at/time.Second), 59)]++
	}
	variance := 0.0
	for _, c := range counts {
		variance += (c - 100) * (c - 100) / 59
	}
	if variance < 50 || variance > 170 { // the far tails of χ² with 59 degrees of freedom
		t.Errorf("variance of counts a second is %.0f, a Poisson process has about 100", variance)
	}
}

func testAsker() *asker {
	c := testcases.Defaults()
	return &asker{c: &c, prompts: prompts.Default(), model: "m", seed: 9}
}

func body(t *testing.T, data []byte) openai.ChatRequest {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var r openai.ChatRequest
	if err := dec.Decode(&r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRequestsAreSaltedButForQuality(t *testing.T) {
	a := testAsker()
	load := testcases.Phase{ID: "x", Kind: testcases.KindClosed,
		Prompts: []string{"reasoning/simple", "generation/creative"}, MaxTokens: 5}
	first, second, third := a.job(1, load, 0), a.job(1, load, 1), a.job(1, load, 2)
	if first.Prompt != "reasoning/simple" || second.Prompt != "generation/creative" || third.Prompt != first.Prompt {
		t.Errorf("prompts %s, %s, %s", first.Prompt, second.Prompt, third.Prompt)
	}
	r, other := body(t, first.Body), body(t, third.Body)
	text, again := r.Messages[0].Content, other.Messages[0].Content
	if !strings.HasSuffix(text, "What is 2 + 2?") || !strings.HasSuffix(again, "What is 2 + 2?") ||
		text[:8] == again[:8] {
		t.Errorf("%q and %q must differ at their start, and ask the same", text, again)
	}
	if r.MaxTokens != 5 || *r.Temperature != 0.7 || !r.Stream || !r.StreamOptions.IncludeUsage || r.Model != "m" ||
		*r.Seed == *other.Seed {
		t.Errorf("request %s", first.Body)
	}
	if same := testAsker().job(1, load, 0); !bytes.Equal(same.Body, first.Body) {
		t.Error("the same seed makes another request")
	}
	quality := a.job(2, testcases.Phase{ID: "q", Kind: testcases.KindQuality, KeepText: true}, 0)
	if got := body(t, quality.Body); got.Messages[0].Content != a.prompts.Prompts[0].Text ||
		got.MaxTokens != a.c.Request.MaxTokens || !quality.KeepText {
		t.Errorf("quality asks %s", quality.Body)
	}
	a.form.leftOut = []evidence.LeftOut{{Field: "stream_options"}}
	if bytes.Contains(a.job(1, load, 0).Body, []byte("stream_options")) {
		t.Error("stream_options for a server that refuses them")
	}
}

func TestArithmeticNamesEveryPhase(t *testing.T) {
	loaded, err := Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	for profile, phases := range loaded.Case.Profiles {
		text := Arithmetic(loaded.Case, profile, 9)
		for _, ph := range phases {
			if !strings.Contains(text, ph.ID) {
				t.Errorf("%s: nothing of %s in\n%s", profile, ph.ID, text)
			}
		}
	}
}

func TestMonitor(t *testing.T) {
	var m Monitor // the zero value must work
	if s := m.Summary(); !math.IsNaN(s.AvgLatencyMS) || !math.IsNaN(s.AvgQualityScore) || s.PeakMemoryBytes != 0 {
		t.Errorf("empty: %+v", s)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			m.RecordLatency("single_request", time.Duration(i+1)*time.Millisecond)
			m.RecordThroughput("batch_requests", 50)
			m.RecordQuality("response_quality", 0.5)
			m.RecordResourceUsage(ResourceMemory, float64(i))
			m.RecordResourceUsage(ResourceCPU, float64(-i))
			m.RecordResourceUsage("gpu", 99)
			m.RecordQuality("response_quality", math.NaN())
			m.RecordResourceUsage(ResourceMemory, math.NaN())
			_ = m.Summary()
		})
	}
	wg.Wait()
	s := m.Summary()
	if s.AvgLatencyMS != 4.5 || s.AvgThroughputRPS != 50 || s.AvgQualityScore != 0.5 || s.PeakMemoryBytes != 7 ||
		s.PeakCPUCores != 0 || s.ResourceRecords != 24 {
		t.Errorf("%+v", s)
	}
	if l := s.Latency["single_request"]; l.N != 8 || l.Min != 1 || l.Max != 8 || l.Mean != 4.5 {
		t.Errorf("%+v", l)
	}
}

func TestASpeedUpMustBeCertain(t *testing.T) {
	slow, fast := []float64{100, 110, 120, 105, 95, 115, 108, 102}, []float64{10, 11, 12, 9, 8, 13, 10.5, 10.2}
	if !certain(slow, fast) || certain(fast, slow) || certain(slow, slow) || certain(nil, fast) {
		t.Error("certain")
	}
	if f := faster(slow, fast); math.Abs(f-0.9) > 0.02 || faster(nil, fast) != 0 {
		t.Errorf("faster by %g", f)
	}
}

func TestABaselineSaysWhatItKnows(t *testing.T) {
	for _, tt := range []struct {
		answered, failed int
		steady           bool
		says             string
	}{
		{0, 7, false, "none of 7 warm-up requests was answered"},
		{stats.FewestSteady - 1, 0, false, "too few to tell"},
		{stats.FewestSteady, 0, false, "has not settled yet"},
		{stats.FewestSteady, 0, true, "steady after 10 of 50"},
	} {
		latencies := slices.Repeat([]float64{2}, tt.answered)
		res := baseline(latencies, tt.failed, min(10, tt.answered), tt.steady)
		if said := fmt.Sprint(res.detail, res.err); !strings.Contains(said, tt.says) ||
			(res.err != nil) != (tt.answered == 0) {
			t.Errorf("%d answered, steady %v: %s", tt.answered, tt.steady, said)
		}
	}
}

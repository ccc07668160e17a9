package judge

import (
	"maps"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// fleetOf turns the record of a run against one server into that of a run against three replicas. Replica a gets half
// of what the server counted and used, b and c a quarter each. read may change a replica's reading at a time in
// seconds.
func fleetOf(events []evidence.Event, read func(t float64, part *evidence.ReplicaScrape)) []evidence.Event {
	shares := map[string]float64{"a": 0.5, "b": 0.25, "c": 0.25}
	out := make([]evidence.Event, len(events))
	for i, e := range events {
		t := float64(e.At) / 1e9
		if e.Scrape != nil && e.Scrape.Err == "" {
			s := *e.Scrape
			for _, name := range []string{"a", "b", "c"} {
				part := evidence.ReplicaScrape{Name: name, Values: map[string]float64{}}
				for k, v := range s.Values {
					part.Values[k] = v * shares[name]
				}
				read(t, &part)
				s.Replicas = append(s.Replicas, part)
			}
			e.Scrape = &s
		}
		if e.Sample != nil && e.Sample.Err == "" {
			s := *e.Sample
			for _, name := range []string{"a", "b", "c"} {
				part := evidence.ReplicaScrape{Name: name, Values: map[string]float64{}}
				read(t, &part)
				one := evidence.ReplicaSample{Name: name, Err: part.Err}
				if part.Err == "" {
					one.RSS, one.CPUSeconds = int64(shares[name]*float64(s.RSS)), shares[name]*s.CPUSeconds
				}
				s.Replicas = append(s.Replicas, one)
			}
			e.Sample = &s
		}
		out[i] = e
	}
	return out
}

func row(t *testing.T, r *report.Report, id string) report.Reconciled {
	t.Helper()
	for _, x := range r.Reconciliation {
		if x.ID == id {
			return x
		}
	}
	t.Fatalf("no row %s", id)
	return report.Reconciled{}
}

// judgeFleet judges a fleet whose readings are changed by read, and whose sums are then changed by lie.
func judgeFleet(t *testing.T, s *sim, read func(float64, *evidence.ReplicaScrape),
	lie func(*evidence.Scrape)) *report.Report {
	t.Helper()
	s.gauges = true
	events := fleetOf(s.run(), read)
	for _, e := range events {
		if e.Scrape != nil && e.Scrape.Err == "" && lie != nil {
			values := maps.Clone(e.Scrape.Values)
			e.Scrape.Values = values
			lie(e.Scrape)
		}
	}
	rep, err := Judge(events)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// TestAFleetIsJudgedByItsLargestReplica: the limits of memory and CPU apply to each replica.
func TestAFleetIsJudgedByItsLargestReplica(t *testing.T) {
	untouched := func(float64, *evidence.ReplicaScrape) {}
	one, fleet := judged(t, healthy(1)), judgeFleet(t, healthy(1), untouched, nil)
	if fleet.Status != report.Pass || row(t, fleet, "replicas").Verdict != report.Info ||
		!strings.Contains(row(t, fleet, "replicas").Reason, "all 3 were there") {
		t.Errorf("%s, %+v", fleet.Status, row(t, fleet, "replicas"))
	}
	memory, cpu := check(t, fleet, "memory"), check(t, fleet, "cpu")
	if got, want := *memory.Measured, *check(t, one, "memory").Measured/2; got < 0.99*want || got > 1.01*want ||
		!strings.Contains(memory.Reason, "replica a, the largest of 3") {
		t.Errorf("memory %v, want %v: %s", got, want, memory.Reason)
	}
	if got, want := *cpu.Measured, *check(t, one, "cpu").Measured/2; got < 0.9*want || got > 1.1*want ||
		!strings.Contains(cpu.Reason, "replica a") {
		t.Errorf("CPU %v, want %v: %s", got, want, cpu.Reason)
	}
	if n := len(fleet.Resources.Replicas); n != 3 {
		t.Errorf("%d replicas", n)
	}
	for _, x := range one.Reconciliation {
		if x.ID == "replicas" {
			t.Error("one server is called a fleet")
		}
	}
}

// TestAReplicaThatIsLostIsNamed: counts that were lost with a replica make the comparison INVALID. If no replica was
// lost, the same counts are FAIL; so are counts that are higher than the client's.
func TestAReplicaThatIsLostIsNamed(t *testing.T) {
	short := func(s *evidence.Scrape) { // the server counts three requests too few
		if _, ok := s.Label.At(evidence.ScrapeAfter); ok {
			s.Values[evidence.MetricRequests] -= 3
		}
	}
	lost := func(from, to float64) func(float64, *evidence.ReplicaScrape) {
		return func(at float64, part *evidence.ReplicaScrape) {
			if part.Name != "b" || at < from {
				return
			}
			if at < to {
				part.Err, part.Values = "connection refused", nil
				return
			}
			part.Values[evidence.MetricRequests] = 1 // it counts from zero again
			part.Values[evidence.MetricGenerationTokens] = 1
		}
	}
	s := healthy(2)
	s.lie = short
	if v := check(t, judged(t, s), "metrics").Verdict; v != report.Fail {
		t.Errorf("counts that fall short without a loss: %s", v)
	}
	for name, test := range map[string]struct {
		from, to float64
		news     []string
	}{
		"for good":   {20, 1e9, []string{"replica b was lost at", "connection refused"}},
		"for a time": {20, 40, []string{"replica b was lost at", "and came back at", "begun anew"}},
		"not seen":   {30, 30, []string{"replica b began anew at"}},
	} {
		rep := judgeFleet(t, healthy(2), lost(test.from, test.to), short)
		got := check(t, rep, "metrics")
		if got.Verdict != report.Invalid {
			t.Errorf("%s: %s: %s", name, got.Verdict, got.Reason)
		}
		news := strings.Join(rep.Resources.Replicas[1].News, "; ")
		for _, want := range test.news {
			if text := row(t, rep, "replicas").Reason; !strings.Contains(text, want) {
				t.Errorf("%s: %q does not say %q", name, text, want)
			}
			if !strings.Contains("replica b "+strings.ReplaceAll(news, "; ", " and "), want) {
				t.Errorf("%s: the replica's own news are %q", name, news)
			}
		}
	}
	more := func(e *evidence.Scrape) {
		if _, ok := e.Label.At(evidence.ScrapeAfter); ok {
			e.Values[evidence.MetricRequests] += 50
		}
	}
	if v := check(t, judgeFleet(t, healthy(2), lost(20, 1e9), more), "metrics").Verdict; v != report.Fail {
		t.Errorf("more than was sent, with a replica lost: %s", v)
	}
}

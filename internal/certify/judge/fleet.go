package judge

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// member is what the record says about one replica of a fleet.
type member struct {
	name     string
	last     map[string]float64 // its latest counters, by name
	gone     bool
	lost     int64    // when it was lost, the last time
	news     []string // losses and restarts in words, in the order of time
	restarts int
	losses   int
}

// fleet follows the replicas of a fleet through the record's scrapes; nil if the target is one server. A replica that
// does not answer is lost until it answers again. A replica whose counters fall has restarted.
func (r *run) fleet() (list []*member) {
	begin := int64(0)
	for _, s := range r.scrapes {
		if s.v.Err != "" || len(s.v.Replicas) == 0 {
			continue
		}
		if list == nil {
			begin = s.ns
		}
		for _, part := range s.v.Replicas {
			i := slices.IndexFunc(list, func(m *member) bool { return m.name == part.Name })
			if i < 0 {
				m := &member{name: part.Name}
				if s.ns > begin {
					m.news = append(m.news, "came at "+when(s.ns))
				}
				list, i = append(list, m), len(list)
			}
			list[i].see(s.ns, part)
		}
	}
	return list
}

// see adds one reading of the replica.
func (m *member) see(ns int64, part evidence.ReplicaScrape) {
	if part.Err != "" {
		if !m.gone {
			m.gone, m.lost, m.losses = true, ns, m.losses+1
			m.news = append(m.news, fmt.Sprintf("was lost at %s (%s)", when(ns), part.Err))
		}
		return
	}
	anew := false
	for _, name := range []string{evidence.MetricCPUSeconds, evidence.MetricRequests,
		evidence.MetricGenerationTokens} {
		now, is := part.Values[name]
		anew = anew || is && now < m.last[name]
	}
	switch {
	case m.gone && anew:
		m.news = append(m.news, "came back at "+when(ns)+", begun anew")
	case m.gone:
		m.news = append(m.news, "answered again at "+when(ns))
	case anew:
		m.news = append(m.news, "began anew at "+when(ns))
	}
	if anew {
		m.restarts++
	}
	if m.gone = false; m.last == nil {
		m.last = map[string]float64{}
	}
	maps.Copy(m.last, part.Values)
}

func when(ns int64) string { return num(math.Round(seconds(ns)*10)/10) + " s" }

// disturbed names the replicas that were lost or restarted, with their news; "" if there are none.
func disturbed(list []*member) string {
	var out []string
	for _, m := range list {
		if m.losses+m.restarts > 0 {
			out = append(out, "replica "+m.name+" "+strings.Join(m.news, " and "))
		}
	}
	return strings.Join(out, "; ")
}

// fleetRow says how many replicas were there at the end, and which were lost, came or restarted.
func fleetRow(list []*member) report.Reconciled {
	there := 0
	var news []string
	for _, m := range list {
		if !m.gone {
			there++
		}
		if len(m.news) > 0 {
			news = append(news, "replica "+m.name+" "+strings.Join(m.news, " and "))
		}
	}
	row := report.Reconciled{ID: "replicas", Unit: "replicas", Server: ptr(float64(there)), Verdict: report.Info,
		Reason: fmt.Sprintf("all %d were there to the end", len(list))}
	if len(news) > 0 {
		row.Reason = strings.Join(news, "; ")
	}
	return row
}

// doubtful turns FAIL into INVALID if a lost replica can explain the difference: it is unknown what it counted between
// its last scrape and its end. It cannot explain a count that is higher than the client's.
func doubtful(rows []report.Reconciled, why string) {
	for i := range rows {
		row := &rows[i]
		more := row.Server != nil && row.Client != nil && *row.Server > *row.Client
		counts := row.Unit == "requests" || row.Unit == "tokens"
		if row.Verdict == report.Fail && !(counts && more) {
			row.Verdict = report.Invalid
			row.Reason += ", but " + why
		}
	}
}

// replicaUse lists the resources that each replica used, in the order in which the replicas appeared; nil if the
// target is one server.
func (r *run) replicaUse(good []at[*evidence.Sample]) []report.Replica {
	var out []report.Replica
	series := map[string][]at[*evidence.Sample]{}
	for _, s := range good {
		for _, part := range s.v.Replicas {
			i := slices.IndexFunc(out, func(x report.Replica) bool { return x.Name == part.Name })
			if i < 0 {
				out, i = append(out, report.Replica{Name: part.Name}), len(out)
			}
			if part.Err != "" {
				continue
			}
			out[i].PeakGB = math.Max(out[i].PeakGB, gb(part.RSS))
			out[i].PeakGPUGB = math.Max(out[i].PeakGPUGB, gb(part.GPU))
			one := &evidence.Sample{RSS: part.RSS, CPUSeconds: part.CPUSeconds, Took: s.v.Took}
			series[part.Name] = append(series[part.Name], at[*evidence.Sample]{s.ns, one})
		}
	}
	for i := range out {
		out[i].PeakCPU1s = peakCores(cpuWindows(series[out[i].Name], time.Second))
		out[i].PeakCPU10s = peakCores(cpuWindows(series[out[i].Name], 10*time.Second))
		out[i].PeakCPU60s = peakCores(cpuWindows(series[out[i].Name], time.Minute))
	}
	for _, m := range r.fleet() {
		if i := slices.IndexFunc(out, func(x report.Replica) bool { return x.Name == m.name }); i >= 0 {
			out[i].News = m.news
		}
	}
	return out
}

// largest names the replica to which a peak belongs; "" if the target is one server. Limits apply to each replica.
func largest(replicas []report.Replica, peak func(report.Replica) float64) string {
	if len(replicas) == 0 {
		return ""
	}
	worst := slices.MaxFunc(replicas, func(a, b report.Replica) int {
		return cmp.Compare(peak(a), peak(b))
	})
	return fmt.Sprintf("; replica %s, the largest of %d", worst.Name, len(replicas))
}

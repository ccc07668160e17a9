package judge

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// fewestGauges is the smallest number of gauge readings under load that are averaged.
const fewestGauges = 5

// gaugeRow compares running + waiting, as the server reported it under load, with the number of requests that the
// client had in flight at the same moments. The moment of a reading is only known to within the time of its scrape, so
// the spread of the differences is allowed for.
func (r *run) gaugeRow() report.Reconciled {
	row := report.Reconciled{ID: "in_flight", Unit: "requests"}
	var server, client float64
	var diffs, clear []float64 // clear: of phases that other programs did not disturb
	taken := ""
	byPhase := map[string][][2]float64{} // readings: the server's, the client's
	for _, s := range r.scrapes {
		id, ok := s.v.Label.At(evidence.ScrapeDuring)
		p := r.byID(id)
		running, has := s.v.Values[evidence.MetricRunning]
		if !ok || s.v.Err != "" || p == nil || !has || s.v.Age > int64(time.Second) {
			continue
		}
		x := running + s.v.Values[evidence.MetricWaiting]
		y := float64(p.inFlightAt(s.ns-s.v.Took/2)+p.inFlightAt(s.ns-s.v.Took)+p.inFlightAt(s.ns)) / 3
		server, client = server+x, client+y
		diffs = append(diffs, x-y)
		byPhase[id] = append(byPhase[id], [2]float64{x, y})
		if why := r.taken(p); why != "" {
			taken = why
		} else {
			clear = append(clear, x-y)
		}
	}
	n := len(diffs)
	if n < fewestGauges {
		row.Verdict, row.Reason = report.Info, orElse(map[bool]string{true: notOffered}[n == 0],
			"too few readings under load")
		return row
	}
	server, client = server/float64(n), client/float64(n)
	row.Server, row.Client = ptr(server), ptr(client)
	// a request on the network is in flight, but not in the server
	allowed := math.Max(1, r.c.Limits.LittleShare*client)
	differ := func(x []float64) bool {
		_, lo, hi := meanInterval(x, r.conf(), r.header.Rules)
		return lo > allowed || hi < -allowed
	}
	if row.Verdict, row.Reason = report.Pass, fmt.Sprintf("mean of %s under load",
		plural(n, "reading", "readings")); differ(diffs) {
		row.Verdict = report.Fail
		row.Reason += fmt.Sprintf("; they differ by more than %s", num(allowed))
		if taken != "" && (len(clear) < fewestGauges || !differ(clear)) {
			row.Verdict = report.Invalid
			row.Reason += ", but " + taken
		}
	}
	if r.header.Rules >= 1 && row.Verdict == report.Pass {
		r.gaugeByPhase(&row, byPhase)
	}
	return row
}

// gaugeByPhase compares phase by phase. Over phases of different loads the differences spread as widely as the loads,
// which would hide a gauge that is always several times too high.
func (r *run) gaugeByPhase(row *report.Reconciled, byPhase map[string][][2]float64) {
	// all phases together have the error probability of one test
	each := 1 - (1-r.conf())/float64(max(len(byPhase), 1))
	for _, id := range sortedKeys(byPhase) {
		readings := byPhase[id]
		if len(readings) < fewestGauges {
			continue
		}
		var server, client float64
		var diffs []float64
		for _, x := range readings {
			server, client = server+x[0], client+x[1]
			diffs = append(diffs, x[0]-x[1])
		}
		server, client = server/float64(len(readings)), client/float64(len(readings))
		allowed := math.Max(1, r.c.Limits.LittleShare*client)
		_, lo, hi := meanInterval(diffs, each, r.header.Rules)
		if lo <= allowed && hi >= -allowed {
			continue
		}
		row.Verdict = report.Fail
		row.Reason += fmt.Sprintf("; in phase %s the server says %s where the client had %s in flight", id,
			num(server), num(client))
		if why := r.taken(r.byID(id)); why != "" {
			row.Verdict, row.Reason = report.Invalid, row.Reason+", but "+why
			continue
		}
		return
	}
}

// monotoneRow reports counters that fell: such a counter was reset, or is wrong.
func (r *run) monotoneRow() report.Reconciled {
	row := report.Reconciled{ID: "monotone", Unit: "falls"}
	gauges := []string{evidence.MetricRunning, evidence.MetricWaiting, evidence.MetricKVUsage,
		evidence.MetricCacheUsed, evidence.MetricCacheCapacity, evidence.MetricRSS}
	last := map[string]float64{}
	var fell []string
	see := func(name string, v float64) {
		if old, ok := last[name]; ok && v < old && !slices.Contains(fell, name) {
			fell = append(fell, name)
		}
		last[name] = v
	}
	for _, s := range r.scrapes {
		if s.v.Err != "" {
			continue
		}
		for _, k := range sortedKeys(s.v.Values) {
			if !slices.Contains(gauges, k) {
				see(k, s.v.Values[k])
			}
		}
		for _, k := range sortedKeys(s.v.Histograms) {
			see(k+"_count", s.v.Histograms[k].Count)
		}
	}
	row.Server, row.Client = ptr(float64(len(fell))), ptr(0)
	if row.Verdict, row.Reason = report.Pass, "no counter ever fell"; len(fell) > 0 {
		row.Verdict, row.Reason = report.Fail, "fell: "+strings.Join(fell, ", ")
	}
	return row
}

// ageRow compares the age of the oldest figures with its limit.
func (r *run) ageRow() report.Reconciled {
	row := report.Reconciled{ID: "scrape_age", Unit: "s"}
	var worst int64
	for _, s := range r.scrapes {
		if s.v.Err == "" {
			worst = max(worst, s.v.Age)
		}
	}
	row.Server = ptr(seconds(worst))
	if row.Verdict, row.Reason = report.Pass, "of the oldest figures used"; worst > int64(oldestScrape) {
		row.Verdict, row.Reason = report.Fail, fmt.Sprintf("the limit is %s s", num(oldestScrape.Seconds()))
	}
	return row
}

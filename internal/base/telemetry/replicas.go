package telemetry

import "github.com/prometheus/client_golang/prometheus"

// Fleet describes the upstream servers.
type Fleet struct {
	Replicas []Replica
	Retries  int64 // requests that were tried again, since start
	Denied   int64 // retries that the budget did not allow
	Missing  int   // models without a replica that may be used now
}

// Replica describes one upstream server.
type Replica struct {
	Name        string // unique
	Up          bool
	State       string // one of ReplicaStates
	Outstanding int
	Weight      float64
	Requests    int64 // sent, since it was added
	Failures    int64 // of these
	First       Times // to the first byte of an answer
}

// Times is a histogram of durations.
type Times struct {
	Count   uint64
	Sum     float64            // seconds
	Buckets map[float64]uint64 // by upper bound in seconds, cumulated
}

// ReplicaStates are the possible states of a replica; the gateway's routing defines them.
var ReplicaStates = []string{"up", "starting", "trial", "paused", "ejected", "down", "draining"}

// SetFleet sets the function that returns the upstream servers. Without it their metrics are not exported.
func (m *Metrics) SetFleet(read func() Fleet) { m.fleet.Store(&read) }

// fleetCollector reads all replicas once per scrape.
type fleetCollector struct{ m *Metrics }

var (
	replicaDescs = descsOf([]string{LabelReplica}, UpstreamUp, UpstreamOutstanding, UpstreamWeight, UpstreamRequests,
		UpstreamFailures, UpstreamFirstByte)
	stateDescs = descsOf(stateLabels, UpstreamState)
	fleetDescs = descsOf(nil, UpstreamRetries, UpstreamRetriesDenied, UpstreamModelsMissing)
)

// Describe implements prometheus.Collector.
func (c *fleetCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []descs{replicaDescs, stateDescs, fleetDescs} {
		d.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (c *fleetCollector) Collect(ch chan<- prometheus.Metric) {
	read := c.m.fleet.Load()
	if read == nil {
		return
	}
	f := (*read)()
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	for _, r := range f.Replicas {
		send(replicaDescs[0], prometheus.GaugeValue, one(r.Up), r.Name)
		send(replicaDescs[1], prometheus.GaugeValue, float64(r.Outstanding), r.Name)
		send(replicaDescs[2], prometheus.GaugeValue, r.Weight, r.Name)
		send(replicaDescs[3], prometheus.CounterValue, float64(r.Requests), r.Name)
		send(replicaDescs[4], prometheus.CounterValue, float64(r.Failures), r.Name)
		ch <- prometheus.MustNewConstHistogram(replicaDescs[5], r.First.Count, r.First.Sum, r.First.Buckets, r.Name)
		for _, s := range ReplicaStates {
			send(stateDescs[0], prometheus.GaugeValue, one(r.State == s), r.Name, s)
		}
	}
	send(fleetDescs[0], prometheus.CounterValue, float64(f.Retries))
	send(fleetDescs[1], prometheus.CounterValue, float64(f.Denied))
	send(fleetDescs[2], prometheus.GaugeValue, float64(f.Missing))
}

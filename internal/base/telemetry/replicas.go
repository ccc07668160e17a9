package telemetry

import "github.com/prometheus/client_golang/prometheus"

// Replica is what is known of one upstream server.
type Replica struct {
	Name     string // host:port
	Up       bool
	Failures int64 // since start
}

// SetReplicas says where the upstream servers' metrics come from. Without one there are none.
func (m *Metrics) SetReplicas(read func() []Replica) { m.replicas.Store(&read) }

// replicaCollector reads all replicas once for a scrape.
type replicaCollector struct {
	descs
	m *Metrics
}

var replicaDescs = descsOf([]string{LabelReplica}, UpstreamUp, UpstreamFailures)

func (c *replicaCollector) Collect(ch chan<- prometheus.Metric) {
	read := c.m.replicas.Load()
	if read == nil {
		return
	}
	for _, r := range (*read)() {
		ch <- prometheus.MustNewConstMetric(replicaDescs[0], prometheus.GaugeValue, one(r.Up), r.Name)
		ch <- prometheus.MustNewConstMetric(replicaDescs[1], prometheus.CounterValue, float64(r.Failures), r.Name)
	}
}

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
type replicaCollector struct{ m *Metrics }

var replicaDescs = func() (descs [2]*prometheus.Desc) {
	for i, name := range []string{UpstreamUp, UpstreamFailures} {
		descs[i] = prometheus.NewDesc(name, mustLookup(name).Help, []string{LabelReplica}, nil)
	}
	return descs
}()

func (c *replicaCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range replicaDescs {
		ch <- d
	}
}

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

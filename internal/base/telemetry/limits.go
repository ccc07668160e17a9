package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Limits are the limits that the service keeps. Those that are 0 are not shown: the limits of upstream servers are not
// known.
type Limits struct {
	Running, Waiting int
	Memory           int64 // bytes
}

// SetLimits says what the service keeps to.
func (m *Metrics) SetLimits(l Limits) { m.limits.Store(&l) }

// SetConnections says where the number of open connections comes from, and how many there may be.
func (m *Metrics) SetConnections(open func() int, most int) {
	m.connections.Store(&connections{open, most})
}

type connections struct {
	open func() int
	most int
}

// SetExpiry says where the time comes from at which the TLS certificate expires.
func (m *Metrics) SetExpiry(expiry func() time.Time) { m.expiry.Store(&expiry) }

// limitCollector shows those limits that are known.
type limitCollector struct {
	descs
	m *Metrics
}

var limitDescs = descsOf(nil, RunningLimit, WaitingLimit, MemoryLimit, CertificateExpiry, ConnectionsLimit,
	Connections)

func (l *limitCollector) Collect(ch chan<- prometheus.Metric) {
	var at float64
	if expiry := l.m.expiry.Load(); expiry != nil {
		at = float64((*expiry)().Unix())
	}
	var most Limits
	if p := l.m.limits.Load(); p != nil {
		most = *p
	}
	var conns connections
	if p := l.m.connections.Load(); p != nil {
		conns = *p
		// 0 says something, too
		ch <- prometheus.MustNewConstMetric(limitDescs[5], prometheus.GaugeValue, float64(conns.open()))
	}
	for i, v := range []float64{float64(most.Running), float64(most.Waiting), float64(most.Memory), at,
		float64(conns.most)} {
		if v > 0 {
			ch <- prometheus.MustNewConstMetric(limitDescs[i], prometheus.GaugeValue, v)
		}
	}
}

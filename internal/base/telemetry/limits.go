package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Limits are the limits of the service. A limit of 0 is not exported: those of upstream servers are not known.
type Limits struct {
	Running, Waiting int
	Memory           int64 // bytes
}

// SetLimits sets the limits of the service.
func (m *Metrics) SetLimits(l Limits) { m.limits.Store(&l) }

// SetConnections sets the function that counts the open connections, and their maximum.
func (m *Metrics) SetConnections(open func() int, most int) {
	m.connections.Store(&connections{open, most})
}

type connections struct {
	open func() int
	most int
}

// SetExpiry sets the function that returns the expiry time of the TLS certificate.
func (m *Metrics) SetExpiry(expiry func() time.Time) { m.expiry.Store(&expiry) }

// limitCollector exports the limits that are known.
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
		// 0 is a meaningful value here
		ch <- prometheus.MustNewConstMetric(limitDescs[5], prometheus.GaugeValue, float64(conns.open()))
	}
	for i, v := range []float64{float64(most.Running), float64(most.Waiting), float64(most.Memory), at,
		float64(conns.most)} {
		if v > 0 {
			ch <- prometheus.MustNewConstMetric(limitDescs[i], prometheus.GaugeValue, v)
		}
	}
}

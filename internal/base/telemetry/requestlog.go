package telemetry

import "github.com/prometheus/client_golang/prometheus"

// RequestLog holds the counts of the request log; see the metrics of these names in Table.
type RequestLog struct {
	Written, Dropped, Failures int64 // since start
	Pending                    int
}

// SetRequestLog sets the function that returns the request log's counts. Without it they are 0.
func (m *Metrics) SetRequestLog(read func() RequestLog) { m.log.Store(&read) }

// logCollector reads the request log's counts once per scrape.
type logCollector struct {
	descs
	m *Metrics
}

var logDescs = descsOf(nil, LogWritten, LogDropped, LogPending, LogFailures)

func (l *logCollector) Collect(ch chan<- prometheus.Metric) {
	var log RequestLog
	if f := l.m.log.Load(); f != nil {
		log = (*f)()
	}
	ch <- prometheus.MustNewConstMetric(logDescs[0], prometheus.CounterValue, float64(log.Written))
	ch <- prometheus.MustNewConstMetric(logDescs[1], prometheus.CounterValue, float64(log.Dropped))
	ch <- prometheus.MustNewConstMetric(logDescs[2], prometheus.GaugeValue, float64(log.Pending))
	ch <- prometheus.MustNewConstMetric(logDescs[3], prometheus.CounterValue, float64(log.Failures))
}

package telemetry

import "github.com/prometheus/client_golang/prometheus"

// descs are the metrics of a collector that reads them when it is scraped.
type descs []*prometheus.Desc

// descsOf describes metrics of the table that have these labels.
func descsOf(labels []string, names ...string) (d descs) {
	for _, name := range names {
		d = append(d, prometheus.NewDesc(name, mustLookup(name).Help, labels, nil))
	}
	return d
}

// Describe is that of a prometheus.Collector.
func (d descs) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range d {
		ch <- desc
	}
}

package telemetry

import "github.com/prometheus/client_golang/prometheus"

// descs are the descriptions of the metrics of a collector that reads them at each scrape.
type descs []*prometheus.Desc

// descsOf returns the descriptions of metrics of the table, with these labels.
func descsOf(labels []string, names ...string) (d descs) {
	for _, name := range names {
		d = append(d, prometheus.NewDesc(name, mustLookup(name).Help, labels, nil))
	}
	return d
}

// Describe implements prometheus.Collector.
func (d descs) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range d {
		ch <- desc
	}
}

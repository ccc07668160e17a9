// Package probe observes a server from outside: the memory and CPU time of its process or control group, and its
// metrics about the requests that it answered. It sends no requests to the server except for its metrics.
//
// probe.go has Source, which samples resources; process.go, cgroup.go and the remote source in scrape.go implement it.
// scrape.go reads metrics, fleet.go those of replicas behind one URL, and pods.go finds replicas in Kubernetes.
// text.go and jsontext.go read the formats of metrics within bounds, and native.go converts Prometheus' native
// histograms. dialect.go translates each server's names, which dialects.go lists, into those of package evidence;
// taught.go reads the names that a case explains. gpu.go reads accelerators from an exporter or a Prometheus server,
// and infos.go what a server reports about itself. host.go measures who uses this machine; machine.go, limits_*.go and
// ports.go describe it. Start reading at Source and Scraper.
package probe

// Package probe watches a server from outside: the memory and CPU of its process, control group or metrics, ten times
// a second, and what its metrics say of the requests that it answered. It asks the server for nothing but /metrics.
//
// probe.go has Source, which samples resources; process.go, cgroup.go and the remote source of scrape.go are its
// kinds. scrape.go asks for metrics, fleet.go those of replicas behind one URL, pods.go finds these in Kubernetes,
// text.go and jsontext.go read their formats within bounds, native.go Prometheus' native histograms. dialect.go
// translates each server's names, which dialects.go lists, into those of package evidence; taught.go has those that a
// case explains. gpu.go reads accelerators from an exporter or a Prometheus server, infos.go what a server says of
// itself in its metrics. host.go measures who uses this machine, machine.go describes it. Start reading at Source and
// Scraper.
package probe

// Package probe watches a server from outside: the memory and CPU of its process, control group or metrics, ten times
// a second, and what its metrics say of the requests that it answered. It asks the server for nothing but /metrics.
//
// probe.go has Source, which samples resources; process.go, cgroup.go and the remote source of scrape.go are its
// kinds. scrape.go reads metrics, native.go Prometheus' native histograms, and dialect.go translates each server's
// names into those of package evidence. gpu.go reads accelerators from an exporter or a Prometheus server, infos.go
// what a server says of itself in its metrics. host.go measures who uses this machine, machine.go describes it. Start
// reading at Source and Scraper.
package probe

package probe

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// replicaTimeout is the time limit for one replica, so that a replica that hangs does not hide the others. Tests have
// more patience.
var replicaTimeout = 3 * time.Second

// dnsPrefix before a metrics URL stands for every address of its host: "dns+http://vllm:8000/metrics". A headless
// Service of Kubernetes has an address for each pod.
const dnsPrefix = "dns+"

// errStale is the error of a replica that a Prometheus server has lost.
var errStale = errors.New("no fresh samples of it are in Prometheus")

// errGone is the error of a replica whose address no longer belongs to the fleet.
var errGone = errors.New("it is not an address of the fleet any more")

// ErrFleet matches errors about a list of metrics URLs.
var ErrFleet = errors.New("invalid metrics URL")

// ParseMetricsURLs parses the metrics URLs of a server or of its replicas, separated by commas. A URL with the prefix
// dns+ stands for each address of its host, and one with pods+ for each pod of a selector. Its errors match ErrFleet.
func ParseMetricsURLs(text string) ([]string, error) {
	var list []string
	for item := range strings.SplitSeq(text, ",") {
		item = strings.TrimSpace(item)
		raw, pods := strings.CutPrefix(item, podsPrefix)
		u, err := url.Parse(strings.TrimPrefix(raw, dnsPrefix))
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, fmt.Errorf("%w: got %q, must be http://… or https://…, several with commas between, or "+
				"dns+http://…, or pods+http://…", ErrFleet, redact(item))
		}
		if pods {
			if _, _, _, err := podsURL(raw); err != nil {
				return nil, fmt.Errorf("%w: %q: %w", ErrFleet, redact(item), err)
			}
		}
		if slices.Contains(list, item) {
			return nil, fmt.Errorf("%w: %s is there twice", ErrFleet, redact(item))
		}
		list = append(list, item)
	}
	return list, nil
}

// isFleet says whether metrics URLs are those of several replicas and not of one server.
func isFleet(list []string) bool {
	return len(list) > 1 || len(list) == 1 && (strings.HasPrefix(list[0], dnsPrefix) ||
		strings.HasPrefix(list[0], podsPrefix))
}

// reading is the result of one scrape of a replica.
type reading struct {
	name       string
	dialect    string
	values     map[string]float64
	histograms map[string]evidence.Histogram
	cut        []string // which metrics were not kept because there were too many
	err        error
}

func (r *reading) take(t told) {
	r.dialect, r.values, r.histograms, r.cut = t.dialect, t.values, t.histograms, t.cut
}

// fleet adds up the metrics of replicas. It is a state machine without a clock. What a replica counted stays in the
// sums when the replica is lost or restarts, so that sums of counters never fall.
type fleet struct {
	past map[string]*reading // by replica, what it had counted before its last restart
	last map[string]*reading // by replica, the latest good reading
}

// isGauge says whether a value does not count for a replica that was lost.
func isGauge(name string) bool {
	switch name {
	case evidence.MetricRunning, evidence.MetricWaiting, evidence.MetricKVUsage, evidence.MetricCacheUsed,
		evidence.MetricCacheCapacity, evidence.MetricRSS, MetricGPU:
		return true
	}
	return false
}

// begunAnew says whether a replica has restarted, so that its counters began at zero again.
func begunAnew(before, now *reading) bool {
	for _, name := range []string{evidence.MetricCPUSeconds, evidence.MetricRequests,
		evidence.MetricGenerationTokens} {
		if now.values[name] < before.values[name] {
			return true
		}
	}
	return false
}

// add adds the readings of one moment, and returns the sums over all replicas.
func (f *fleet) add(readings []*reading) (all reading) {
	if f.last == nil {
		f.past, f.last = map[string]*reading{}, map[string]*reading{}
	}
	here := map[string]bool{}
	for _, r := range readings {
		if r.err != nil {
			continue
		}
		here[r.name] = true
		if before := f.last[r.name]; before != nil && begunAnew(before, r) {
			past := f.past[r.name]
			if past == nil {
				past = newReading(r.name)
				f.past[r.name] = past
			}
			past.plus(before, false)
		}
		f.last[r.name] = r
	}
	all = *newReading("")
	for _, name := range slices.Sorted(maps.Keys(f.last)) {
		all.plus(f.last[name], here[name])
		if past := f.past[name]; past != nil {
			all.plus(past, false)
		}
		all.dialect = f.last[name].dialect
	}
	return all
}

func newReading(name string) *reading {
	return &reading{name: name, values: map[string]float64{}, histograms: map[string]evidence.Histogram{}}
}

// plus adds another reading. Counters and histograms are always added, gauges only if gauges is set. Of shares the
// largest counts.
func (r *reading) plus(o *reading, gauges bool) {
	for name, v := range o.values {
		switch {
		case !isGauge(name):
			r.values[name] += v
		case !gauges:
		case name == evidence.MetricKVUsage:
			r.values[name] = max(r.values[name], v)
		default:
			r.values[name] += v
		}
	}
	for name, h := range o.histograms {
		r.histograms[name] = merge(r.histograms[name], h)
	}
}

// merge adds two histograms. If their bounds differ, the sum has only the common ones, because only for these both
// cumulative counts are known.
func merge(a, b evidence.Histogram) evidence.Histogram {
	if a.Count == 0 && a.Buckets == nil {
		b.Buckets = slices.Clone(b.Buckets)
		return b
	}
	out := evidence.Histogram{Count: a.Count + b.Count, Sum: a.Sum + b.Sum}
	for _, x := range a.Buckets {
		i := slices.IndexFunc(b.Buckets, func(y evidence.Bucket) bool {
			return y.Inf == x.Inf && (x.Inf || y.LE == x.LE)
		})
		if i >= 0 {
			x.Count += b.Buckets[i].Count
			out.Buckets = append(out.Buckets, x)
		}
	}
	return out
}

// fleetScraper reads the metrics of replicas.
type fleetScraper struct {
	urls    []string
	resolve func(ctx context.Context, host string) ([]string, error) // returns the addresses of a host name
	pods    *podLister
	found   map[string][]string // by host of a dns+ URL: the addresses of the last lookup that worked
	failing map[string]bool     // hosts whose last lookup failed
	note    func(text string)   // is told what the user should know; nil: nobody is told

	mu    sync.Mutex // one scrape at a time, because a late reading would look like a restarted replica
	state fleet
	seen  []string // names of all replicas so far, in the order in which they appeared
	begun bool
}

func newFleetScraper(urls []string) *fleetScraper {
	return &fleetScraper{urls: urls, resolve: net.DefaultResolver.LookupHost, pods: newPodLister(),
		found: map[string][]string{}, failing: map[string]bool{}}
}

// hosts looks up the addresses of a name. If that fails, it returns the addresses of the last lookup: a DNS server
// that does not answer says nothing about the replicas, and a replica that has gone does not answer either. Only a
// name that was never found is an error.
func (f *fleetScraper) hosts(ctx context.Context, name string) ([]string, error) {
	hosts, err := f.resolve(ctx, name)
	switch {
	case err == nil:
		f.found[name], f.failing[name] = hosts, false
	case len(f.found[name]) == 0:
		return nil, err
	case !f.failing[name] && ctx.Err() == nil:
		f.failing[name] = true
		if f.note != nil {
			f.note(fmt.Sprintf("the addresses of %s cannot be looked up; the last known ones are used: %v", name, err))
		}
	}
	return f.found[name], nil
}

// addresses returns the metrics URL of each replica by its name.
func (f *fleetScraper) addresses(ctx context.Context) (map[string]string, error) {
	out := map[string]string{}
	for _, item := range f.urls {
		if raw, ok := strings.CutPrefix(item, podsPrefix); ok {
			pods, err := f.pods.addresses(ctx, time.Now(), raw, func(name string) bool {
				return slices.Contains(f.seen, name)
			})
			if err != nil {
				return nil, err
			}
			maps.Copy(out, pods)
			continue
		}
		raw, all := strings.CutPrefix(item, dnsPrefix)
		u, err := url.Parse(raw)
		if err != nil {
			return nil, err
		}
		if !all {
			out[replicaName(u, f.urls)] = raw
			continue
		}
		hosts, err := f.hosts(ctx, u.Hostname())
		if err != nil {
			return nil, err
		}
		for _, host := range hosts {
			at := *u
			if at.Host = host; strings.Contains(host, ":") {
				at.Host = "[" + host + "]"
			}
			if port := u.Port(); port != "" {
				at.Host = net.JoinHostPort(host, port)
			}
			out[at.Host] = at.String()
		}
	}
	return out, nil
}

// replicaName is host and port, or the whole URL if another replica has the same host and port.
func replicaName(u *url.URL, all []string) string {
	same := 0
	for _, item := range all {
		if o, err := url.Parse(item); err == nil && o.Host == u.Host {
			same++
		}
	}
	if same > 1 {
		return u.Redacted()
	}
	return u.Host
}

// scrapeFleet reads all replicas now. The first time every replica must answer. Later a replica that does not answer
// is lost, and the scrape only fails if none answers.
func (s *Scraper) scrapeFleet(ctx context.Context, out *evidence.Scrape) error {
	f := s.fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	addresses, err := f.addresses(ctx)
	if err != nil && len(f.seen) == 0 {
		return err
	}
	names := slices.Sorted(maps.Keys(addresses))
	readings := make([]*reading, len(names))
	var group sync.WaitGroup
	for i, name := range names {
		group.Go(func() { readings[i] = s.replica(ctx, name, addresses[name]) })
	}
	group.Wait()
	for _, name := range f.seen { // addresses that DNS or Kubernetes no longer list
		if addresses[name] == "" {
			readings = append(readings, &reading{name: name, err: errGone})
		}
	}
	return f.take(readings, out)
}

// replica reads one replica.
func (s *Scraper) replica(ctx context.Context, name, address string) *reading {
	ctx, cancel := context.WithTimeout(ctx, replicaTimeout)
	defer cancel()
	r := newReading(name)
	body, err := s.get(ctx, address, "text/plain;version=0.0.4")
	var all []series
	if err == nil {
		all, err = parseText(body, s.wanted)
	}
	if err != nil {
		r.err = err
		return r
	}
	r.take(translate(all, s.Model, s.Taught))
	return r
}

// take adds the readings to the fleet's state, and puts the sums into a scrape.
func (f *fleetScraper) take(readings []*reading, out *evidence.Scrape) error {
	answered := 0
	var failed error
	for _, r := range readings {
		part := evidence.ReplicaScrape{Name: r.name, Values: r.values}
		if r.err != nil {
			part.Err, part.Values = r.err.Error(), nil
			failed = fmt.Errorf("replica %s: %w", r.name, r.err)
		} else {
			answered++
		}
		out.Replicas = append(out.Replicas, part)
	}
	switch {
	case answered == 0 && failed == nil:
		return fmt.Errorf("%w: the fleet has no replica", ErrUnavailable)
	case answered == 0 || !f.begun && failed != nil:
		return failed
	}
	f.begun = true
	for _, r := range readings {
		if !slices.Contains(f.seen, r.name) {
			f.seen = append(f.seen, r.name)
		}
	}
	all := f.state.add(readings)
	out.Dialect, out.Values, out.Histograms = all.dialect, all.values, all.histograms
	for _, r := range readings {
		out.Cut = append(out.Cut, r.cut...)
	}
	return nil
}

// byInstance splits the series of a Prometheus server into those of each replica, by their label instance; nil if
// there is only one. Series of other instances, such as an exporter of GPUs, are left out.
func byInstance(all []series) map[string][]series {
	d := recognise(all)
	out := map[string][]series{}
	for _, x := range all {
		if d.prefix != "" && strings.HasPrefix(x.name, d.prefix) {
			out[x.labels["instance"]] = nil
		}
	}
	if len(out) < 2 {
		return nil
	}
	for _, x := range all {
		if _, ok := out[x.labels["instance"]]; ok {
			out[x.labels["instance"]] = append(out[x.labels["instance"]], x)
		}
	}
	return out
}

// instances reads the replicas from a Prometheus server's answer. It returns false if there is only one server.
func (s *Scraper) instances(all []series, out *evidence.Scrape) (bool, error) {
	f := s.fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	parts := byInstance(colons(all))
	if parts == nil && len(f.seen) == 0 {
		return false, nil
	}
	if parts == nil { // all replicas but one are lost
		parts = map[string][]series{}
		for _, x := range all {
			if name := x.labels["instance"]; slices.Contains(f.seen, name) {
				parts[name] = append(parts[name], x)
			}
		}
	}
	var readings []*reading
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		r := newReading(name)
		r.take(translate(parts[name], s.Model, s.Taught))
		readings = append(readings, r)
	}
	for _, name := range f.seen {
		if parts[name] == nil {
			readings = append(readings, &reading{name: name, err: errStale})
		}
	}
	if err := f.take(readings, out); err != nil {
		return true, err
	}
	if all := translate(all, s.Model, s.Taught); all.values[MetricGPU] > 0 {
		out.Values[MetricGPU] = all.values[MetricGPU] // from exporters beside the servers
	}
	return true, nil
}

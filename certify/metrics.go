package certify

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/client"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/probe"
)

const (
	// settle is how long a server may take to count what it has answered.
	settle      = 2 * time.Second
	settlePause = 100 * time.Millisecond

	// maxLag is how long to wait for a Prometheus server to scrape: four of its usual intervals.
	maxLag = time.Minute

	scrapeEvery = 500 * time.Millisecond // during load, for the gauges
)

// metrics are the scrapes of the server's metrics: by itself, or by a Prometheus server between.
type metrics struct {
	scraper *probe.Scraper
	record  *record

	mu      sync.Mutex       // one scrape at a time: counters must be recorded in the order in which they were read
	counted float64          // requests that the server had counted before the current phase
	last    *evidence.Scrape // the latest good one around a phase
	lastAt  time.Time
	worked  bool          // the metrics could be read at least once
	others  []string      // where the server's metrics may be, if not where they usually are
	vain    time.Duration // spent on scrapes that gave nothing
	next    time.Time     // before which none is made during load
}

// mostVain bounds the time that a run spends, beyond its plan, on scrapes that fail. Six of them can time out within
// it.
const mostVain = 30 * time.Second

// scrape asks for the metrics, unless too much time was spent on scrapes that failed.
func (m *metrics) scrape(ctx context.Context, label evidence.ScrapeLabel) evidence.Scrape {
	if m.vain > mostVain {
		return evidence.Scrape{Label: label, Source: m.scraper.Name(), Dialect: probe.Unknown,
			Err: fmt.Sprintf("not asked any more: scrapes took %s and gave nothing", m.vain.Round(time.Second))}
	}
	s := m.scraper.Scrape(ctx, label)
	if s.Err != "" {
		m.vain += time.Duration(s.Took)
	}
	return s
}

// find looks for the metrics of servers that do not have them at /metrics, or that have something else there: NIM has
// them at /v1/metrics, TensorRT-LLM at /prometheus/metrics.
func (m *metrics) find(ctx context.Context) {
	if s := m.scraper.Scrape(ctx, ""); s.Dialect != probe.Unknown || len(m.others) == 0 ||
		time.Duration(s.Took) > time.Second {
		return
	}
	usual := m.scraper.MetricsURL
	for _, address := range m.others {
		m.scraper.MetricsURL = address
		if s := m.scraper.Scrape(ctx, ""); s.Dialect != probe.Unknown && s.Dialect != probe.Taught {
			return
		}
	}
	m.scraper.MetricsURL = usual
}

func newMetrics(o Options, taught map[string]string, s *server, r *record) *metrics {
	address := o.MetricsURL
	var others []string
	if address == "" && o.PrometheusURL == "" {
		address = s.URL + "/metrics"
		others = []string{s.URL + "/v1/metrics", s.URL + "/prometheus/metrics"}
		if u, err := url.Parse(s.URL); err == nil && s.route != "" { // a gateway's: metrics lie at its root
			u.Path = "/metrics"
			address = u.String()
		}
	}
	m := &metrics{scraper: probe.NewScraper(address, o.PrometheusURL, "", s.model), record: r, others: others}
	m.scraper.Taught = taught
	if s.http2 {
		m.scraper.Client.Transport.(*http.Transport).Protocols = client.PriorKnowledge()
	}
	if own(s, address) {
		m.scraper.APIKey, m.scraper.Header = s.key, s.extra.Header
	}
	return m
}

// own says that the metrics are the server's own: no other host must see its key.
func own(s *server, address string) bool {
	a, errA := url.Parse(s.URL)
	b, errB := url.Parse(address)
	return errA == nil && errB == nil && a.Scheme == b.Scheme && a.Host == b.Host
}

func (m *metrics) remote() bool { return m.scraper.PrometheusURL != "" }

// before records the counters that a phase starts from.
func (m *metrics) before(ctx context.Context, phase string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	label := evidence.ScrapeBefore.Of(phase)
	if m.remote() && m.last != nil { // nothing was sent since: no need to wait for a fresh one
		s := *m.last
		s.Label, s.Age = label, s.Age+int64(time.Since(m.lastAt))
		m.counted = s.Values[evidence.MetricRequests]
		m.record.add(evidence.Event{Scrape: &s})
		return
	}
	s := m.settled(ctx, label, nothingSent)
	m.counted = s.Values[evidence.MetricRequests]
	m.keep(ctx, s)
}

// after records the counters once the server, or a Prometheus server between, has had time to count the last of the
// phase's answers.
func (m *metrics) after(ctx context.Context, phase string, answered int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keep(ctx, m.settled(ctx, evidence.ScrapeAfter.Of(phase), answered))
}

// during records the gauges while a phase runs. Failures are recorded before and after it.
func (m *metrics) during(ctx context.Context, label evidence.ScrapeLabel) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Now().Before(m.next) {
		return
	}
	s := m.scrape(ctx, label)
	m.next = time.Now().Add(probe.Pause(time.Duration(s.Took)))
	if s.Err == "" {
		m.record.add(evidence.Event{Scrape: &s})
	}
}

// keep records a scrape around a phase.
func (m *metrics) keep(ctx context.Context, s evidence.Scrape) {
	if s.Err == "" {
		m.last, m.lastAt, m.worked = &s, time.Now(), true
	} else {
		m.last = nil // requests were counted since: it is not what comes before the next phase
	}
	if s.Err == "" || ctx.Err() == nil { // a question that was broken off says nothing of the server
		m.record.add(evidence.Event{Scrape: &s})
	}
}

// nothingSent stands for the number of answers before a phase.
const nothingSent = -1

// settled scrapes until one is good enough.
func (m *metrics) settled(ctx context.Context, label evidence.ScrapeLabel, answered int) evidence.Scrape {
	ended := time.Now()
	for {
		s := m.scrape(ctx, label)
		wait, enough := m.enough(s, answered, time.Since(ended)-time.Duration(s.Took))
		if enough {
			return s
		}
		select {
		case <-ctx.Done():
			return s
		case <-time.After(wait):
		}
	}
}

// enough says whether to keep a scrape that began so long after a phase's end, and if not, how long to wait for
// another.
func (m *metrics) enough(s evidence.Scrape, answered int, since time.Duration) (wait time.Duration, ok bool) {
	wait, limit := settlePause, settle
	if m.remote() {
		wait, limit = time.Second, maxLag
	}
	switch {
	case since > limit:
		return 0, true
	case s.Err != "": // where it never worked nothing is offered; else it may work in a moment
		return wait, !m.worked
	case m.remote():
		return wait, time.Duration(s.Age) < since
	}
	return wait, answered == nothingSent || s.Values == nil ||
		s.Values[evidence.MetricRequests]-m.counted >= float64(answered)
}

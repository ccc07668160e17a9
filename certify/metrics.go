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
	// settle is how long a server may take to count its answers.
	settle      = 2 * time.Second
	settlePause = 100 * time.Millisecond

	// maxLag is how long to wait for a Prometheus server to scrape: four of its usual intervals of 15 s.
	maxLag = time.Minute

	scrapeEvery = 500 * time.Millisecond // during load, for the gauges
)

// metrics scrapes the server's metrics, directly or through a Prometheus server.
type metrics struct {
	scraper *probe.Scraper
	record  *record

	mu      sync.Mutex       // one scrape at a time: counters must be recorded in the order in which they were read
	counted float64          // the requests that the server had counted before the current phase
	last    *evidence.Scrape // the latest scrape around a phase; nil: it failed
	lastAt  time.Time
	worked  bool          // the metrics could be read at least once
	others  []string      // other URLs where the server's metrics may be
	vain    time.Duration // time spent on failed scrapes
	next    time.Time     // no scrape during load before this time
}

// mostVain limits the time that a run spends, beyond its plan, on failed scrapes. Six of them can time out within it.
const mostVain = 30 * time.Second

// scrape scrapes the metrics, unless too much time was spent on failed scrapes.
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

// find looks for metrics at other paths if there are none at /metrics. NIM has them at /v1/metrics, TensorRT-LLM at
// /prometheus/metrics.
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
		if u, err := url.Parse(s.URL); err == nil && s.route != "" { // a gateway's metrics are at its root
			u.Path = "/metrics"
			address = u.String()
		}
	}
	m := &metrics{scraper: probe.NewScraper(address, o.PrometheusURL, "", s.model), record: r, others: others}
	m.scraper.Taught = taught
	if o.scrapeTime > 0 {
		m.scraper.Client.Timeout = o.scrapeTime
	}
	if s.http2 {
		m.scraper.Client.Transport.(*http.Transport).Protocols = client.PriorKnowledge()
	}
	if own(s, address) {
		m.scraper.APIKey, m.scraper.Header = s.key, s.extra.Header
	}
	return m
}

// own says whether an address is on the server's own host. No other host may see the server's key.
func own(s *server, address string) bool {
	a, errA := url.Parse(s.URL)
	b, errB := url.Parse(address)
	return errA == nil && errB == nil && a.Scheme == b.Scheme && a.Host == b.Host
}

func (m *metrics) remote() bool { return m.scraper.PrometheusURL != "" }

// offered reads the metrics when nothing was sent yet. If they could be read, a scrape around a phase that cannot is
// tried again: after a scrape of its own that takes too long, a Prometheus server has no figures until the next one.
func (m *metrics) offered(ctx context.Context) evidence.Scrape {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.scrape(ctx, evidence.ScrapeStart)
	m.worked = m.worked || s.Err == ""
	return s
}

// before records the counters that a phase starts from.
func (m *metrics) before(ctx context.Context, phase string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	label := evidence.ScrapeBefore.Of(phase)
	if m.remote() && m.last != nil { // nothing was sent since then, so it is still right
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

// after records the counters when the server, or the Prometheus server, has had time to count the phase's last
// answers.
func (m *metrics) after(ctx context.Context, phase string, answered int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keep(ctx, m.settled(ctx, evidence.ScrapeAfter.Of(phase), answered))
}

// during records the gauges while a phase runs. It does not record failures; before and after do.
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
		m.last = nil // requests were counted since then, so the next phase needs a new scrape
	}
	if s.Err == "" || ctx.Err() == nil { // a canceled scrape says nothing about the server
		m.record.add(evidence.Event{Scrape: &s})
	}
}

// nothingSent, as the number of answers, says that the scrape is before a phase.
const nothingSent = -1

// settled scrapes until a scrape is good enough.
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

// enough says whether a scrape is good enough, and if not, how long to wait before the next. since is the time from
// the phase's end to the scrape's beginning.
func (m *metrics) enough(s evidence.Scrape, answered int, since time.Duration) (wait time.Duration, ok bool) {
	wait, limit := settlePause, settle
	if m.remote() {
		wait, limit = time.Second, maxLag
	}
	switch {
	case since > limit:
		return 0, true
	case s.Err != "": // metrics that never worked are not there; others may work again soon
		return wait, !m.worked
	case m.remote():
		return wait, time.Duration(s.Age) < since
	}
	return wait, answered == nothingSent || s.Values == nil ||
		s.Values[evidence.MetricRequests]-m.counted >= float64(answered)
}

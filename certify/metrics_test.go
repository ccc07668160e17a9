package certify

import (
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/probe"
)

// TestEnoughScrapes checks that a scrape after a phase is kept once it has counted the phase's last answers, and that
// a failed scrape is repeated if the metrics could be read before.
func TestEnoughScrapes(t *testing.T) {
	const s = time.Second
	counted := func(n float64, age time.Duration) evidence.Scrape {
		return evidence.Scrape{Values: map[string]float64{evidence.MetricRequests: n}, Age: int64(age)}
	}
	broken := evidence.Scrape{Err: "no answer"}
	for name, c := range map[string]struct {
		remote, scraped bool
		before          bool // before a phase instead of after it
		scrape          evidence.Scrape
		since           time.Duration
		want            bool
	}{
		"all are counted":                   {scraped: true, scrape: counted(15, 0), want: true},
		"one is missing":                    {scraped: true, scrape: counted(14, 0), want: false},
		"one is missing for good":           {scraped: true, scrape: counted(14, 0), since: settle + 1, want: true},
		"before a phase nothing is missing": {scraped: true, before: true, scrape: counted(5, 0), want: true},
		"no metrics are offered":            {scrape: broken, want: true},
		"an error for a moment":             {scraped: true, scrape: broken, since: s, want: false},
		"an error for good":                 {scraped: true, scrape: broken, since: settle + 1, want: true},
		"Prometheus scraped since": {remote: true, scraped: true, scrape: counted(15, 2*s), since: 3 * s,
			want: true},
		"Prometheus scraped just before": {remote: true, scraped: true, scrape: counted(15, 3*s), since: 2 * s,
			want: false},
		"Prometheus does not scrape any more": {remote: true, scraped: true, scrape: counted(15, 2*maxLag),
			since: maxLag + 1, want: true},
		"Prometheus stumbles": {remote: true, scraped: true, scrape: broken, since: 20 * s,
			want: false},
		"Prometheus knows nothing": {remote: true, scrape: broken, want: true},
	} {
		m := &metrics{scraper: &probe.Scraper{MetricsURL: "http://a/metrics"}, counted: 5, worked: c.scraped}
		if c.remote {
			m.scraper = &probe.Scraper{PrometheusURL: "http://a"}
		}
		answered := 10
		if c.before {
			answered = nothingSent
		}
		wait, got := m.enough(c.scrape, answered, c.since)
		if got != c.want || !got && wait <= 0 {
			t.Errorf("%s: %v, %v", name, got, wait)
		}
	}
}

package probe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// Patience is the time limit of a scrape. Servers answer within milliseconds, or within a second if all cores are
// busy. Tests have more patience.
var Patience = 5 * time.Second

// Scraper reads a server's metrics, from the server itself or from a Prometheus server that scrapes it. It is safe for
// concurrent use.
type Scraper struct {
	// URL of metrics in the text format or in JSON, or a list of URLs; empty to use PrometheusURL
	MetricsURL    string
	PrometheusURL string            // root URL of a Prometheus server
	APIKey        string            // sent as a bearer token, if any
	Model         string            // selects the series of this model, if the server has several
	Taught        map[string]string // canonical names to the server's own, in addition to its dialect
	Header        http.Header       // additional headers of each request
	Client        *http.Client

	own   atomic.Value // string: the name of one of the server's metrics in Prometheus
	fleet *fleetScraper
}

// NewScraper reads from metricsURL, which may be a list (see ParseMetricsURLs), or from the Prometheus server at
// prometheusURL. apiKey and model may be empty.
func NewScraper(metricsURL, prometheusURL, apiKey, model string) *Scraper {
	list, _ := ParseMetricsURLs(metricsURL)
	return &Scraper{MetricsURL: metricsURL, PrometheusURL: prometheusURL, APIKey: apiKey, Model: model,
		fleet: newFleetScraper(list),
		Client: &http.Client{Timeout: Patience, CheckRedirect: sameHost, Transport: &http.Transport{
			MaxIdleConnsPerHost: 4, MaxResponseHeaderBytes: 64 << 10, Proxy: http.ProxyFromEnvironment}}}
}

// sameHost follows redirects to the same host, because some frameworks redirect /metrics to /metrics/. Another host
// must not see the key.
func sameHost(req *http.Request, via []*http.Request) error {
	if len(via) > 3 || req.URL.Host != via[0].URL.Host || req.URL.Scheme != via[0].URL.Scheme {
		return http.ErrUseLastResponse
	}
	return nil
}

// Notes makes the scraper pass to note what the user should know, such as that a name cannot be looked up.
func (s *Scraper) Notes(note func(text string)) { s.fleet.note, s.fleet.pods.note = note, note }

// Name says where the metrics come from, without passwords, for evidence.Target.Metrics.
func (s *Scraper) Name() string {
	switch {
	case s.fleet != nil && isFleet(s.fleet.urls):
		names := make([]string, len(s.fleet.urls))
		for i, u := range s.fleet.urls {
			names[i] = redact(u)
		}
		return strings.Join(names, ",")
	case s.MetricsURL != "":
		return redact(s.MetricsURL)
	case s.PrometheusURL != "":
		return "prometheus " + redact(s.PrometheusURL)
	}
	return "none"
}

// redact hides the password of a URL, because names are recorded and shown.
func redact(address string) string {
	if u, err := url.Parse(address); err == nil {
		return u.Redacted()
	}
	return address
}

// Close closes idle connections.
func (s *Scraper) Close() {
	s.Client.CloseIdleConnections()
	if s.fleet != nil && s.fleet.pods.api != nil {
		s.fleet.pods.api.client.CloseIdleConnections()
	}
}

// Scrape reads the metrics now. An error is recorded in Err of the result; for a server without metrics it contains
// "not offered".
func (s *Scraper) Scrape(ctx context.Context, label evidence.ScrapeLabel) evidence.Scrape {
	begin := time.Now()
	out := evidence.Scrape{Label: label, Source: s.Name(), Dialect: Unknown}
	var all []series
	var err error
	done := false
	switch {
	case s.fleet != nil && isFleet(s.fleet.urls):
		done, err = true, s.scrapeFleet(ctx, &out)
	case s.MetricsURL != "":
		all, err = s.text(ctx)
	case s.PrometheusURL != "":
		if all, out.Age, err = s.query(ctx); err == nil && s.fleet != nil {
			done, err = s.instances(all, &out)
		}
	default:
		err = fmt.Errorf("%w: no metrics URL", ErrUnavailable)
	}
	out.Took = time.Since(begin).Nanoseconds()
	if err != nil {
		out.Err, out.Unread = bounded.Short(err.Error(), evidence.MaxMessage), errors.Is(err, errTooMuch)
		return out
	}
	if done {
		return out
	}
	told := translate(all, s.Model, s.Taught)
	out.Dialect, out.Values, out.Histograms, out.Cut = told.dialect, told.values, told.histograms, told.cut
	if out.Dialect == Unknown {
		out.Names = unknownNames(all)
	}
	return out
}

func (s *Scraper) get(ctx context.Context, address, accept string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	if s.APIKey != "" {
		req.Header.Set("Authorization", "Bearer "+s.APIKey)
	}
	for name, values := range s.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	resp, err := s.Client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusNotImplemented:
		return nil, fmt.Errorf("%w: %s answers %s", ErrUnavailable, redact(address), resp.Status)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s answers %s", redact(address), resp.Status)
	case err != nil:
		return nil, err
	case len(body) > maxBody:
		return nil, fmt.Errorf("%s: %w: more than %d MiB", redact(address), errTooMuch, maxBody>>20)
	}
	return body, nil
}

func (s *Scraper) text(ctx context.Context) ([]series, error) {
	body, err := s.get(ctx, s.MetricsURL, "text/plain;version=0.0.4")
	if err != nil {
		return nil, err
	}
	return parseText(body, s.wanted)
}

// wanted says whether a metric may be used here.
func (s *Scraper) wanted(name string) bool {
	if knownName(name) {
		return true
	}
	for _, own := range s.Taught {
		if rest, ok := strings.CutPrefix(name, own); ok && slices.Contains([]string{"", "_bucket", "_sum",
			"_count"}, rest) {
			return true
		}
	}
	return false
}

// parseText reads metrics in the text format or in JSON. Of metrics that are not wanted it returns only the names,
// with the value NaN.
func parseText(body []byte, wanted func(string) bool) ([]series, error) {
	if text := bytes.TrimSpace(body); len(text) > 0 && (text[0] == '{' && !bytes.HasPrefix(text, []byte(`{"`)) ||
		text[0] == '[' || text[0] == '{' && json.Valid(text)) {
		return parseJSON(text)
	}
	r := textReader{wanted: wanted}
	if err := r.read(string(body)); err != nil {
		return nil, fmt.Errorf("no metrics in the text format: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(r.others)) {
		r.all = append(r.all, series{name: name, value: math.NaN()})
	}
	return r.all, nil
}

// query reads all series of interest from a Prometheus server with one query, and their age with another, because the
// first returns the time of the query for every sample and not the time of the scrape. Both are evaluated at the same
// moment. The age is asked for first: if a scrape comes in between, the samples are younger than reported. In the
// opposite order old samples would look young. The age is that of one metric, because all metrics of a scrape have the
// same age. A function of several metrics would be an error, because it drops their names.
func (s *Scraper) query(ctx context.Context) (all []series, age int64, err error) {
	now := time.Now()
	one, _ := s.own.Load().(string)
	if one == "" { // the first time
		if all, err = s.instant(ctx, interesting(), now); err != nil {
			return nil, 0, err
		}
		if one = ownMetric(all); one == "" {
			return nil, 0, fmt.Errorf("%w: the Prometheus server knows no metrics of an inference server",
				ErrUnavailable)
		}
		s.own.Store(one)
		now = time.Now()
	}
	stamps, err := s.instant(ctx, fmt.Sprintf("max(timestamp({__name__=%q}))", one), now)
	if err != nil {
		return nil, 0, err
	}
	if len(stamps) != 1 {
		s.own.Store("") // another server may be there by and by
		return nil, 0, fmt.Errorf("%w: the Prometheus server knows no %s any more", ErrUnavailable, one)
	}
	if all, err = s.instant(ctx, interesting(), now); err != nil {
		return nil, 0, err
	}
	return all, int64(math.Max(0, unixSeconds(now)-stamps[0].value) * 1e9), nil
}

// interesting is the query for all series that are used here.
func interesting() string {
	var names []string
	for _, d := range dialects {
		if d.prefix != "" {
			names = append(names, d.prefix+".*")
		}
	}
	names = append(names, "process_resident_memory_bytes", "process_cpu_seconds_total")
	names = append(names, slices.Sorted(maps.Keys(gpuMemory))...)
	return fmt.Sprintf("{__name__=~%q}", strings.Join(names, "|"))
}

// ownMetric finds the name of one of the inference server's metrics. It must exist in Prometheus under that name,
// which the parts of a native histogram do not.
func ownMetric(all []series) string {
	prefix := recognise(all).prefix
	for _, x := range all {
		if prefix != "" && strings.HasPrefix(x.name, prefix) && x.labels["__name__"] == x.name {
			return x.name
		}
	}
	return ""
}

func unixSeconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1e3 }

// answer is the response of the query API with an instant vector.
type answer struct {
	Status string `json:"status"`
	Error  string `json:"error"`
	Data   struct {
		ResultType string `json:"resultType"`
		Result     []struct {
			Metric    map[string]string  `json:"metric"`
			Value     [2]json.RawMessage `json:"value"`     // time, and the value as a string
			Histogram [2]json.RawMessage `json:"histogram"` // time, and a nativeHistogram instead of a value
		} `json:"result"`
	} `json:"data"`
}

func (s *Scraper) instant(ctx context.Context, query string, at time.Time) ([]series, error) {
	address := strings.TrimRight(s.PrometheusURL, "/") + "/api/v1/query?" + url.Values{
		"query": {query}, "time": {strconv.FormatFloat(unixSeconds(at), 'f', 3, 64)}}.Encode()
	body, err := s.get(ctx, address, "application/json")
	if err != nil {
		return nil, err
	}
	return parseVector(body)
}

// parseVector reads an instant vector.
func parseVector(body []byte) ([]series, error) {
	if n := bounded.Values(body); n > 2*maxLabels {
		return nil, fmt.Errorf("the Prometheus server's answer: %w: %d values", errTooMuch, 2*maxLabels)
	}
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, fmt.Errorf("no answer of a Prometheus server: %w", err)
	}
	if a.Status != "success" || a.Data.ResultType != "vector" {
		return nil, fmt.Errorf("the Prometheus server answers %q %s", bounded.Short(a.Status, 40),
			bounded.Short(a.Error, evidence.MaxName))
	}
	all := make([]series, 0, len(a.Data.Result))
	for _, r := range a.Data.Result {
		if r.Histogram[1] != nil {
			var h nativeHistogram
			if err := json.Unmarshal(r.Histogram[1], &h); err != nil {
				return nil, fmt.Errorf("a histogram of %s: %w", r.Metric["__name__"], err)
			}
			parts, err := h.classic(r.Metric["__name__"], r.Metric)
			if err != nil {
				return nil, err
			}
			all = append(all, parts...)
			continue
		}
		var text string
		if err := json.Unmarshal(r.Value[1], &text); err != nil {
			return nil, fmt.Errorf("a sample of %s: %w", r.Metric["__name__"], err)
		}
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("a sample of %s: %w", r.Metric["__name__"], err)
		}
		all = append(all, series{r.Metric["__name__"], r.Metric, v})
	}
	return all, nil
}

// remoteSource samples memory and CPU time from a server's metrics.
type remoteSource struct{ scraper *Scraper }

// Remote samples memory and CPU time from the server's own metrics. Sample fails with ErrUnavailable if they do not
// contain them.
func Remote(s *Scraper) Source { return &remoteSource{s} }

func (r *remoteSource) Name() string { return "metrics" }

// Sample scrapes once.
func (r *remoteSource) Sample(ctx context.Context) (evidence.Sample, error) {
	scrape := r.scraper.Scrape(ctx, "")
	if scrape.Err != "" {
		return evidence.Sample{}, errors.New(scrape.Err)
	}
	rss, ok := scrape.Values[evidence.MetricRSS]
	if !ok {
		return evidence.Sample{}, fmt.Errorf("%w: the metrics have no process_resident_memory_bytes", ErrUnavailable)
	}
	sample := evidence.Sample{RSS: int64(rss), CPUSeconds: scrape.Values[evidence.MetricCPUSeconds],
		GPU: int64(scrape.Values[MetricGPU])}
	for _, part := range scrape.Replicas {
		sample.Replicas = append(sample.Replicas, evidence.ReplicaSample{Name: part.Name, Err: part.Err,
			RSS: int64(part.Values[evidence.MetricRSS]), CPUSeconds: part.Values[evidence.MetricCPUSeconds],
			GPU: int64(part.Values[MetricGPU])})
	}
	return sample, nil
}

package probe

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// GPUInterval is the time between two readings of accelerators. Exporters refresh their figures every 1 to 30 seconds,
// so a shorter interval would only repeat them.
const GPUInterval = time.Second

// GPUs reads memory, utilization and power of accelerators from an exporter in the text format, such as DCGM's, or
// from a Prometheus server that scrapes one. It is not safe for concurrent use.
type GPUs struct {
	match   map[string]string // labels and values that a series must have
	scraper *Scraper
	remote  bool // the address is a Prometheus server, as the first reading has shown
	known   bool
}

// NewGPUs reads from address, which is that of an exporter's metrics, or the root of a Prometheus server. Only series
// with all labels of match count, which selects for example the cards of one host.
func NewGPUs(address string, match map[string]string) *GPUs {
	return &GPUs{match: match, scraper: NewScraper(address, "", "", "")}
}

// Name says where the readings come from, without passwords; "" for a nil GPUs.
func (g *GPUs) Name() string {
	if g == nil {
		return ""
	}
	return redact(g.scraper.MetricsURL)
}

// Close closes idle connections.
func (g *GPUs) Close() { g.scraper.Close() }

// quantity is what a metric of an exporter measures.
type quantity int

const (
	gpuUsed quantity = iota
	gpuFree
	gpuTotal
	gpuBusy
	gpuWatts
	gpuJoules
)

// gpuMetric says what a metric means, and the factor that converts it to bytes, shares, watts or joules.
type gpuMetric struct {
	of    quantity
	times float64
}

// gpuMetrics are the metrics of NVIDIA's DCGM exporter, of nvidia_gpu_exporter, and of AMD's device metrics exporter.
// If a card has two metrics of one quantity, the first in the order of names counts.
var gpuMetrics = map[string]gpuMetric{
	"DCGM_FI_DEV_FB_USED":                  {gpuUsed, 1 << 20},
	"DCGM_FI_DEV_FB_FREE":                  {gpuFree, 1 << 20},
	"DCGM_FI_DEV_FB_TOTAL":                 {gpuTotal, 1 << 20},
	"DCGM_FI_DEV_GPU_UTIL":                 {gpuBusy, 0.01},
	"DCGM_FI_PROF_GR_ENGINE_ACTIVE":        {gpuBusy, 1},
	"DCGM_FI_DEV_POWER_USAGE":              {gpuWatts, 1},
	"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": {gpuJoules, 0.001},
	"nvidia_smi_memory_used_bytes":         {gpuUsed, 1},
	"nvidia_smi_memory_total_bytes":        {gpuTotal, 1},
	"nvidia_smi_utilization_gpu_ratio":     {gpuBusy, 1},
	"nvidia_smi_power_draw_watts":          {gpuWatts, 1},
	"gpu_used_vram":                        {gpuUsed, 1 << 20},
	"gpu_total_vram":                       {gpuTotal, 1 << 20},
	"gpu_gfx_activity":                     {gpuBusy, 0.01},
	"gpu_package_power":                    {gpuWatts, 1},
}

// gpuIDs are the labels that identify a card, best first: people know a card by its number, if it has one.
var gpuIDs = []string{"gpu", "gpu_id", "UUID", "uuid", "device"}

// gpuModels are the labels that name a card's model.
var gpuModels = []string{"modelName", "card_model", "card_series", "name"}

// mostCards bounds the cards of a reading.
const mostCards = 256

// Read takes one reading. An error is recorded in Err of the result.
func (g *GPUs) Read(ctx context.Context) evidence.GPU {
	begin := time.Now()
	all, err := g.series(ctx)
	out := evidence.GPU{Took: time.Since(begin).Nanoseconds()}
	if err == nil {
		out.Cards = cards(all, g.match)
		if len(out.Cards) == 0 {
			err = fmt.Errorf("%w: %s has none of the metrics of accelerators that are known, such as "+
				"DCGM_FI_DEV_FB_USED, with the labels that were asked for", ErrUnavailable, g.Name())
		}
	}
	if err != nil {
		out.Err = err.Error()
	}
	return out
}

// series reads the metrics. Until a reading has succeeded, an address that does not return metrics is also tried as a
// Prometheus server.
func (g *GPUs) series(ctx context.Context) ([]series, error) {
	if !g.remote {
		all, err := g.scraper.text(ctx)
		if err == nil || g.known {
			g.known = g.known || err == nil
			return all, err
		}
		found, perr := g.query(ctx)
		if perr != nil {
			return nil, errors.Join(err, perr)
		}
		g.remote, g.known = true, true
		return found, nil
	}
	return g.query(ctx)
}

// query reads the metrics from a Prometheus server.
func (g *GPUs) query(ctx context.Context) ([]series, error) {
	s := *NewScraper("", strings.TrimRight(g.scraper.MetricsURL, "/"), "", "")
	s.Client = g.scraper.Client
	selector := []string{fmt.Sprintf("__name__=~%q", strings.Join(slices.Sorted(maps.Keys(gpuMetrics)), "|"))}
	for _, k := range slices.Sorted(maps.Keys(g.match)) {
		selector = append(selector, fmt.Sprintf("%s=%q", k, g.match[k]))
	}
	return s.instant(ctx, "{"+strings.Join(selector, ",")+"}", time.Now())
}

// cards joins the series of each card into one value.
func cards(all []series, match map[string]string) []evidence.GPUCard {
	slices.SortStableFunc(all, func(a, b series) int { return strings.Compare(a.name, b.name) })
	type card struct {
		evidence.GPUCard
		free *float64
	}
	byID := map[string]*card{}
	for _, x := range all {
		m, ok := gpuMetrics[x.name]
		// partitions of a card are included in the whole card
		if !ok || !matches(x.labels, match) || x.labels["GPU_I_ID"] != "" {
			continue
		}
		id := firstLabel(x.labels, gpuIDs)
		if host := firstLabel(x.labels, []string{"Hostname", "hostname", "instance"}); host != "" {
			id = host + "/" + id
		}
		c := byID[id]
		if c == nil {
			if len(byID) == mostCards {
				continue
			}
			c = &card{GPUCard: evidence.GPUCard{ID: id, Model: firstLabel(x.labels, gpuModels)}}
			byID[id] = c
		}
		v := x.value * m.times
		if !(v >= 0) { // DCGM reports negative or huge numbers for what a card does not measure
			continue
		}
		into := map[quantity]**float64{gpuUsed: &c.Memory, gpuFree: &c.free, gpuTotal: &c.Total, gpuBusy: &c.Busy,
			gpuWatts: &c.Watts, gpuJoules: &c.Joules}[m.of]
		if *into == nil {
			*into = &v
		}
	}
	var out []evidence.GPUCard
	for _, id := range slices.Sorted(maps.Keys(byID)) {
		c := byID[id]
		if c.Total == nil && c.Memory != nil && c.free != nil {
			total := *c.Memory + *c.free
			c.Total = &total
		}
		out = append(out, c.GPUCard)
	}
	return out
}

func matches(labels, match map[string]string) bool {
	for k, v := range match {
		if labels[k] != v {
			return false
		}
	}
	return true
}

func firstLabel(labels map[string]string, names []string) string {
	for _, n := range names {
		if labels[n] != "" {
			return labels[n]
		}
	}
	return ""
}

// CheckGPUs returns an error unless address is an http or https URL with a host.
func CheckGPUs(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("must begin with http:// or https:// and name a host, got %q", address)
	}
	return nil
}

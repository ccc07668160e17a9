package probe

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// mostInfos bounds how many labels of a server's info metrics are kept.
const mostInfos = 40

// Infos are the labels of metrics in which a server reports how it was started: those whose names end in _info, such
// as vllm:cache_config_info. Keys are "label (metric)". Metrics of language runtimes are left out, because they say
// nothing about the server. The result is empty if the metrics cannot be read.
func (s *Scraper) Infos(ctx context.Context) map[string]string {
	out := map[string]string{}
	if s.MetricsURL == "" {
		return out
	}
	all, err := s.text(ctx)
	if err != nil {
		return out
	}
	for _, x := range all {
		if !strings.HasSuffix(x.name, "_info") || strings.HasPrefix(x.name, "go_") || strings.HasPrefix(x.name,
			"python_") ||
			strings.HasPrefix(x.name, "process_") || strings.HasPrefix(x.name, "target_") {
			continue
		}
		for _, label := range slices.Sorted(maps.Keys(x.labels)) {
			if v := x.labels[label]; v != "" && v != "None" && len(out) < mostInfos {
				out[bounded.Short(label+" ("+x.name+")", evidence.MaxName)] = bounded.Short(v, evidence.MaxName)
			}
		}
	}
	return out
}

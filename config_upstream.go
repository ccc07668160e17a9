package mixtral

import (
	"fmt"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/serve/route"
	"github.com/hxp-enterprise/mixtral/internal/serve/service"
	"github.com/hxp-enterprise/mixtral/internal/serve/upstream"
)

// upstream gives the servers that requests are passed on to, nil where there are none.
func (c *Config) upstream(v *validator) *service.Upstream {
	v.oneOf("backend", string(c.Backend), string(BackendEmbedded), string(BackendVLLM))
	c.checkRouting(v)
	if c.Backend != BackendVLLM {
		for _, set := range [][2]string{{"upstream", c.Upstream}, {"upstream_file", c.UpstreamFile}} {
			if set[1] != "" {
				v.add(set[0], strconv.Quote(set[1]), "needs backend: vllm")
			}
		}
		return nil
	}
	u := &service.Upstream{URLs: splitList(c.Upstream), File: c.UpstreamFile, KeyFile: c.UpstreamKeyFile,
		Models: map[string]string{}, Timeout: seconds(c.UpstreamTimeoutS),
		Policy: c.UpstreamPolicy, Slack: c.UpstreamAffinitySlack, SlowStart: seconds(c.UpstreamSlowStartS),
		Retries: c.UpstreamRetryBudget, CanaryBy: c.UpstreamCanaryBy, HealthEvery: seconds(c.UpstreamHealthS),
		HealthPath: c.UpstreamHealthPath, AnyModel: c.UpstreamReady == readyAny}
	if strings.ContainsRune(c.ModelPath, '/') { // nothing is opened here: the servers read it themselves
		u.Directory, u.Names = c.ModelPath, []string{path.Base(filepath.ToSlash(c.ModelPath))}
		if c.ModelID != "" {
			u.Names = append(u.Names, c.ModelID)
		}
	}
	if c.UpstreamFile == "" && c.Upstream == "" {
		v.add("backend", strconv.Quote(string(c.Backend)), "needs upstream or upstream_file")
	} else if c.UpstreamFile == "" {
		if err := upstream.CheckURLs(u.URLs); err != nil {
			v.add("upstream", strconv.Quote(c.Upstream),
				"must be http://host:port or https://host, several separated by commas, unless upstream_file is set")
		}
	} else if c.Upstream != "" {
		v.add("upstream", strconv.Quote(c.Upstream), "must be empty where upstream_file is set")
	}
	for _, pair := range splitList(c.UpstreamModels) {
		ours, theirs, ok := strings.Cut(pair, "=")
		if !ok || ours == "" || theirs == "" {
			v.add("upstream_models", strconv.Quote(c.UpstreamModels),
				"must be OURS=THEIRS, several separated by commas")
			break
		}
		u.Models[ours] = theirs
	}
	return u
}

// checkRouting checks the keys that say which server gets a request.
func (c *Config) checkRouting(v *validator) {
	v.above("upstream_timeout_s", c.UpstreamTimeoutS, 24*3600)
	v.oneOf("upstream_policy", c.UpstreamPolicy, route.Names...)
	v.number("upstream_affinity_slack", float64(c.UpstreamAffinitySlack), 1, 10_000)
	v.number("upstream_slow_start_s", c.UpstreamSlowStartS, 0, 3600)
	v.number("upstream_retry_budget", c.UpstreamRetryBudget, 0, 1)
	if s := c.UpstreamHealthS; s != 0 && !(s >= 0.1 && s <= 3600) {
		v.add("upstream_health_s", fmt.Sprint(s), "must be 0 or between 0.1 and 3600")
	}
	if p := c.UpstreamHealthPath; !strings.HasPrefix(p, "/") || strings.ContainsAny(p, "?#% \t\r\n") {
		v.add("upstream_health_path", fmt.Sprintf("%q", p), "must be a path that begins with /")
	}
	v.oneOf("upstream_canary_by", c.UpstreamCanaryBy, upstream.CanaryBys...)
	v.oneOf("upstream_ready", c.UpstreamReady, readyEvery, readyAny)
}

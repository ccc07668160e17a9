// Package deploy_test holds the files of this folder to the service they describe.
package deploy_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/need"
	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
)

const runbook = "../docs/RUNBOOK.md"

var metricName = regexp.MustCompile(`\bmixtral_[a-z0-9_]+\b`)

// known tells whether a metric is in the service's table; a histogram also has its parts.
func known(name string) bool {
	for _, suffix := range []string{"", "_bucket", "_sum", "_count"} {
		if base, ok := strings.CutSuffix(name, suffix); ok {
			if d, found := telemetry.Lookup(base); found && (suffix == "" || d.Kind == telemetry.Histogram) {
				return true
			}
		}
	}
	return false
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestOnlyMetricsThatExist(t *testing.T) {
	for _, path := range []string{"prometheus/alerts.yaml", "prometheus/alerts_test.yaml", "grafana/mixtral.json",
		runbook} {
		names := metricName.FindAllString(read(t, path), -1)
		if len(names) < 4 {
			t.Errorf("%s names %d metrics", path, len(names))
		}
		for _, n := range names {
			if !known(n) {
				t.Errorf("%s: there is no metric %s", path, n)
			}
		}
	}
}

// TestEveryMetricIsOnTheDashboard, but the one that is always 1.
func TestEveryMetricIsOnTheDashboard(t *testing.T) {
	dashboard := read(t, "grafana/mixtral.json")
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(dashboard), &d); err != nil {
		t.Fatal(err)
	}
	for _, p := range d.Panels {
		if p.Title == "" || len(p.Targets) == 0 {
			t.Errorf("panel %+v", p)
		}
	}
	for _, m := range telemetry.Table {
		if !strings.Contains(dashboard, m.Name) {
			t.Errorf("%s is on no panel", m.Name)
		}
	}
}

// TestEveryAlertHasARunbook: its URL leads to a section of docs/RUNBOOK.md, and no section is left over.
func TestEveryAlertHasARunbook(t *testing.T) {
	alerts := read(t, "prometheus/alerts.yaml")
	var named []string
	for _, m := range regexp.MustCompile(`(?m)^ +- alert: (\w+)$`).FindAllStringSubmatch(alerts, -1) {
		named = append(named, m[1])
		url := "runbook_url: https://github.com/hxp-enterprise/mixtral/blob/main/docs/RUNBOOK.md#" +
			strings.ToLower(m[1]) + "\n"
		if strings.Count(alerts, url) != 1 {
			t.Errorf("%s: no %q", m[1], url)
		}
	}
	var sections []string
	for _, m := range regexp.MustCompile(`(?m)^## (\w+)$`).FindAllStringSubmatch(read(t, runbook), -1) {
		sections = append(sections, m[1])
	}
	slices.Sort(named)
	slices.Sort(sections)
	if len(named) < 10 || !slices.Equal(named, sections) {
		t.Errorf("alerts %q\nsections %q", named, sections)
	}
}

// TestAlerts runs the rules' own tests in Prometheus' tool.
func TestAlerts(t *testing.T) {
	tool, err := exec.LookPath("promtool")
	if err != nil {
		need.Missing(t, "promtool is not installed (Debian's package prometheus)")
	}
	for _, args := range [][]string{{"check", "rules", "prometheus/alerts.yaml"},
		{"test", "rules", "prometheus/alerts_test.yaml"}} {
		if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

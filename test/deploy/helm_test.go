package deploy

import (
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"sigs.k8s.io/yaml"

	"github.com/hxp-enterprise/mixtral"
)

const (
	chartDir  = "../../deploy/helm/mixtral"
	alertFile = "../../deploy/prometheus/alerts.yaml"
)

var update = flag.Bool("update", false, "write the copies of deploy/prometheus/alerts.yaml")

// render gives a chart's manifests as Helm makes them for a release.
func render(release string, values map[string]any) (string, error) {
	c, err := loader.Load(chartDir)
	if err != nil {
		return "", err
	}
	if err := chartutil.ValidateAgainstSchema(c, values); err != nil {
		return "", err
	}
	all, err := chartutil.ToRenderValues(c, values, chartutil.ReleaseOptions{Name: release, IsInstall: true}, nil)
	if err != nil {
		return "", err
	}
	files, err := engine.Render(c, all)
	if err != nil {
		return "", err
	}
	var docs []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(name, ".yaml") && strings.TrimSpace(files[name]) != "" {
			docs = append(docs, files[name])
		}
	}
	return strings.Join(docs, "\n---\n"), nil
}

func values(t *testing.T, text string) map[string]any {
	t.Helper()
	v := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// objects gives each document by kind and name, as plain values, without what only Helm adds: its labels, and the
// digest of the configuration in the pods' annotations. A configuration is given as what the service reads from it.
func objects(t *testing.T, manifests string) map[string]any {
	t.Helper()
	all := map[string]any{}
	for doc := range strings.SplitSeq(manifests, "\n---\n") {
		var o map[string]any
		if err := yaml.Unmarshal([]byte(doc+"\n"), &o); err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		if o == nil {
			continue
		}
		meta := o["metadata"].(map[string]any)
		delete(meta, "labels")
		if template, ok := get(o, "spec", "template", "metadata").(map[string]any); ok {
			delete(template, "annotations")
		}
		if text, ok := get(o, "data", "mixtral.yaml").(string); ok {
			c, err := mixtral.ParseConfig("mixtral.yaml", []byte(text), nil)
			if err != nil {
				t.Fatal(err)
			}
			data, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			o["data"] = string(data)
		}
		all[o["kind"].(string)+" "+meta["name"].(string)] = o
	}
	return all
}

func get(o any, path ...string) any {
	for _, key := range path {
		m, ok := o.(map[string]any)
		if !ok {
			return nil
		}
		o = m[key]
	}
	return o
}

// TestChartIsTheOverlays: for each overlay there are values with which the chart renders the same objects, but for the
// tag of the image.
func TestChartIsTheOverlays(t *testing.T) {
	for overlay, text := range map[string]string{
		"embedded":               "{}",
		"embedded+monitoring":    "monitoring: {enabled: true}",
		"vllm":                   "mode: vllm",
		"vllm-one-gpu":           "{mode: vllm, vllm: {gpus: 1}}",
		"vllm-plain":             "{mode: vllm, vllm: {router: none}}",
		"vllm-plain-one-gpu":     "{mode: vllm, vllm: {router: none, gpus: 1}}",
		"vllm+monitoring+keda":   "{mode: vllm, monitoring: {enabled: true}, vllm: {autoscaling: {kind: keda}}}",
		"vllm+hpa":               "{mode: vllm, vllm: {autoscaling: {kind: hpa}}}",
		"embedded, with certify": "certify: {enabled: true}",
	} {
		rendered, err := render("mixtral", values(t, text))
		if err != nil {
			t.Errorf("%s: %v", overlay, err)
			continue
		}
		for _, p := range inspect(rendered) {
			t.Errorf("%s: %s", overlay, p)
		}
		base, _, certify := strings.Cut(overlay, ", with ")
		built := build(t, base)
		if certify {
			built += "\n---\n" + build(t, "certify")
		}
		want, got := objects(t, built), objects(t, rendered)
		if strings.Contains(overlay, "keda") || strings.Contains(overlay, "hpa") {
			// An autoscaler decides, and a number in the chart would undo its decision at each upgrade.
			delete(want["StatefulSet vllm-mixtral"].(map[string]any)["spec"].(map[string]any), "replicas")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: the chart (+) is not the overlay (-):\n%s", overlay, diff)
		}
	}
}

// TestChartValues: names follow the release, keys of the configuration go into it, and what cannot work is refused.
func TestChartValues(t *testing.T) {
	rendered, err := render("prod", values(t, "{mode: vllm, config: {max_tokens: 100, log_level: warn}, "+
		"pullSecrets: [regcred], monitoring: {enabled: true, labels: {release: stack}}, certify: {enabled: true}}"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range inspect(rendered) {
		t.Error(p)
	}
	o := objects(t, rendered)
	for _, name := range []string{"Deployment prod-mixtral", "StatefulSet vllm-prod-mixtral",
		"Gateway prod-mixtral-gateway", "Job prod-mixtral-certify", "PodMonitor prod-mixtral", "PersistentVolumeClaim prod-mixtral-reports"} {
		if o[name] == nil {
			t.Errorf("no %s among %q", name, slices.Sorted(maps.Keys(o)))
		}
	}
	if c, _ := get(o["ConfigMap prod-mixtral"], "data").(string); !strings.Contains(c, `"MaxTokens":100,`) ||
		!strings.Contains(c, `"LogLevel":"warn"`) || !strings.Contains(c, "http://prod-mixtral-gateway-istio") {
		t.Error(c)
	}
	if strings.Count(rendered, "imagePullSecrets:\n") != 3 || strings.Count(rendered, "release: stack") != 2 {
		t.Error(rendered)
	}
	for text, want := range map[string]string{
		"mode: gpu":                       "mode",
		"modes: vllm":                     "modes",
		"embedded: {replicas: 0}":         "replicas",
		"config: {port: [1]}":             "config",
		"{mode: vllm, vllm: {gpus: 3}}":   "gpus",
		"certify: {profile: quik}":        "profile",
		"networkPolicy: {enabled: maybe}": "enabled",
		"{mode: vllm, vllm: {router: none, autoscaling: {kind: keda}}}": "needs vllm.router: llm-d",
	} {
		if _, err := render("mixtral", values(t, text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestAlertsAreOneSource: the copies of the alerts for the Prometheus Operator and for the chart are the file's.
func TestAlertsAreOneSource(t *testing.T) {
	alerts := file(t, alertFile)
	_, groups, ok := strings.Cut(alerts, "\ngroups:\n")
	if !ok {
		t.Fatal("no groups")
	}
	rules := &strings.Builder{}
	rules.WriteString("# Made from ../../../prometheus/alerts.yaml by: cd test && go test ./deploy -update\n" +
		"apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata: {name: mixtral}\nspec:\n  groups:\n")
	for line := range strings.Lines(groups) {
		rules.WriteString("  " + line)
	}
	for path, want := range map[string]string{
		filepath.Join(root, "components", "monitoring", "rules.yaml"): rules.String(),
		filepath.Join(chartDir, "alerts.yaml"):                        alerts,
	} {
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if file(t, path) != want {
			t.Errorf("%s is not made from %s: cd test && go test ./deploy -update", path, alertFile)
		}
	}
}

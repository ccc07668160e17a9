package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var updateManifests = flag.Bool("update-manifests", false, "write testdata/generators.yaml anew")

// TestGeneratorManifests: the manifests for three generators are those of testdata/generators.yaml, which test/deploy
// checks with Kubernetes' own types.
func TestGeneratorManifests(t *testing.T) {
	dir := t.TempDir()
	tc := filepath.Join(dir, "case.yaml")
	text := "schema_version: 1\nid: TC-X\nname: x\ntargets: {latency_ms: 1000}\n" +
		"profiles: {quick: [{id: a, kind: open, rps: 5, duration_s: 2}]}\n" +
		"checks: [{id: latency, clause: fast, rule: mean_latency, phase: a}]\n"
	key := filepath.Join(dir, "key")
	for name, text := range map[string]string{tc: text, key: "s3cret\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := certifyCmd{Case: tc, Profile: "quick", Target: "http://mixtral:11400/v1", APIKeyFile: key, Seed: 7,
		SLO: []string{"ttft:p99<2s"}, generatorFlags: generatorFlags{Generators: "3"},
		kubernetesFlags: kubernetesFlags{
			GeneratorsImage: "ghcr.io/hxp-enterprise/mixtral:v0.1.0"}}
	holdManifests(t, c, "generators.yaml")
	// If replicas are found by their labels, the certifier may list pods there, and nothing else.
	c.Metrics, c.GeneratorsNamespace, c.TracingURL = "pods+http://llm:8000/metrics?selector=app=vllm", "load",
		"http://otel:4318"
	holdManifests(t, c, "generators_pods.yaml")
}

// holdManifests compares the output with a file of testdata.
func holdManifests(t *testing.T, c certifyCmd, file string) {
	t.Helper()
	m, err := c.manifests(3)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Key) < 20 {
		t.Errorf("a key of %d characters", len(m.Key))
	}
	m.Key = "drawn-for-each-rendering"
	var got bytes.Buffer
	if err := m.write(&got); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", file)
	if *updateManifests {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("not testdata/%s (go test ./cmd/mixtral -run GeneratorManifests -update-manifests): %v\n%s", file,
			err, got.String())
	}
}

// TestManifestsThatCannotBe: a flag that cannot work in a cluster is refused with its name.
func TestManifestsThatCannotBe(t *testing.T) {
	good := certifyCmd{Profile: "quick", Target: "http://mixtral:11400", kubernetesFlags: kubernetesFlags{
		GeneratorsImage: "x/mixtral:v1.0.0"}}
	if _, err := good.manifests(2); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(*certifyCmd)
		n      int
		says   string
	}{
		"none":      {func(*certifyCmd) {}, 0, "must be 1 to 256"},
		"too many":  {func(*certifyCmd) {}, 257, "must be 1 to 256"},
		"no target": {func(c *certifyCmd) { c.Target = "" }, 2, "--target must be the URL"},
		"a process": {func(c *certifyCmd) { c.PID = 3 }, 2, "--pid is not for manifests"},
		"a file": {func(c *certifyCmd) { c.Header = []string{"a: @b"} }, 2, "--header with @FILE is not for " +
			"manifests"},
		"no image":  {func(c *certifyCmd) { c.GeneratorsImage = "" }, 2, "--generators-image: must be given"},
		"namespace": {func(c *certifyCmd) { c.GeneratorsNamespace = "A b" }, 2, "must be lower-case letters"},
		"pods": {func(c *certifyCmd) { c.Metrics = "pods+http://llm:1/metrics?selector=a=b" }, 2,
			"--generators-namespace: must be given"},
		"no selector": {func(c *certifyCmd) { c.Metrics = "pods+http://llm:1/metrics" }, 2, "a selector is missing"},
		"a case":      {func(c *certifyCmd) { c.Case = "none.yaml" }, 2, "none.yaml"},
	} {
		c := good
		tt.change(&c)
		if _, err := c.manifests(tt.n); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestGeneratorAddresses: the port is optional, and a name can stand for all of its addresses.
func TestGeneratorAddresses(t *testing.T) {
	for given, want := range map[string]string{"a:1": "[a:1]", "a": "[a:11410]", "[::1]:5": "[[::1]:5]",
		"::1": "[[::1]:11410]", "dns+127.0.0.1:9": "[127.0.0.1:9]"} {
		got, err := generatorAddresses(t.Context(), given)
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("%s: %v, %v", given, got, err)
		}
	}
	if _, err := generatorAddresses(t.Context(), ":5"); err == nil {
		t.Error("an address without a host")
	}
}

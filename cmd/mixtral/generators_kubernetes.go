package main

import (
	"crypto/rand"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/probe"
	"github.com/hxp-enterprise/mixtral/testcases"
)

//go:embed generators.yaml
var generatorManifests string

// kubernetesFlags are the flags for the manifests that --generators prints if it is a number.
type kubernetesFlags struct {
	GeneratorsImage     string `placeholder:"IMAGE" help:"Container image in the manifests, with its tag or digest; default: the image of this release."`
	GeneratorsNamespace string `placeholder:"NAME" help:"Kubernetes namespace in the manifests; default: the namespace that kubectl uses."`
}

// manifests is the data of the template.
type manifests struct {
	N           int
	In          string // ", namespace: x"
	Own         string // x; empty: kubectl's namespace
	Image       string
	Target      string
	Key, APIKey string
	Tracing     string // the collector's address; empty: none
	Files       []manifestFile
	Args        []string
	Pods        []string // namespaces whose pods the coordinator lists; "": its own
}

// InPods is the namespace of a Role that lists pods, as In is that of everything else.
func (m *manifests) InPods(namespace string) string {
	if namespace == "" {
		return m.In
	}
	return ", namespace: " + strconv.Quote(namespace)
}

// manifestFile is a file of a ConfigMap.
type manifestFile struct{ Name, Data string }

// mostManifestFiles bounds a ConfigMap in bytes: Kubernetes accepts a MiB, which three quarters of that fill as
// base64.
const mostManifestFiles = 700 << 10

var (
	released      = regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+$`)
	namespaceName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	fileName      = regexp.MustCompile(`^[A-Za-z0-9._-]{1,200}$`)
)

// rendered prints the manifests for a number of generators; ok is false if --generators is a list.
func (c certifyCmd) rendered(w io.Writer) (ok bool, err error) {
	n, err := strconv.Atoi(c.Generators)
	if err != nil {
		if c.GeneratorsImage+c.GeneratorsNamespace != "" {
			return false, usageError(errors.New("--generators-image and --generators-namespace: are for " +
				"--generators N, which prints manifests"))
		}
		return false, nil
	}
	m, err := c.manifests(n)
	if err != nil {
		return true, usageError(err)
	}
	return true, m.write(w)
}

// manifests returns what the Jobs run.
func (c certifyCmd) manifests(n int) (*manifests, error) {
	if n < 1 || n > evidence.MaxGenerators {
		return nil, fmt.Errorf("--generators: %d: must be 1 to %d", n, evidence.MaxGenerators)
	}
	u, err := url.Parse(c.Target)
	if err != nil || c.Target == "" || u.Host == "" {
		return nil, fmt.Errorf("--generators %d: --target must be the URL of the server in the cluster, got %q", n,
			c.Target)
	}
	if err := c.unfit(); err != nil {
		return nil, err
	}
	m := &manifests{N: n, Image: c.GeneratorsImage, Target: (&url.URL{Scheme: u.Scheme, Host: u.Host}).String(),
		Key: rand.Text()}
	if v := thisBuild().Version; m.Image == "" && released.MatchString(v) {
		m.Image = "ghcr.io/hxp-enterprise/mixtral:" + v
	}
	if m.Image == "" {
		return nil, errors.New("--generators-image: must be given, since this program is not a release")
	}
	if x := c.GeneratorsNamespace; x != "" {
		if !namespaceName.MatchString(x) {
			return nil, fmt.Errorf("--generators-namespace: %q must be lower-case letters, digits and hyphens", x)
		}
		m.In, m.Own = ", namespace: "+strconv.Quote(x), x
	}
	if m.Pods, err = probe.PodNamespaces(c.Metrics); err != nil {
		return nil, fmt.Errorf("--metrics: %w", err)
	}
	if len(m.Pods) > 0 && m.Own == "" {
		return nil, errors.New("--generators-namespace: must be given where --metrics lists pods, since a " +
			"RoleBinding names the namespace of its service account")
	}
	if t, err := url.Parse(c.TracingURL); err == nil && c.TracingURL != "" {
		m.Tracing = (&url.URL{Scheme: t.Scheme, Host: t.Host}).String()
	}
	if c.APIKeyFile != "" {
		key, err := bounded.File(c.APIKeyFile, 64<<10)
		if err != nil {
			return nil, err
		}
		m.APIKey = strings.TrimSpace(string(key))
	}
	name, err := m.caseFiles(c.Case)
	if err != nil {
		return nil, err
	}
	m.Args = append([]string{"certify", name}, c.args(n)...)
	if m.APIKey != "" {
		m.Args = append(m.Args, "--api-key-file", "/etc/mixtral-generators/api-key")
	}
	return m, nil
}

// unfit names a flag that makes no sense in a cluster, or that names a file of this machine.
func (c certifyCmd) unfit() error {
	for _, f := range []struct {
		flag  string
		given bool
	}{{"--model", c.Model != ""}, {"--in-process", c.InProcess}, {"--pid", c.PID != 0}, {"--cgroup", c.Cgroup != ""},
		{"--reviewer-key-file", c.ReviewerKeyFile != ""}, {"--against", c.Against != ""},
		{"--sign-key", c.SignKey != ""}, {"--generators-key-file", c.GeneratorKeyFile != ""},
		{"--generators-ca-file", c.GeneratorsCA != ""},
		{"--header with @FILE", slices.ContainsFunc(c.Header, func(h string) bool {
			_, value, _ := strings.Cut(h, ":")
			return strings.HasPrefix(strings.TrimSpace(value), "@")
		})}} {
		if f.given {
			return fmt.Errorf("--generators %s: %s is not for manifests: add it to them by hand", c.Generators, f.flag)
		}
	}
	return nil
}

// args returns the arguments of the Job that certifies, after the case.
func (c certifyCmd) args(n int) []string {
	var addresses []string
	for i := range n {
		addresses = append(addresses, fmt.Sprintf("mixtral-generators-%d.mixtral-generators:%s", i, generatorPort))
	}
	out := []string{"--generators", strings.Join(addresses, ","), "--generators-key-file",
		"/etc/mixtral-generators/key",
		"--generators-wait", max(c.GeneratorsWait, 10*time.Minute).String(), "--report-dir", "/data/reports",
		"--database-url", "none"}
	for _, x := range []struct{ flag, value string }{{"--profile", c.Profile}, {"--target", c.Target},
		{"--target-model", c.TargetModel}, {"--metrics", c.Metrics}, {"--prometheus", c.Prometheus},
		{"--gpu-metrics", c.GPUMetrics}, {"--tracing-url", c.TracingURL},
		{"--reviewer", c.Reviewer}, {"--reviewer-model", c.ReviewerModel}} {
		if x.value != "" {
			out = append(out, x.flag, x.value)
		}
	}
	for _, x := range []struct {
		flag   string
		values []string
	}{{"--header", c.Header}, {"--query", c.Query}, {"--body", c.Body}, {"--set", c.Set}, {"--slo", c.SLO},
		{"--gpu-match", c.GPUMatch}} {
		for _, v := range x.values {
			out = append(out, x.flag, v)
		}
	}
	if c.Seed != 0 {
		out = append(out, "--seed", strconv.FormatInt(c.Seed, 10))
	}
	if c.Sweep != "" {
		out = append(out, "--sweep="+string(c.Sweep), "--sweep-step", c.SweepStep.String())
	}
	if c.JSON {
		out = append(out, "--json")
	}
	return out
}

// caseFiles adds the files of a case that is not compiled in, and returns the case's name in the cluster.
func (m *manifests) caseFiles(ref string) (name string, err error) {
	loaded, err := testcases.Load(ref)
	if err != nil {
		return "", err
	}
	if slices.Contains(testcases.List(), ref) || ref == "" {
		return loaded.Case.ID, nil
	}
	files := map[string][]byte{"case.yaml": loaded.Source}
	if loaded.Case.Prompts != testcases.BuiltinPrompts {
		files[loaded.Case.Prompts] = loaded.PromptBytes
	}
	maps.Copy(files, loaded.Files)
	size := 0
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !fileName.MatchString(name) {
			return "", fmt.Errorf("%s: file %q: must lie beside the case, in a name of letters, digits, '.', '_' "+
				"and '-'",
				ref, name)
		}
		if size += len(files[name]); size > mostManifestFiles {
			return "", fmt.Errorf("%s: its files have more than %d bytes, which a ConfigMap does not hold", ref,
				mostManifestFiles)
		}
		m.Files = append(m.Files, manifestFile{name, base64.StdEncoding.EncodeToString(files[name])})
	}
	return "/etc/mixtral-case/case.yaml", nil
}

// write fills the template. A JSON string is also a YAML string.
func (m *manifests) write(w io.Writer) error {
	quote := func(s string) (string, error) {
		var b strings.Builder
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		err := enc.Encode(s)
		return strings.TrimSuffix(b.String(), "\n"), err
	}
	t, err := template.New("").Funcs(template.FuncMap{"q": quote}).Parse(generatorManifests)
	if err != nil {
		return err
	}
	return t.Execute(w, m)
}

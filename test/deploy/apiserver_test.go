package deploy

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/yaml"
)

// server is a Kubernetes API server that runs for a test.
type server struct {
	url    string
	client *http.Client
	plural map[string]string // "GROUP/VERSION KIND" to the path of its objects, with %s for a namespace
}

// start starts a program, and ends it with the test.
func start(t *testing.T, path string, args ...string) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("%s: …%s", filepath.Base(path), text[max(0, len(text)-3000):])
		}
	})
}

// freePort is one that nobody has now.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

const token = "a-token-of-this-test"

// apiServer starts etcd and kube-apiserver, and waits until they answer.
func apiServer(t *testing.T, programs string) *server {
	t.Helper()
	dir := t.TempDir()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	keyFile, tokens := filepath.Join(dir, "key.pem"), filepath.Join(dir, "tokens.csv")
	block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	if err := errors.Join(os.WriteFile(keyFile, pem.EncodeToMemory(block), 0o600),
		os.WriteFile(tokens, []byte(token+",test,1,system:masters\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	store := fmt.Sprintf("http://127.0.0.1:%d", freePort(t))
	peer := fmt.Sprintf("http://127.0.0.1:%d", freePort(t))
	start(t, filepath.Join(programs, "etcd"), "--data-dir", filepath.Join(dir, "etcd"), "--listen-client-urls", store,
		"--advertise-client-urls", store, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
		"--initial-cluster", "default="+peer, "--unsafe-no-fsync", "--log-level", "error")
	port := freePort(t)
	start(t, filepath.Join(programs, "kube-apiserver"), "--etcd-servers", store, "--cert-dir", dir, "--bind-address",
		"127.0.0.1", "--secure-port", fmt.Sprint(port), "--token-auth-file", tokens, "--authorization-mode", "RBAC",
		"--service-account-issuer", "https://test.invalid", "--service-account-key-file", keyFile,
		"--service-account-signing-key-file", keyFile, "--service-cluster-ip-range", "10.0.0.0/24",
		"--disable-admission-plugins", "ServiceAccount")
	s := &server{url: fmt.Sprintf("https://127.0.0.1:%d", port), plural: map[string]string{}, client: &http.Client{
		// Its certificate is made when it starts.
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, Timeout: time.Minute}}
	s.until(t, "/readyz", func(status int, _ []byte) bool { return status == http.StatusOK })
	return s
}

// until asks until the answer is good.
func (s *server) until(t *testing.T, path string, good func(status int, body []byte) bool) {
	t.Helper()
	var last string
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		status, body, _, err := s.ask(http.MethodGet, path, "", nil)
		if err == nil && good(status, body) {
			return
		}
		last = fmt.Sprintf("%d %s %v", status, body, err)
	}
	t.Fatalf("%s: %s", path, last)
}

func (s *server) ask(method, path, kind string, body []byte) (int, []byte, []string, error) {
	r, err := http.NewRequest(method, s.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return 0, nil, nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, text, answer.Header["Warning"], err
}

// discover learns where the objects of each kind are.
func (s *server) discover(t *testing.T) {
	t.Helper()
	// A group that the server is about to serve has no answer yet.
	get := func(path string, to any) {
		status, body, _, err := s.ask(http.MethodGet, path, "", nil)
		if err == nil && status == http.StatusOK {
			err = json.Unmarshal(body, to)
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	var groups struct {
		Groups []struct {
			Versions []struct{ GroupVersion string }
		}
	}
	get("/apis", &groups)
	paths := map[string]string{"v1": "/api/v1"}
	for _, g := range groups.Groups {
		for _, v := range g.Versions {
			paths[v.GroupVersion] = "/apis/" + v.GroupVersion
		}
	}
	for version, path := range paths {
		var list struct {
			Resources []struct {
				Name, Kind string
				Namespaced bool
			}
		}
		get(path, &list)
		for _, r := range list.Resources {
			where := path + "/" + r.Name
			if r.Namespaced {
				where = path + "/namespaces/%s/" + r.Name
			}
			if !strings.Contains(r.Name, "/") {
				s.plural[version+" "+r.Kind] = where
			}
		}
	}
}

// apply hands an object to the server as `kubectl apply --server-side --validate=strict` does, and gives what is wrong
// with it: an error or warnings.
func (s *server) apply(namespace string, doc []byte) string {
	var o struct {
		APIVersion, Kind string
		Metadata         struct{ Name string }
	}
	data, err := yaml.ToJSON(doc)
	if err == nil {
		err = json.Unmarshal(data, &o)
	}
	if err != nil {
		return err.Error()
	}
	where, ok := s.plural[o.APIVersion+" "+o.Kind]
	if !ok {
		return fmt.Sprintf("the server has no kind %s of %s", o.Kind, o.APIVersion)
	}
	if strings.Contains(where, "%s") {
		where = fmt.Sprintf(where, namespace)
	}
	where += "/" + o.Metadata.Name + "?fieldManager=test&fieldValidation=Strict&force=true"
	status, body, warnings, err := s.ask(http.MethodPatch, where, "application/apply-patch+yaml", doc)
	if err != nil || status != http.StatusOK && status != http.StatusCreated {
		return fmt.Sprintf("%s %s: %d %s %v", o.Kind, o.Metadata.Name, status, body, err)
	}
	if len(warnings) > 0 {
		return fmt.Sprintf("%s %s: warnings: %q", o.Kind, o.Metadata.Name, warnings)
	}
	return ""
}

// applyAll hands all objects of a manifest to the server, each set in a namespace of its own, where pods must keep to
// Kubernetes' restricted standard or be warned of.
func (s *server) applyAll(t *testing.T, namespace, manifests string) (problems []string) {
	t.Helper()
	space := fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: {%s: restricted}}\n",
		namespace, "pod-security.kubernetes.io/warn")
	if p := s.apply("", []byte(space)); p != "" {
		t.Fatal(p)
	}
	for docs := yaml.NewYAMLReader(bufioReader(manifests)); ; {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return problems
		}
		if err != nil {
			t.Fatal(err)
		}
		if p := s.apply(namespace, doc); p != "" {
			problems = append(problems, p)
		}
	}
}

// TestAPIServer: Kubernetes' own API server, in the version of test/apiserver/go.mod, takes every overlay and what the
// chart renders, without an error or a warning, and with the published definitions of the kinds that are not its own.
// What is wrong in a way that only it can see is refused. `make apiserver` builds it.
func TestAPIServer(t *testing.T) {
	programs := os.Getenv("MIXTRAL_APISERVER")
	if programs == "" {
		t.Skip("make apiserver")
	}
	s := apiServer(t, programs)
	s.discover(t)
	for kind, d := range definitions {
		text, err := d.read()
		if err != nil {
			t.Fatal(err)
		}
		if p := s.apply("", text); p != "" && !strings.Contains(p, "warnings") { // they are others'
			t.Fatalf("%s: %s", kind, p)
		}
	}
	s.until(t, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", func(_ int, body []byte) bool {
		return bytes.Count(body, []byte(`"type":"Established"`)) == len(definitions)
	})
	// The server tells of each kind a little after its definition is established.
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		s.discover(t)
		missing := 0
		for kind := range definitions {
			if !slices.ContainsFunc(slices.Collect(maps.Keys(s.plural)),
				func(name string) bool { return strings.HasSuffix(name, " "+kind) }) {
				missing++
			}
		}
		if missing == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d kinds are missing: the server has %q", missing, slices.Sorted(maps.Keys(s.plural)))
		}
	}
	n := 0
	next := func() string { n++; return fmt.Sprintf("mixtral-%d", n) }
	for _, name := range slices.Concat(overlays, []string{"embedded+monitoring", "vllm+monitoring+keda", "vllm+hpa"}) {
		for _, p := range s.applyAll(t, next(), build(t, name)) {
			t.Errorf("%s: %s", name, p)
		}
	}
	for _, p := range s.applyAll(t, next(), generatorManifests(t)) {
		t.Errorf("generators: %s", p)
	}
	for _, text := range []string{"{certify: {enabled: true}, monitoring: {enabled: true}}",
		"{mode: vllm, monitoring: {enabled: true}, vllm: {autoscaling: {kind: keda}}}",
		"{mode: vllm, vllm: {router: none, gpus: 1}}", "{mode: vllm, vllm: {autoscaling: {kind: hpa}}}"} {
		rendered, err := render("prod", values(t, text))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range s.applyAll(t, next(), rendered) {
			t.Errorf("chart with %s: %s", text, p)
		}
	}
	for _, test := range []struct{ overlay, old, new, want string }{
		{"embedded", "startupProbe:", "startProbe:", "startProbe"},
		{"embedded", "replicas: 1", "replicas: -1", "greater than or equal to 0"},
		{"embedded", "  name: mixtral-metrics\n", "  name: Mixtral-Metrics\n", "metadata.name: Invalid value"},
		{"embedded", "port: metrics", "port: metrics-of-the-service", "no more than 15 characters"},
		{"embedded", "memory: 44Gi", "memory: 39Gi", "must be less than or equal to memory limit"},
		{"embedded", "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "would violate PodSecurity"},
		{"embedded", "mountPath: /data\n          name: data", "mountPath: /data\n          name: date", "Not found"},
		{"vllm", "failureMode: FailOpen", "failureMode: FailSoft", "FailSoft"},
		{"vllm", "number: 8000", "number: 80000", "65535"},
		{"vllm+hpa", "minReplicas: 2", "minReplicas: 9", "maxReplicas"},
		{"vllm+monitoring+keda", "triggers:", "trigger:", "trigger"},
	} {
		good := build(t, test.overlay)
		faulty := strings.Replace(good, test.old, test.new, 1)
		if faulty == good {
			t.Errorf("%s: %q does not stand there", test.overlay, test.old)
			continue
		}
		if got := strings.Join(s.applyAll(t, next(), faulty), "\n"); !strings.Contains(got, test.want) {
			t.Errorf("%s with %q: the server says %q, want %q", test.overlay, test.new, got, test.want)
		}
	}
}

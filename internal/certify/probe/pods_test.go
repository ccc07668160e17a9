package probe

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// cluster is an API server that lists pods in pages of two, with the files of a service account that may list pods in
// the namespace llm.
type cluster struct {
	*httptest.Server
	dir  string
	mu   sync.Mutex
	pods []map[string]any
	down bool
	asks []string
}

func newCluster(t *testing.T) *cluster {
	c := &cluster{dir: t.TempDir()}
	c.Server = httptest.NewTLSServer(http.HandlerFunc(c.answer))
	t.Cleanup(c.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate().Raw})
	for name, data := range map[string]string{"ca.crt": string(ca), "token": "first\n", "namespace": "llm"} {
		c.write(t, name, data)
	}
	return c
}

func (c *cluster) write(t *testing.T, name, data string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) answer(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asks = append(c.asks, r.Header.Get("Authorization")+" "+r.URL.Query().Get("labelSelector"))
	switch {
	case c.down:
		http.Error(w, "etcd is away", http.StatusInternalServerError)
	case r.URL.Path != "/api/v1/namespaces/llm/pods":
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"kind":"Status","message":"pods is forbidden","code":403}`)
	default:
		from := 0
		fmt.Sscan(r.URL.Query().Get("continue"), &from)
		next := ""
		if from+2 < len(c.pods) {
			next = fmt.Sprint(from + 2)
		}
		json.NewEncoder(w).Encode(map[string]any{"kind": "PodList", "metadata": map[string]any{"continue": next},
			"items": c.pods[from:min(from+2, len(c.pods))]})
	}
}

func (c *cluster) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

func (c *cluster) env(key string) string {
	u, err := url.Parse(c.URL)
	if err != nil {
		return ""
	}
	return map[string]string{"KUBERNETES_SERVICE_HOST": u.Hostname(), "KUBERNETES_SERVICE_PORT": u.Port()}[key]
}

func somePod(name, ip, phase, ready string) map[string]any {
	return map[string]any{"metadata": map[string]any{"name": name, "labels": map[string]any{"app": "vllm"}},
		"spec": map[string]any{"containers": []any{}}, "status": map[string]any{"phase": phase, "podIP": ip,
			"conditions": []any{map[string]any{"type": "Ready", "status": ready}}}}
}

// scraper reads metrics of the cluster's pods.
func (c *cluster) scraper(metrics string) *Scraper {
	s := NewScraper(metrics, "", "key-of-the-target", "")
	s.fleet.pods.asks = func() (*kubernetes, error) { return inCluster(c.env, c.dir) }
	return s
}

// TestPodsAreAFleet: the pods of a selector are the replicas, by name, while pods come and go. Pods that are not ready
// yet, have ended or have no address do not count. The API server is sent the service account's current token, and not
// the target's key.
func TestPodsAreAFleet(t *testing.T) {
	c, a, b := newCluster(t), newReplica(t), newReplica(t)
	a.set(func(r *replicaServer) { r.requests = 10 })
	b.set(func(r *replicaServer) { r.requests = 4 })
	_, portA, _ := net.SplitHostPort(strings.TrimPrefix(a.URL, "http://"))
	c.pods = []map[string]any{somePod("vllm-0", "127.0.0.1", "Running", "True"),
		somePod("vllm-1", "127.0.0.2", "Running", "False"), somePod("done", "127.0.0.3", "Succeeded", "False"),
		somePod("new", "", "Pending", "False"), somePod("strange", "not an address", "Running", "True")}
	s := c.scraper("pods+http://:" + portA + "/metrics?selector=app%3Dvllm&selector=tier+in+(gpu%2Ccpu)&x=1")
	defer s.Close()
	scrape := func() evidence.Scrape {
		s.fleet.pods.at = map[string]time.Time{}
		return s.Scrape(t.Context(), "")
	}
	got := scrape()
	if got.Err != "" || len(got.Replicas) != 1 || got.Replicas[0].Name != "vllm-0" ||
		got.Values[evidence.MetricRequests] != 10 {
		t.Fatalf("%+v", got)
	}
	if want := "Bearer first app=vllm,tier in (gpu,cpu)"; len(c.asks) != 3 || c.asks[0] != want {
		t.Errorf("asked %q, want three pages of %q", c.asks, want)
	}
	// A pod that was ready once stays in the fleet while it runs, and the API server may be unreachable for a while.
	c.write(t, "token", "second")
	c.set(func() {
		c.pods, c.asks = c.pods[:1], nil
		c.pods[0] = somePod("vllm-0", "127.0.0.1", "Running", "False")
	})
	if got := scrape(); got.Err != "" || len(got.Replicas) != 1 || c.asks[0][:13] != "Bearer second" {
		t.Errorf("%+v, asked %q", got, c.asks)
	}
	c.set(func() { c.down = true })
	if got := scrape(); got.Err != "" || len(got.Replicas) != 1 || got.Replicas[0].Err != "" {
		t.Errorf("without the API server: %+v", got)
	}
	c.set(func() { c.down, c.pods = false, []map[string]any{somePod("vllm-9", "127.0.0.1", "Running", "True")} })
	got = scrape()
	if len(got.Replicas) != 2 || got.Replicas[0].Name != "vllm-9" ||
		!strings.Contains(got.Replicas[1].Err, "not an address") {
		t.Errorf("a pod that took another's place: %+v", got)
	}
	c.set(func() { c.asks = nil })
	for raw := range s.fleet.pods.at { // however long the scrapes take
		s.fleet.pods.at[raw] = time.Now().Add(time.Hour)
	}
	for range 3 {
		s.Scrape(t.Context(), "")
	}
	if len(c.asks) > 0 {
		t.Errorf("the API server is asked with every scrape: %q", c.asks)
	}
}

// TestPodsThatCannotBeListed: the error names what is missing.
func TestPodsThatCannotBeListed(t *testing.T) {
	c := newCluster(t)
	for metrics, want := range map[string]string{
		"pods+http://other:1/metrics?selector=a=b": `must be allowed to list pods in the namespace "other": {"kind":"Status","message":"pods is forbidden"`,
		"pods+http://llm:1/metrics?selector=a=b":   "the fleet has no replica",
	} {
		s := c.scraper(metrics)
		if got := s.Scrape(t.Context(), ""); !strings.Contains(got.Err, want) {
			t.Errorf("%s: %s, want %s", metrics, got.Err, want)
		}
		s.Close()
	}
	c.set(func() { c.down = true })
	s := c.scraper("pods+http://llm:1/metrics?selector=a=b")
	defer s.Close()
	if got := s.Scrape(t.Context(), ""); !strings.Contains(got.Err, "the API server answers 500") {
		t.Error(got.Err)
	}
	if _, err := inCluster(func(string) string { return "" }, c.dir); !errors.Is(err, ErrKubernetes) ||
		!strings.Contains(err.Error(), "KUBERNETES_SERVICE_HOST") {
		t.Error(err)
	}
	if _, err := inCluster(c.env, t.TempDir()); !errors.Is(err, ErrKubernetes) ||
		!strings.Contains(err.Error(), "no service account") {
		t.Error(err)
	}
	for _, bad := range []string{"pods+http://llm:1/metrics", "pods+http://llm:1/metrics?selector=", "pods+llm"} {
		if _, err := ParseMetricsURLs(bad); !errors.Is(err, ErrFleet) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
